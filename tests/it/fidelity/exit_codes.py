import os

for code in range(256):
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code, code
print("all 256")
