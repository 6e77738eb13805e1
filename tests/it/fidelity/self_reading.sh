echo "$(wc -l <"$0") lines, named $(basename "$0")"
grep -c echo "$BASH_SOURCE"
echo 'echo appended while it runs' >>"$0"
