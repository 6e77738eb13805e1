import os, signal

def handler(number, frame):
    print(signal.Signals(number).name, frame.f_code.co_name)

for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGWINCH", "SIGCHLD"):
    signal.signal(getattr(signal, name), handler)
    os.kill(os.getpid(), getattr(signal, name))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
signal.setitimer(signal.ITIMER_REAL, 0.01)
print(signal.sigwait([signal.SIGALRM]))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGTERM)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
os.kill(os.getpid(), signal.SIGUSR2)
print(signal.sigpending(), signal.sigwait([signal.SIGUSR2]))
