# stdin: "for head\nfor the script\nfor cat 1\nfor cat 2\n"
head -n 1
read -r line; echo "script: $line"
cat
