import multiprocessing
from multiprocessing import shared_memory

def fill(name, total):
    memory = shared_memory.SharedMemory(name)
    memory.buf[:4] = b"done"
    memory.close()
    with total.get_lock():
        total.value += 5

if __name__ == "__main__":
    memory = shared_memory.SharedMemory(create=True, size=4096)
    total = multiprocessing.Value("i", 1)
    process = multiprocessing.Process(target=fill, args=(memory.name, total))
    process.start()
    process.join()
    print(bytes(memory.buf[:4]), total.value, process.exitcode)
    memory.close()
    memory.unlink()
