# Holds an interpreter that is ready before it is known what it runs for; see `interpreter.rs`.
#
# `site` imports this as the last step of the interpreter's start, before the script is opened. It
# waits for the run's descriptors, arguments and variables, makes of the process what a new one would
# be, and leaves no trace: what ends by not being importable is taken for not being there.
import sys


def wait():
    import _io
    import _socket
    import gc
    import os

    here = sys.path.pop(0)
    sys.path_importer_cache.pop(here, None)
    finder = sys.modules["_frozen_importlib_external"].PathFinder
    real = finder.find_spec(__name__) is not None
    gate = _socket.socket(fileno=3)
    # What the interpreter consists of need not be looked through when it ends. But what the script
    # leaves has to be, and that hangs on its module: a new one, as like as can be.
    gc.collect()
    gc.freeze()
    main = type(sys)("__main__")
    main.__dict__.clear()
    main.__dict__.update(sys.modules["__main__"].__dict__)
    sys.modules["__main__"] = main

    gate.send(b"ready")
    message, rights, _, _ = gate.recvmsg(1 << 20, 160)
    if not message:
        os._exit(1)
    gate.close()
    received = rights[0][2]
    # Input, output and error, then secrets: each has a higher number than it gets.
    for target in range(len(received) // 4):
        descriptor = int.from_bytes(received[target * 4 : target * 4 + 4], sys.byteorder)
        os.dup2(descriptor, target)
        os.close(descriptor)
    count, *strings = os.fsdecode(message).split("\0")[:-1]
    count = int(count)
    sys.argv[1:] = strings[2:count]
    sys.orig_argv[2:] = strings[2:count]
    os.environ.clear()
    for variable in strings[count:]:
        name, _, value = variable.partition("=")
        os.environ[name] = value

    # As `create_stdio` in Python/pylifecycle.c.
    for descriptor, name in enumerate(["stdin", "stdout", "stderr"]):
        old = getattr(sys, name)
        mode = "wb" if descriptor else "rb"
        through = old.write_through
        buffer = _io.open(descriptor, mode, 0 if descriptor and through else -1, closefd=False)
        raw = getattr(buffer, "raw", buffer)
        raw.name = f"<{name}>"
        lines = not through and (raw.isatty() or descriptor == 2)
        stream = _io.TextIOWrapper(buffer, old.encoding, old.errors, "\n", lines, through)
        stream.mode = mode[0]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for module in ["_socket", "gc"]:
        sys.modules.pop(module, None)
    return real


if wait():
    # The host's own, which now finds what it would have found.
    del sys.modules[__name__]
    import sitecustomize
else:
    raise ImportError(name=__name__)
