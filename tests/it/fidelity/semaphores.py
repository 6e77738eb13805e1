import multiprocessing, os, threading

semaphore = multiprocessing.Semaphore(2)
print(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(block=False))
condition = multiprocessing.Condition()
event = multiprocessing.Event()
if os.fork() == 0:
    event.set()
    os._exit(0)
print(event.wait(60), os.waitstatus_to_exitcode(os.wait()[1]))
lock = threading.RLock()
with lock, lock:
    print(lock.acquire(blocking=False))
threading.Lock().release()
