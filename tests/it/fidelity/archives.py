import bz2, gzip, io, lzma, os, shutil, tarfile, zipfile, zlib

data = b"some data " * 1000
for module in (bz2, gzip, lzma, zlib):
    print(module.__name__, module.decompress(module.compress(data)) == data)
open("file.txt", "w").write("content")
with tarfile.open("a.tar.gz", "w:gz") as archive:
    archive.add("file.txt")
with tarfile.open("a.tar.gz") as archive:
    archive.extractall("out")
    print(archive.getnames(), [oct(one.mode) for one in archive])
with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write("file.txt", "renamed.txt")
print(zipfile.ZipFile("a.zip").read("renamed.txt"), os.listdir("out"))
print(os.path.basename(shutil.make_archive("b", "xztar", "out")))
gzip.decompress(b"not gzip")
