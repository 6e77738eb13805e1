import sys

sys.exit("the reason, with ünicode")
