"""What this script is for."""
from __future__ import annotations

print(__doc__, __annotations__ if "__annotations__" in globals() else "none")
value: Undefined = 3
print(__annotations__, value)
