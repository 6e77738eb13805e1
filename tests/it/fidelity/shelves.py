import dbm.dumb, marshal, shelve

with shelve.Shelf(dbm.dumb.open("shelf", "c")) as shelf:
    shelf["key"] = {"nested": [1, 2]}
with shelve.Shelf(dbm.dumb.open("shelf", "r")) as shelf:
    print(dict(shelf))
print(marshal.loads(marshal.dumps((1, "a", None))))
