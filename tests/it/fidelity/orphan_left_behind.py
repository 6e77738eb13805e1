import os, signal

if os.fork() == 0:
    os.setsid()
    for fd in range(3):
        os.close(fd)
    signal.alarm(2)
    signal.pause()
print("the parent ends first")
