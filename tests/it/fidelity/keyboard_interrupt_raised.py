import atexit

atexit.register(print, "handlers run")
raise KeyboardInterrupt("as a value")
