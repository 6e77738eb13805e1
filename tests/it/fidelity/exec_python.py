# args: again
import os, sys

print(sys.argv)
if len(sys.argv) > 1:
    os.execv(sys.executable, [sys.executable, __file__])
raise SystemExit(3)
