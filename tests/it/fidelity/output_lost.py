# env: PYTHONUNBUFFERED=
import os

print("in a buffer that nobody flushes")
os._exit(0)
