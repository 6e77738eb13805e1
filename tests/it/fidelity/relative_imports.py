import os, sys

os.makedirs("package/sub")
files = {"__init__": "from . import a\nname = __name__", "a": "from .sub.b import value\nprint(__name__, __package__)",
         "sub/__init__": "", "sub/b": "from ..sub import __name__ as parent\nvalue = 7\nprint(parent, __file__)"}
for name, source in files.items():
    open(f"package/{name}.py", "w").write(source)
import package
print(package.name, package.a.value, package.__path__, sorted(os.listdir("package")))
from . import nothing
