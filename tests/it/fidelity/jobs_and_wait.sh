(exit 3) & first=$!
(exit 4) & second=$!
wait $first; echo $?
wait $second; echo $?
(exit 5) &
wait -n; echo $?
wait 999999 2>/dev/null; echo $?
sleep 0.01 & sleep 0.02 & wait; echo "all: $?"
