# env: PYTHONUNBUFFERED=
# stdin: "one\ntwo\n"
import sys

print(sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdout.write_through)
print(type(sys.stdout.buffer).__name__, next(sys.stdin), sys.stdin.read())
sys.stderr.write("no newline, seen at once")
sys.stdout.write("flushed at the end")
