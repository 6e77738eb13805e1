# stdin: "first\nsecond\nthird\n"
import os, subprocess

subprocess.run(["head", "-c", "6"])
print(os.read(0, 7))
subprocess.run(["cat"])
