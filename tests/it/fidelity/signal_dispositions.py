import signal

for number in sorted(signal.valid_signals()):
    print(number, signal.getsignal(number))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending())
# Without 32 and 33, which are the C library's own.
ours = sum(1 << number - 1 for number in signal.valid_signals())
for line in open("/proc/self/status"):
    if line.startswith(("SigBlk", "SigIgn", "SigCgt")):
        print(line[:6], hex(int(line[8:], 16) & ours))
