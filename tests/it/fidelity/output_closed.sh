exec >&-
echo nowhere
echo "status $?" >&2
exec 2>&-
ls /missing
