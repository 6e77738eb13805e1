größe = {"ключ": "значение"}
print("→", größe)
raise KeyError("ключ ✗")
