# env: PYTHONINSPECT=1
# stdin: "print(value + 1)\n"
value = 1
print("ends, and goes on interactively")
