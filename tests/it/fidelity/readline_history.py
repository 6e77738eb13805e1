# stdin: "typed\n"
try:
    import readline
    readline.add_history("before")
    print(readline.get_current_history_length())
except ImportError as error:
    print(error)
print(input("with readline? "))
