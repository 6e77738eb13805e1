import __main__, sys

__main__.added = 5
print(added, sys.modules["__main__"] is __main__, __main__.__dict__ is globals())
import script
