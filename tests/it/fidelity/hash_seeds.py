# env: PYTHONHASHSEED=0
import sys

print(hash("text"), list({"one", "two", "three", "four"}), sys.flags.hash_randomization)
