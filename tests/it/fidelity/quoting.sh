a='single $x' b="double \$x \"q\"" c=$'ansi\n\x41\u2713' d=\ escaped
printf '[%s]' "$a" "$b" "$c" "$d" $a; echo
IFS=,; set -- $(echo a,b,,c); echo $# "$*"; IFS=$' \t\n'
echo "$(echo "nested $(echo "deeper")")" `echo \`echo back\``
echo {1..5..2} {a,b{1,2}} x{,y} "{1..3}"
v="a  b"; echo $v "$v"; [[ "a b" == a\ * ]] && echo match
[[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo "${BASH_REMATCH[@]}"
x=$'nul\0cut'; echo "${#x}"; y=$(printf 'a\0b'); echo "$y"
