import atexit, threading

started = threading.Event()

def forever():
    started.set()
    threading.Event().wait()

threading.Thread(target=forever, daemon=True).start()
started.wait()
atexit.register(print, "at exit")
print("main ends")
