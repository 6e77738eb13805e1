import sys, threading

release = threading.Event()

def waits():
    release.wait()
    print("thread ends first")

threading.Thread(target=waits).start()
threading.Timer(0.01, release.set).start()
sys.exit(6)
