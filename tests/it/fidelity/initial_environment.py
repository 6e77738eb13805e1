import os

# What the kernel shows of the environment a process began with, where nothing is set later.
with open("/proc/self/environ", "rb") as file:
    names = [entry.split(b"=")[0] for entry in file.read().split(b"\0") if entry]
print(len(names) == len(set(names)))
os.execve("/usr/bin/env", ["env"], {"ONLY": "this"})
