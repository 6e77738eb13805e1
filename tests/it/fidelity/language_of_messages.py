# env: LC_ALL=C
import locale, os, sys

print(locale.setlocale(locale.LC_ALL, ""), sys.stdout.encoding, sys.getfilesystemencoding(), os.strerror(2))
print("é")
