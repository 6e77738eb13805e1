# env: PYTHONIOENCODING=ascii
print("ascii")
print("not ascii: é")
