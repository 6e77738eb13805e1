import sys, traceback

def fails():
    local = 1
    raise LookupError("kept")

try:
    fails()
except LookupError:
    traceback.print_exc()
    print(traceback.format_exc(limit=1))
    kind, error, trace = sys.exc_info()
    print([(frame.name, frame.lineno, frame.line) for frame in traceback.extract_tb(trace)])
    print("".join(traceback.TracebackException(kind, error, trace, capture_locals=True).format()))
