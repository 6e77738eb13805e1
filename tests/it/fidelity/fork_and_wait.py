import os

children = []
for number in range(5):
    pid = os.fork()
    if pid == 0:
        os._exit(number)
    children.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b"from the child")
    os._exit(0)
os.wait()
print(os.read(read, 100))
