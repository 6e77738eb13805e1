# stdin: "one\r\ntwo\nthree without end"
import sys

print([line for line in sys.stdin], sys.stdin.read(), sys.stdin.newlines)
