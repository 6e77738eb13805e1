set -e
trap 'echo "status $?"' EXIT
trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
echo before
false
echo never
