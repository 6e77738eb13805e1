# args: äö "quoted" '' --x=ü \n
import os, sys

print(sys.argv, [os.fsencode(arg) for arg in sys.argv], sys.orig_argv)
