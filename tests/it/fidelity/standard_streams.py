import os, stat, sys

for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream, stream.encoding, stream.errors, stream.newlines, stream.line_buffering)
    print(stream.write_through, stream.isatty(), stream.fileno(), stream.mode, stream.name)
    print(type(stream.buffer).__name__, type(getattr(stream.buffer, "raw", None)).__name__, stream.closed)
print(sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
print([stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (1, 2)])
print([os.get_inheritable(fd) for fd in (0, 1, 2)], [os.get_blocking(fd) for fd in (0, 1, 2)])
