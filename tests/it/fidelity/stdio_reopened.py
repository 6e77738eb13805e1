# stdin: "line\n"
import io, os, sys

print(sys.stdin.readline(), sys.stdout.fileno(), repr(sys.stdout.buffer)[:20])
copy = os.fdopen(os.dup(1), "w")
copy.write("through a copy\n")
copy.close()
wrapped = io.TextIOWrapper(sys.stdout.detach(), encoding="ascii", errors="backslashreplace")
sys.stdout = wrapped
print("é through another wrapper", flush=True)
print("to the original", file=sys.__stderr__)
