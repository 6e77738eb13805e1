import contextvars, threading

variable = contextvars.ContextVar("variable", default="default")
variable.set("main")
context = contextvars.copy_context()
context.run(variable.set, "inner")
print(variable.get(), context[variable])
thread = threading.Thread(target=lambda: print(variable.get()))
thread.start()
thread.join()
print(len(contextvars.copy_context()))
