import sys, weakref

class Kept:
    def __del__(self):
        print("gone with the module", sys.modules.get("__main__") is None)

def hold():
    return kept

kept = Kept()
other = weakref.ref(kept, lambda _: print("reference cleared"))
holder = hold
print(sys.modules[__name__].hold is hold, hold.__globals__ is globals())
