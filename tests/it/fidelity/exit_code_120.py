# env: PYTHONUNBUFFERED=
import sys

sys.stdout = open("/dev/full", "w")
print("lost when the buffer is flushed")
sys.__stdout__ = sys.stdout
