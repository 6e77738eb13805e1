import warnings

def old():
    warnings.warn("old() is old", DeprecationWarning, stacklevel=2)

old()
old()
warnings.warn("a user's warning")
warnings.simplefilter("always")
open(__file__)
print(warnings.filters[0], len(warnings.filters))
