import os, subprocess, sys

subprocess.run([sys.executable, "-m", "venv", "--without-pip", "environment"], check=True)
code = "import sys; print(sys.prefix, sys.base_prefix, sys.executable, sys.path)"
subprocess.run(["environment/bin/python", "-c", code], check=True)
print(sorted(os.listdir("environment/bin")), os.readlink("environment/bin/python3"))
subprocess.run(["bash", "-c", "source environment/bin/activate && echo $VIRTUAL_ENV && command -v python"])
