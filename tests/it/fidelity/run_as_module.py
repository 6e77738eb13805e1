import os, runpy, subprocess, sys

os.mkdir("tool")
open("tool/__main__.py", "w").write("import sys\nprint(__name__, __package__, sys.argv)\n")
runpy.run_module("tool", run_name="__main__")
print(runpy.run_path("tool/__main__.py")["__name__"])
subprocess.run([sys.executable, "-m", "tool", "arg"])
subprocess.run([sys.executable, "tool"])
subprocess.run([sys.executable, "-"], input=b"import sys; print(sys.argv, sys.path[0])")
subprocess.run([sys.executable, "no-such-file.py"])
