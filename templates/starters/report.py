"""Writes a report of some numbers as a web page: made to be run on a schedule."""

import json
import os
from datetime import datetime, timezone
from html import escape

with open(os.environ["AUTOMA_PARAMETERS"], encoding="utf-8") as file:
    parameters = json.load(file)

numbers = {}
for line in parameters["numbers"].splitlines():
    if line.strip():
        name, _, value = line.rpartition("=")
        numbers[name.strip()] = float(value)
if not numbers:
    raise SystemExit("there is nothing to report: name at least one number")

total = sum(numbers.values())
highest = max(numbers, key=numbers.get)
day = datetime.now(timezone.utc).date()
rows = "\n".join(
    f"<tr><td>{escape(name)}</td><td>{value:g}</td></tr>" for name, value in numbers.items()
)
page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{escape(parameters["title"])}</title>
<h1>{escape(parameters["title"])}</h1>
<p>{day}: {len(numbers)} numbers, {total:g} in all. The highest is {escape(highest)}.</p>
<table>{rows}</table></html>
"""
with open(os.path.join(os.environ["AUTOMA_OUT"], "report.html"), "w", encoding="utf-8") as file:
    file.write(page)

print(f"{parameters['title']}, {day}: {total:g} in all, most of it {highest}")
with open(os.environ["AUTOMA_RESULT"], "w", encoding="utf-8") as file:
    json.dump({"day": str(day), "total": total, "highest": highest}, file)
