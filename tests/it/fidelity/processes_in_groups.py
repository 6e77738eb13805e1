import os, signal, subprocess

child = subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000"], process_group=0)
os.killpg(child.pid, signal.SIGTERM)
print(child.wait(), os.getpgid(0) == os.getpid())
