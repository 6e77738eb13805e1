printf '%s\n' b A ä a B z Z é 10 9 _x | sort
printf '%s\n' b A a B | LC_ALL=C sort -r
printf '%s\n' 10 9 100 1.5 | sort -n
printf 'b 2\na 10\na 9\n' | sort -k1,1 -k2,2n | uniq -c
[[ a < B ]] && echo less || echo greater
sort -V <<<$'v1.10\nv1.9'
