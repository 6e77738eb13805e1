import os

open("directory-not-file", "w").close()
for action in (lambda: open("missing"), lambda: os.mkdir("."), lambda: os.listdir("directory-not-file"),
               lambda: os.rmdir("no"), lambda: open("."), lambda: open("directory-not-file/x"),
               lambda: os.read(99, 1), lambda: open("x" * 300), lambda: os.kill(os.getpid(), 999),
               lambda: open("\0"), lambda: os.execv("directory-not-file", ["x"]), lambda: os.waitpid(-1, 0),
               lambda: os.open("new", os.O_RDONLY | 0x200000 | os.O_DIRECTORY), lambda: os.link("a", "b")):
    try:
        print(action())
    except (OSError, ValueError) as error:
        print(type(error).__name__, error)
