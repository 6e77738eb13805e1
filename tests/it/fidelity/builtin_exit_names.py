print(exit, quit, copyright, credits.__class__.__name__, help.__class__.__name__)
print(__debug__, type(__builtins__).__name__, Ellipsis, NotImplemented)
