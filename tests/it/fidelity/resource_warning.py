# env: PYTHONWARNINGS=default
import gc

def leak():
    file = open("script.py")

leak()
gc.collect()
