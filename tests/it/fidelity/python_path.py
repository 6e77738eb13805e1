# env: PYTHONPATH=/automa/extra:relative
import os, sys

print(sys.path[:3], os.environ["PYTHONPATH"])
