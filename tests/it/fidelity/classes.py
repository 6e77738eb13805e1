import abc, collections, contextlib, dataclasses, enum, functools, typing

class Color(enum.Flag):
    RED = 1
    BLUE = 2

@dataclasses.dataclass(order=True, frozen=True)
class Item:
    name: str
    tags: list = dataclasses.field(default_factory=list)

@functools.lru_cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

print(Color.RED | Color.BLUE, Item("a") < Item("b"), fibonacci(80), fibonacci.cache_info())
print(collections.Counter("mississippi").most_common(2), collections.namedtuple("P", "x y")(1, 2))
with contextlib.suppress(KeyError), contextlib.ExitStack() as stack:
    stack.callback(print, "unwound")
    {}["x"]
print(typing.get_type_hints(Item), Item("x"))
Item("a").name = "b"
