"""Finds the title and the links of a web page: one that is given, or one to be fetched.

To fetch one, the run has to be allowed to reach it: add its address and port under "Network".
"""

import json
import os
from html.parser import HTMLParser
from urllib.parse import urljoin
from urllib.request import Request, urlopen

with open(os.environ["AUTOMA_PARAMETERS"], encoding="utf-8") as file:
    parameters = json.load(file)


class Page(HTMLParser):
    """What is looked for. Text comes in pieces."""

    def __init__(self):
        super().__init__()
        self.title, self.links, self.inside = "", [], None

    def handle_starttag(self, tag, attributes):
        address = dict(attributes).get("href")
        if tag == "title":
            self.inside = "title"
        elif tag == "a" and address:
            self.inside = "a"
            self.links.append({"address": urljoin(parameters.get("url", ""), address), "text": ""})

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, text):
        if self.inside == "title":
            self.title += text
        elif self.inside == "a":
            self.links[-1]["text"] += text


html = parameters["html"]
if parameters.get("url"):
    request = Request(parameters["url"], headers={"User-Agent": "automa"})
    with urlopen(request, timeout=20) as answer:
        # 5 MiB is a large page.
        html = answer.read(5 << 20).decode(answer.headers.get_content_charset("utf-8"), "replace")

page = Page()
page.feed(html)
print(page.title.strip())
for link in page.links:
    print(f"  {link['address']}  {link['text'].strip()}")

with open(os.environ["AUTOMA_RESULT"], "w", encoding="utf-8") as file:
    json.dump({"title": page.title.strip(), "links": page.links[:500]}, file)
