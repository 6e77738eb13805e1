try:
    [0] * (1 << 60)
except MemoryError as error:
    print("caught", repr(error))
bytearray(1 << 62)
