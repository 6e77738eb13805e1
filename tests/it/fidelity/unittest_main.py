# args: -q
import sys, unittest

class Test(unittest.TestCase):
    def test_error(self):
        raise RuntimeError("as meant")

sys.stderr = open("/dev/null", "w")
unittest.main()
