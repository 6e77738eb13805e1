"""A first script: says where it runs and what it cannot reach."""

import os
import socket


def attempt(what, action):
    try:
        print(f"{what}: {action()}")
    except OSError as error:
        print(f"{what}: {error.strerror}")


print(f"Hello from process {os.getpid()} of user {os.getuid()}, in {os.getcwd()}")
attempt("the host's password file", lambda: open("/etc/shadow").read())
attempt("the system directory", lambda: open("/usr/mine", "w"))
attempt("the network", lambda: socket.create_connection(("127.0.0.1", 22), timeout=1))
attempt("a file of its own", lambda: open("note.txt", "w").write("kept until the end\n"))
