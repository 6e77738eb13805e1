((a = 5, b = a++ * 2))
echo $a $b $((a > b ? a : b)) $((a << 2 | 1)) $((9223372036854775807 + 1))
((0)); echo $?
let "c = a * 3"; echo $c
for ((i = 0; i < 3; i++)); do printf '%d ' $i; done; echo
echo $((1 / 0))
echo "still here, $?"
