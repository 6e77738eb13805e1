sleep 100 & pid=$!
kill -STOP $pid
kill -CONT $pid
kill $pid
wait $pid 2>/dev/null
echo $?
disown -a
jobs
