import os, signal, time

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(20):
    if os.fork() == 0:
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError as error:
        print(error)
        break
