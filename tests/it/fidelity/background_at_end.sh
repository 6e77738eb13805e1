sleep 2 >/dev/null 2>&1 &
disown
(sleep 2 >/dev/null 2>&1 &)
echo "ends before its jobs"
