import fnmatch, glob, os, pathlib, shutil

print(os.getcwd(), pathlib.Path.home(), os.path.expanduser("~/x"), pathlib.Path("script.py").resolve())
pathlib.Path("a/b/c").mkdir(parents=True)
pathlib.Path("a/b/file.txt").write_text("é", encoding="utf-8")
shutil.copytree("a", "copy")
print(sorted(glob.glob("**/*", recursive=True)), sorted(str(p) for p in pathlib.Path().rglob("*.txt")))
for root, dirs, files in sorted(os.walk(".")):
    print(root, sorted(dirs), sorted(files))
os.chdir("a/b")
print(os.getcwd(), os.path.relpath("/usr"), fnmatch.filter(["x.py", "y.txt"], "*.py"))
print(shutil.which("sh"), shutil.which("no-such-program"), os.path.realpath("../../copy"))
shutil.rmtree("/no/such/directory")
