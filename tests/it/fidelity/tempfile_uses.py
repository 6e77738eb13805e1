import os, stat, tempfile

print(tempfile.gettempdir())
with tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
    file.write("content")
    file.seek(0)
    print(file.read(), os.path.dirname(file.name), oct(stat.S_IMODE(os.stat(file.name).st_mode)))
with tempfile.TemporaryDirectory() as directory:
    print(os.listdir(directory), oct(stat.S_IMODE(os.stat(directory).st_mode)))
with tempfile.TemporaryFile() as file:
    print(file.write(b"x" * 100), os.fstat(file.fileno()).st_nlink)
with tempfile.SpooledTemporaryFile(max_size=10) as file:
    file.write(b"more than ten bytes")
    print(file._rolled)
