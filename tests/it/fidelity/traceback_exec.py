exec(compile("def f():\n    g()\nf()", "<generated>", "exec"))
