import os

os.makedirs("package/inner")
open("package/__init__.py", "w").write("from .inner import module\n")
open("package/inner/__init__.py", "w").close()
open("package/inner/module.py", "w").write("def f():\n    raise OSError(2, 'x', 'y')\n\nf()\n")
import package
