import atexit, sys

def fails():
    raise ValueError("in a handler")

atexit.register(print, "still runs")
atexit.register(fails)
sys.exit(4)
