cat <<<"one line"
read -r a b <<<"x y z"
echo "$a|$b"
big=$(head -c 300000 /dev/zero | tr '\0' x)
wc -c <<<"$big"
md5sum <<<"$big"
