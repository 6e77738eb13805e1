import os

os.execvp("no-such-program", ["no-such-program"])
