import difflib, html, itertools, re, shlex, string, textwrap, unicodedata

print(textwrap.fill("some words " * 20, 40), textwrap.dedent("  x\n   y"))
print("\n".join(difflib.unified_diff(["a", "b"], ["a", "c"], lineterm="")))
print(re.sub(r"(\w+)@(\w+)", r"\2 at \1", "user@example"), re.findall(r"\d+", "1 22 333"))
print(shlex.split("one 'two three' four\\ five"), html.escape("<&>"), string.Template("$a").substitute(a=1))
print(unicodedata.normalize("NFD", "é").encode(), "ß".upper(), "İ".lower(), "ａ".isidentifier())
print(list(itertools.permutations("abc", 2)), "%s %r %5.2f" % ("a", "b", 3.14159))
re.compile("(unclosed")
