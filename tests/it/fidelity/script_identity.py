# args: one two --three
import sys

print(sys.argv, sys.orig_argv)
print(__file__, __name__, __doc__, __package__, __spec__, type(__loader__).__name__)
print(sys.path)
print(sorted(globals()))
print(sys.modules["__main__"].__file__, __builtins__.__name__)
