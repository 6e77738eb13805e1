# env: TARGET=first value
# env: EMPTY=
import os, subprocess

for name in sorted(os.environ):
    print(name, "=", os.environ[name])
print(os.environb[b"TARGET"], os.getenv("NOT_SET"), os.getenv("NOT_SET", "default"))
print(subprocess.run(["env"], capture_output=True, text=True).stdout.count("\n") == len(os.environ))
