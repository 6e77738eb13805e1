echo before
kill -TERM $$
sleep 10
