# env: PYTHONOPTIMIZE=1
assert False, "left out"
print(__debug__)
