# stdin: "caf\u00e9 \u2713\u0000end"
import os, sys

print(os.read(0, 4), sys.stdin.buffer.read(3), sys.stdin.read())
print(os.lseek(0, 0, os.SEEK_CUR))
