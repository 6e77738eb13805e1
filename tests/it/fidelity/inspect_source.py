import inspect, linecache

def documented(a, b=2, *args, key: int = 3, **kwargs) -> str:
    """What it does."""
    return "x"

class Thing:
    def method(self):
        pass

print(inspect.getsource(documented))
print(inspect.signature(documented), inspect.getdoc(documented), inspect.getfile(Thing))
print(inspect.getsourcelines(Thing.method), inspect.getmodule(Thing))
print(linecache.getline(__file__, 1), end="")
print(inspect.currentframe().f_code.co_filename, inspect.currentframe().f_lineno)
