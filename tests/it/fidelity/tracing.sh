set -x
a=1; echo "$a" 'two words'
PS4='+ line $LINENO: '
[[ $a == 1 ]] && (( a++ ))
for i in x y; do : "$i"; done
set +x
set -v
echo verbose
