import multiprocessing, os, signal, sys

def fails():
    sys.exit(7)

def dies():
    os.kill(os.getpid(), signal.SIGKILL)

for target in (fails, dies):
    process = multiprocessing.Process(target=target)
    process.start()
    process.join()
    print(target.__name__, process.exitcode)
with multiprocessing.Pool(1) as pool:
    try:
        pool.apply(int, ["not a number"])
    except ValueError as error:
        print(error)
