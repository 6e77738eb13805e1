import logging, logging.handlers, queue

memory = logging.handlers.MemoryHandler(100, target=logging.StreamHandler())
rotating = logging.handlers.RotatingFileHandler("log", maxBytes=100, backupCount=2)
log = logging.getLogger("x")
log.addHandler(memory)
log.addHandler(rotating)
for number in range(20):
    log.warning("message %d", number)
import os
print(sorted(os.listdir()), open("log").read())
