import fcntl, os

file = open("lock", "w")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
if os.fork() == 0:
    try:
        fcntl.flock(open("lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        print(error)
    os._exit(0)
os.wait()
fcntl.flock(file, fcntl.LOCK_UN)
fcntl.lockf(file, fcntl.LOCK_EX, 10)
os.lockf(file.fileno(), os.F_TLOCK, 5)
print(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE, fcntl.fcntl(file, fcntl.F_GETFD))
