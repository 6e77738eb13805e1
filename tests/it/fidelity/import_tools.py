import importlib, importlib.util, sys, zipfile

open("plugin.py", "w").write("count = globals().get('count', 0) + 1\n")
import plugin
importlib.reload(plugin)
print(plugin.count, importlib.util.find_spec("plugin").origin, plugin.__cached__)
with zipfile.ZipFile("bundle.zip", "w") as bundle:
    bundle.writestr("bundled.py", "print('from', __file__)")
sys.path.insert(0, "bundle.zip")
import bundled
del sys.modules["plugin"]
open("circle_a.py", "w").write("import circle_b\nname = 1\n")
open("circle_b.py", "w").write("from circle_a import name\n")
importlib.invalidate_caches()
import circle_a
