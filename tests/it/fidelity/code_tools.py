import ast, dis, symtable, tokenize, io, py_compile, os

print(ast.dump(ast.parse("x = 1 + 2"), indent=1), eval("1 + 1"), ast.literal_eval("[1, 'a']"))
dis.dis(compile("x = [i for i in y]", "<code>", "exec").co_consts[0].co_name)
print([token.string for token in tokenize.generate_tokens(io.StringIO("a + b\n").readline)])
print(symtable.symtable("x = 1", "f", "exec").get_identifiers())
open("module.py", "w").write("value = 1\n")
print(py_compile.compile("module.py"), os.listdir("__pycache__"))
exec("print(__name__)", {"__name__": "given"})
ast.parse("def f(:")
