import threading

results = [0] * 8

def work(index):
    results[index] = sum(range(index * 1000))

threads = [threading.Thread(target=work, args=(i,), name=f"worker-{i}") for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results, threading.active_count())
