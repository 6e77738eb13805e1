import os, subprocess, sys

print("first", end=" ")
os.write(1, b"second ")
subprocess.run(["printf", "third "])
os.system("printf fourth")
sys.stdout.write(" fifth without newline")
