import concurrent.futures, queue, threading

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(pow, range(5), range(5))))
    print(repr(pool.submit(int, "x").exception()))
barrier = threading.Barrier(3)
local = threading.local()
local.value = "main"
seen = queue.Queue()

def meet():
    barrier.wait()
    seen.put(getattr(local, "value", "none"))

threads = [threading.Thread(target=meet) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print([seen.get() for _ in range(3)])
timer = threading.Timer(0.001, print, ["timer"])
timer.start()
timer.join()
