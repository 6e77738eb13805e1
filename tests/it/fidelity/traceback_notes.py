error = ValueError("the message\nof two lines")
error.add_note("a note")
raise error
