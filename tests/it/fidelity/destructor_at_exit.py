import sys

class Late:
    def __del__(self):
        print("destroyed", sys is None, print is None, __name__)

late = Late()
late.cycle = late
sys.exit(2)
