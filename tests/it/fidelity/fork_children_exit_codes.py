import os, sys, atexit

atexit.register(print, "handler")
pid = os.fork()
if pid == 0:
    sys.exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
