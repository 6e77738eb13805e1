import threading

lock, count = threading.Lock(), 0

def add():
    global count
    for _ in range(100):
        with lock:
            count += 1

threads = [threading.Thread(target=add) for _ in range(40)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(count)
