# A module beside the script comes before the standard library's.
import os, subprocess, sys

open("statistics.py", "w").write("mean = 'ours'\n")
import statistics
print(statistics.mean, statistics.__file__)
open("json.py", "w").write("dumps = 'ours'\n")
subprocess.run([sys.executable, "-c", "import json; print(json.dumps)"])
