import subprocess, sys

print(subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True))
