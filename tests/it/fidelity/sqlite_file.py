import os, sqlite3, threading

sqlite3.connect("data.db").execute("pragma journal_mode=wal").close()
with sqlite3.connect("data.db") as db:
    db.execute("create table numbers (n integer)")

def insert(start):
    db = sqlite3.connect("data.db", timeout=60)
    with db:
        db.executemany("insert into numbers values (?)", [(n,) for n in range(start, start + 50)])
    db.close()

threads = [threading.Thread(target=insert, args=(n * 50,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sqlite3.connect("data.db").execute("select count(*), sum(n) from numbers").fetchone())
print(sorted(name for name in os.listdir() if name.startswith("data")))
