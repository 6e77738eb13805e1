set -euo pipefail
directory=scratch; mkdir "$directory"
trap 'rm -rf "$directory"; echo "cleaned, status $?"' EXIT
exec 9>"$directory/lock"
flock -n 9
echo work >"$directory/file"
(flock -n 8 || echo "locked by us") 8>"$directory/lock"
cp "$directory/missing" .
