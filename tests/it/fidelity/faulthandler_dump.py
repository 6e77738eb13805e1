import faulthandler, re, tempfile

def deep():
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=False)
        file.seek(0)
        print(re.sub("0x[0-9a-f]+", "ID", file.read()))

print(faulthandler.is_enabled())
deep()
