import subprocess

first = subprocess.Popen(["seq", "1", "1000"], stdout=subprocess.PIPE)
second = subprocess.Popen(["grep", "7"], stdin=first.stdout, stdout=subprocess.PIPE)
first.stdout.close()
print(len(second.communicate()[0].split()), first.wait(), second.returncode)
print(subprocess.check_output("echo $((6 * 7))", shell=True, text=True), end="")
print(subprocess.run(["cat"], input="through", text=True, capture_output=True))
