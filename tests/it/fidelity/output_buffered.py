# env: PYTHONUNBUFFERED=
import os

print("printed first")
os.write(1, b"written second, seen first\n")
pid = os.fork()
print("from", "child" if pid == 0 else "parent")
if pid:
    os.waitpid(pid, 0)
