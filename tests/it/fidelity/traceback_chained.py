def read():
    return {}["missing"]

try:
    read()
except KeyError as error:
    try:
        1 / 0
    except ZeroDivisionError:
        raise RuntimeError("explained") from error
