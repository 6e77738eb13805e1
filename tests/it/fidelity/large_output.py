import sys

for number in range(20_000):
    print("stdout line", number)
    if number % 2:
        print("stderr line", number, file=sys.stderr)
