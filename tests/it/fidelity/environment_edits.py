# env: KEPT=yes
import os, subprocess

os.environ["ADDED"] = "added"
os.environ["LANG"] = "C"
del os.environ["KEPT"]
os.putenv("RAW", "raw")
show = "echo ${ADDED-unset} ${KEPT-unset} ${RAW-unset} ${LANG-unset}"
subprocess.run(["sh", "-c", show])
os.unsetenv("RAW")
os.system(show)
os.environ.clear()
subprocess.run(["/bin/sh", "-c", show])
