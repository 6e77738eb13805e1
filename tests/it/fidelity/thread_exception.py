import threading

def fails():
    raise RuntimeError("in a thread")

thread = threading.Thread(target=fails, name="failing")
thread.start()
thread.join()
print("main goes on")
