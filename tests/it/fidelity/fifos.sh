mkfifo pipe
(for i in 1 2 3; do echo "message $i"; done >pipe) &
while read -r line; do echo "got $line"; done <pipe
wait
exec 5<>pipe; echo keeps >&5; read -r line <&5; echo $line
echo a b c | while read -r x y; do echo "$y $x"; done
lines=0; seq 3 | while read -r; do ((lines++)); done; echo $lines
shopt -s lastpipe; seq 3 | while read -r; do ((lines++)); done; echo $lines
