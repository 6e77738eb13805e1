import atexit

for number in range(3):
    atexit.register(print, "handler", number)

@atexit.register
def last_registered():
    print("runs first")

atexit.unregister(print)
atexit.register(print, "again")
print("end of script")
