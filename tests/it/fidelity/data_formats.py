import configparser, csv, io, json, tomllib, xml.dom.minidom, xml.etree.ElementTree as tree

text = io.StringIO()
csv.writer(text).writerows([["name", "quoted, text"], ["ünï", 'with "quotes"']])
print(text.getvalue(), list(csv.DictReader(io.StringIO(text.getvalue()))))
print(json.dumps({"b": [1, None, True], "a": "é", "f": 0.1 + 0.2}, indent=2, sort_keys=True))
root = tree.fromstring("<root><item id='1'>text</item></root>")
print(tree.tostring(root), [(one.tag, one.attrib) for one in root])
print(xml.dom.minidom.parseString("<a><b/></a>").toprettyxml())
print(tomllib.loads("[table]\nkey = 1979-05-27"))
config = configparser.ConfigParser()
config.read_string("[one]\nkey = %(other)s\nother = 2")
print(dict(config["one"]))
json.loads('{"broken": }')
