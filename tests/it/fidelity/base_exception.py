class Stop(BaseException):
    """Not an Exception."""

raise Stop("all of it")
