value = 5
print(value is 5, "\d")
