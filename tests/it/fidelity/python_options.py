import subprocess, sys

for options in (["-I"], ["-S"], ["-E"], ["-O"], ["-B"], ["-W", "error"], ["-X", "utf8=0"], ["-u"], ["-s"]):
    subprocess.run([sys.executable, *options, "-c", "import sys; print(sys.flags, sys.path, sys.argv, __debug__)"])
subprocess.run([sys.executable, "-c", "import"])
subprocess.run([sys.executable, "--no-such-option"], stderr=subprocess.DEVNULL)
subprocess.run([sys.executable, "-V"])
subprocess.run([sys.executable, "-m", "json.tool"], input=b'{"a":[1,2]}')
