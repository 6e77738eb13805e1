def leave():
    with open("script.py") as file:
        quit(42)

leave()
