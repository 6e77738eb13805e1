"""Sums up a column of a table for each value of another."""

import csv
import io
import json
import os
from collections import defaultdict

with open(os.environ["AUTOMA_PARAMETERS"], encoding="utf-8") as file:
    parameters = json.load(file)

group_by, value = parameters["group_by"], parameters["value"]
table = csv.DictReader(io.StringIO(parameters["table"]))
sums = defaultdict(float)
rows = 0
for row in table:
    # The table's first line is line 1.
    try:
        sums[row[group_by]] += float(row[value])
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"line {table.line_num}: cannot add up {value!r} by {group_by!r}: {error!r}")
    rows += 1

for name, total in sorted(sums.items()):
    print(f"{name:20} {total:12.2f}")

with open(os.path.join(os.environ["AUTOMA_OUT"], "sums.csv"), "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow([group_by, value])
    writer.writerows(sorted(sums.items()))

with open(os.environ["AUTOMA_RESULT"], "w", encoding="utf-8") as file:
    json.dump({"rows": rows, "sums": sums}, file)
