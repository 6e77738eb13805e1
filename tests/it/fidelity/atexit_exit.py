import atexit, os, sys

def change():
    sys.stdout.write("leaves with 9\n")
    sys.stdout.flush()
    os._exit(9)

atexit.register(change)
raise ValueError("shown before")
