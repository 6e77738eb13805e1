import os

os.environ["FROM"] = "python"
os.execv("/bin/bash", ["a-name", "-c", 'echo "$0 $1 $FROM"; exit 6', "zero", "one"])
