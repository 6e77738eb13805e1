import inspect, sys, traceback

def inner():
    traceback.print_stack()
    for frame in inspect.stack():
        print(frame.filename, frame.lineno, frame.function, frame.code_context, frame.index)
    frame, depth = sys._getframe(), 0
    while frame:
        frame, depth = frame.f_back, depth + 1
    print(depth)

def outer():
    inner()

outer()
