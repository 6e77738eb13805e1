def check():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])

try:
    check()
except* ValueError as group:
    print(group.exceptions)
