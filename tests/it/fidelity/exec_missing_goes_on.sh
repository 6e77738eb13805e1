shopt -s execfail
exec ./missing
echo "still here, $?"
