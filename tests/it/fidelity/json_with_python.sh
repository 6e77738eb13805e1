echo '{"b": [1, 2], "a": {"c": "é"}}' >data.json
python3 -m json.tool --sort-keys data.json
python3 -c 'import json, sys; print(json.load(sys.stdin)["b"][1])' <data.json
echo '{"broken"' | python3 -m json.tool; echo $?
