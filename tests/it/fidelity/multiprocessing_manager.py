import multiprocessing

def add(shared, key):
    shared[key] = key * 10

if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        shared = manager.dict()
        processes = [multiprocessing.Process(target=add, args=(shared, n)) for n in range(3)]
        [process.start() for process in processes]
        [process.join() for process in processes]
        print(sorted(shared.items()))
