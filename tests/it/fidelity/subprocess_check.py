import subprocess

subprocess.run(["sh", "-c", "echo before >&2; exit 3"], check=True)
