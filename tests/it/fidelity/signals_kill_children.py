import os, signal

signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for number in [n for n in range(1, 65) if n not in (32, 33)]:
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass
        os.kill(os.getpid(), number)
        if number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            os._exit(100)
        os._exit(99)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        print(number, "stopped", os.WSTOPSIG(status))
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
    print(number, os.waitstatus_to_exitcode(status), os.WCOREDUMP(status))
