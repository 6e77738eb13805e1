import os, resource

print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
try:
    kept = [open("script.py") for _ in range(100)]
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    open("big", "wb").write(b"x" * 5000)
except OSError as error:
    print(error, os.stat("big").st_size)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000)
bytearray(4 << 30)
