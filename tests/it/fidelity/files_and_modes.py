import os, stat

print(oct(os.umask(0o022)), oct(os.umask(0o027)))
open("file", "w").write("12345")
os.mkdir("directory", 0o777)
os.symlink("file", "link")
os.link("file", "second")
os.mkfifo("fifo", 0o640)
for name in sorted(os.listdir()):
    info = os.lstat(name)
    print(name, stat.filemode(info.st_mode), info.st_nlink if stat.S_ISREG(info.st_mode) else "")
os.truncate("file", 2)
os.utime("file", (1, 2))
os.chmod("file", 0)
print(os.stat("file").st_mtime, os.stat("second").st_size, os.access("file", os.R_OK), os.readlink("link"))
os.rename("directory", "renamed")
open("file")
