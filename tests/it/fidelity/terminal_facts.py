# env: TERM=xterm
import curses, os, shutil

print(shutil.get_terminal_size(), os.environ["TERM"])
curses.setupterm("xterm", 1)
print(curses.tigetnum("colors"), curses.tigetstr("clear"))
for action in (lambda: os.ttyname(1), lambda: os.get_terminal_size(), lambda: os.tcgetpgrp(0)):
    try:
        print(action())
    except OSError as error:
        print(error)
curses.setupterm("no-such-terminal", 1)
