import gc, socket, _socket, os, io, sys

print(socket.socket.__mro__, _socket.error is OSError, socket.timeout is TimeoutError)
print(sys.modules["gc"] is gc, io.TextIOWrapper is type(sys.stdout), os.environ["HOME"])
print(type(sys), sys.modules["__main__"].__class__, sys.getrefcount(sys.modules["__main__"]) < 10)
print(isinstance(sys.stdout.buffer, io.IOBase), sys.stdin.buffer.name, sys.stdout.buffer.name)
print(socket.gaierror.__module__, issubclass(socket.herror, OSError))
