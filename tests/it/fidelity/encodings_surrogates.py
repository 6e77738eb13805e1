# args: ok
import os, sys

name = b"bad-\xff-name"
open(name, "w").close()
print(ascii(sorted(os.listdir("."))), os.path.exists(os.fsdecode(name)))
sys.stdout.buffer.write(os.fsencode(os.fsdecode(name)) + b"\n")
print("\udcff")
