import locale, sys

print(sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
print(locale.getpreferredencoding(), locale.getlocale(), locale.setlocale(locale.LC_ALL, ""))
print("ünïcödé → ✓ 漢字 🎉")
print("ünïcödé", file=sys.stderr)
sys.stdout.reconfigure(encoding="latin-1", errors="replace")
print("é ✓")
