import os, subprocess, sys

os.mkdir("below")
read, write = os.pipe()
print(subprocess.check_output(["pwd"], cwd="below", text=True), end="")
subprocess.run(["sh", "-c", f"echo passed >&{write}"], pass_fds=[write])
print(os.read(read, 100))
code = "import os, sys; print(os.getsid(0) == os.getpid(), sys.argv)"
subprocess.run([sys.executable, "-c", code, "x"], start_new_session=True)
subprocess.run(["sh", "-c", "echo $ONE; umask"], env={"ONE": "1"}, umask=0o27)
subprocess.run(["sh", "-c", "echo merged >&2"], stderr=subprocess.STDOUT)
