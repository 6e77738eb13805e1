try:
    int("x")
except ValueError:
    open("/no/such/file")
