# env: ZZ=last
# env: AA=first value = with equals
# env: UNI=ü ✓
import os, subprocess

print(list(os.environ), os.environ["AA"], os.environb[b"UNI"])
subprocess.run(["printenv", "UNI", "AA"])
os.execvp("env", ["env"])
