import subprocess

for command in (["/no/such/program"], ["no-such-program"], ["./script.txt"], ["/tmp"]):
    open("script.txt", "w").write("echo never\n")
    try:
        subprocess.run(command)
    except OSError as error:
        print(type(error).__name__, error)
print(subprocess.run(["sh", "-c", "kill -9 $$"]))
try:
    subprocess.run(["sleep", "1000"], timeout=0.01)
except subprocess.TimeoutExpired as error:
    print(error.cmd, error.stdout)
