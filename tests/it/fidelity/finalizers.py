import gc, weakref

class Thing:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("gone:", self.name)

weakref.finalize(Thing("early"), print, "finalized early")
kept = Thing("global")
weakref.finalize(kept, print, "finalized at exit")
cycle = Thing("cycle")
cycle.self = cycle
del cycle
print("collected", gc.collect() > 0)
print("end")
