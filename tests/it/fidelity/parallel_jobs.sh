work() { sleep 0.0$((RANDOM % 3)); echo "$1 done" >"result-$1"; [ "$1" != 3 ]; }
pids=()
for n in 1 2 3 4 5; do work "$n" & pids+=($!); done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
cat result-*; echo "failed: $failed"
exit "$failed"
