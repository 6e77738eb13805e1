# stdin: "1 + 1\nx = 5\nx * 2\n1 / 0\n"
import code, sys

code.interact(banner="begin", exitmsg="end", local={"__name__": "console"})
