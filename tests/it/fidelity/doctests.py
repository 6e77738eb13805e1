import doctest

def half(number):
    """
    >>> half(4)
    2.0
    >>> half(3)
    1
    >>> half("x")
    Traceback (most recent call last):
    TypeError: unsupported operand type(s) for /: 'str' and 'int'
    """
    return number / 2

print(doctest.testmod())
