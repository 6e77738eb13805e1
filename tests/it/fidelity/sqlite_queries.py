import sqlite3

with sqlite3.connect(":memory:") as db:
    db.execute("create table people (name text primary key, age integer)")
    db.executemany("insert into people values (?, ?)", [("ada", 36), ("alan", 41)])
    print(db.execute("select name, age from people order by age desc").fetchall())
    db.execute("insert into people values ('ada', 1)")
