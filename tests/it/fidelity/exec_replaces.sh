trap 'echo never run' EXIT
exec -a renamed bash -c 'echo "$0"; exit 11'
