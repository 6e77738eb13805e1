import importlib.util, sys

print(importlib.util.find_spec("usercustomize"), "usercustomize" in sys.modules)
open("sitecustomize.py", "w").write("print('our own is imported')\n")
sys.modules.pop("sitecustomize", None)
sys.path_importer_cache.clear()
import sitecustomize
