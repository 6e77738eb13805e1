import os, signal

try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted")
finally:
    print("cleaned up")
os.kill(os.getpid(), signal.SIGINT)
