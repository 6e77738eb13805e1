import threading, time

def late():
    threading.main_thread().join()
    print("after main has ended")

threading.Thread(target=late).start()
print("main ends")
