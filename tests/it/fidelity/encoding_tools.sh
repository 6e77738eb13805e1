echo text | base64; echo dGV4dAo= | base64 -d
echo text | sha256sum; echo text | md5sum; echo text | cksum
printf '\x00\x01\xff' | od -An -tx1; printf 'é' | wc -c -m
printf 'caf\xe9' | iconv -f latin1 -t utf-8; echo
date -u -d @1700000000 '+%F %T %Z %A'; TZ=America/New_York date -d @0
date -d nonsense; echo $?
numfmt --to=iec 1048576; factor 360; expr 3 \* 4; seq -s, 3; basename /a/b.c .c; dirname /a/b
