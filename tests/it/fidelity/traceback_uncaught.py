def outer():
    inner([1, 2, 3])

def inner(values):
    return values[0] + values[7] * 2

print("before")
outer()
