import sys

sys.setrecursionlimit(5000)

def deeper(n):
    return 0 if n == 0 else 1 + deeper(n - 1)

print(deeper(4000))
