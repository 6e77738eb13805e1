import sys

names = sorted(name for name in dir() if not name.startswith("__"))
print(names, "builtins" in sys.modules, vars().keys() == globals().keys())
print(sorted(name for name in dir(sys.modules["__main__"])))
__import__("builtins").print("last")
