import concurrent.futures

def count(word):
    return word, len(word)

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        print(list(pool.map(count, ["one", "three", "fifteen"])))
