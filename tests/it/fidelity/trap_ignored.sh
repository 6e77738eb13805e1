trap '' TERM HUP
sh -c 'kill -TERM $$; echo "child ignores too"'
kill -HUP $$
trap - TERM
kill -TERM $$
