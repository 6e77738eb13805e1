# env: PYTHONSTARTUP=/no/such/file
# env: PYTHONDONTWRITEBYTECODE=1
import os, sys

open("module.py", "w").close()
import module
print(sys.dont_write_bytecode, os.path.exists("__pycache__"))
