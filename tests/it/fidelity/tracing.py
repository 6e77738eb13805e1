import sys, tracemalloc

def traced(frame, event, arg):
    if frame.f_code.co_name == "watched":
        print(event, frame.f_lineno, arg if event == "return" else None)
    return traced

def watched(n):
    n += 1
    return n

sys.settrace(traced)
watched(1)
sys.settrace(None)
tracemalloc.start()
kept = [0] * 1000
print(tracemalloc.get_traced_memory()[0] > 8000, tracemalloc.is_tracing())
