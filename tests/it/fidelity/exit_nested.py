import sys

try:
    try:
        sys.exit(3)
    finally:
        print("cleaned up")
        sys.exit(4)
except SystemExit as first:
    print(first.code, first.__context__.code)
    raise SystemExit(5) from first
