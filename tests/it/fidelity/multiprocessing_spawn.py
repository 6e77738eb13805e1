import multiprocessing

print("imported as", __name__)

def double(number):
    return number * 2

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(double, [1, 2, 3]))
