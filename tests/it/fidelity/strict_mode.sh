set -euo pipefail
false || echo handled
if ! grep -q x /dev/null; then echo not found; fi
values=$(printf '%s\n' a b | grep -c .)
echo "$values"
echo "$undefined"
echo never
