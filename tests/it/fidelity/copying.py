import os, shutil, tempfile

with open("source", "wb") as file:
    file.write(os.urandom(100_000))
shutil.copy2("source", "copy")
read, write = os.open("source", os.O_RDONLY), os.open("sent", os.O_CREAT | os.O_WRONLY)
print(os.sendfile(write, read, 0, 100_000), os.copy_file_range(read, write, 10, 0, 0))
print(open("copy", "rb").read() == open("source", "rb").read(), shutil.disk_usage(".").total > 0)
os.posix_fallocate(write, 0, 200_000)
os.fsync(write)
os.posix_fadvise(read, 0, 0, os.POSIX_FADV_SEQUENTIAL)
print(os.stat("sent").st_size, os.lseek(read, 0, os.SEEK_END), os.get_terminal_size if False else "")
print(os.preadv(read, [bytearray(10)], 5), os.path.getsize("source"))
