text="ünïcödé 漢字 🎉"
echo "${#text} ${text:0:3} ${text^^}"
echo "$text" | wc -m -c; echo "$text" | rev 2>/dev/null; echo "$text" | awk '{ print length($0) }'
(LC_ALL=C; echo ${#text}); locale 2>/dev/null | head -n 3
touch "ä ö"; ls; printf '%s\n' *ö | od -c | head -n 1; printf '\xff\xfe\n'
LC_ALL=xx_YY.UTF-8 bash -c 'echo started'
