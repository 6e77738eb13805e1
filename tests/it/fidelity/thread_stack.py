import threading

threading.stack_size(64 << 10)
print(threading.stack_size())
results = []

def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)

thread = threading.Thread(target=lambda: results.append(deep(50)))
thread.start()
thread.join()
print(results, threading.excepthook is threading.__excepthook__)
