import faulthandler, os, re, signal, tempfile

file = tempfile.TemporaryFile("w+")
faulthandler.register(signal.SIGUSR1, file)
os.kill(os.getpid(), signal.SIGUSR1)
file.seek(0)
print(re.sub("0x[0-9a-f]+", "ID", file.read()))
