yes | head -n 3
echo "${PIPESTATUS[@]}"
(trap '' PIPE; seq 1 100000 2>&1 || echo "write failed: $?" >&2) | head -n 1
seq 1 1000000 | sed 5q | tail -n 1
