bash -c 'sleep 100 & sleep 100 & wait' &
tree=$!
for _ in $(seq 1000); do [ "$(pgrep -cP $tree)" = 2 ] && break; sleep 0.01; done
pkill -P $tree; wait $tree; echo $?
pgrep -P $tree; echo "left: $?"
