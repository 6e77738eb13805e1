import multiprocessing

def work(queue, number):
    queue.put(number + 1)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue, 41))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
