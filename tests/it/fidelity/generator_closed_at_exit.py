def generate():
    try:
        yield 1
    finally:
        print("closed")

generator = generate()
print(next(generator))
