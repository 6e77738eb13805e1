import os, sys

os.close(1)
try:
    print("nowhere")
except OSError as error:
    print(error, file=sys.stderr)
