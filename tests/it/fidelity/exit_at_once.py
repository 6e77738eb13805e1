import os, sys

sys.stdout.write("unbuffered, so it is seen")
os._exit(17)
