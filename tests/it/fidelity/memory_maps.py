import mmap, os, ctypes

with open("mapped", "w+b") as file:
    file.write(b"\0" * 8192)
    file.flush()
    with mmap.mmap(file.fileno(), 0) as memory:
        memory[:5] = b"hello"
        memory.flush()
        print(memory.find(b"l"), len(memory))
print(open("mapped", "rb").read(5), os.stat("mapped").st_size)
anonymous = mmap.mmap(-1, 4096)
if os.fork() == 0:
    anonymous.write(b"shared")
    os._exit(0)
os.wait()
print(anonymous[:6])
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
values = (ctypes.c_int * 3)(3, 1, 2)
ctypes.CDLL(None).qsort(values, 3, 4, compare(lambda a, b: a[0] - b[0]))
print(list(values))
