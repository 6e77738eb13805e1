import os, sys

sys.stdout.buffer.write(bytes(range(256)))
os.write(1, b"\xff\x00\n")
os.write(2, b"\x80 to stderr")
