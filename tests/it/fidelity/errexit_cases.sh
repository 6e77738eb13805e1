set -e
f() { false; echo "goes on inside a condition"; }
if f; then echo yes; fi
x=$(false) || echo "assignment failed"
(set +e; false; echo subshell)
false | true
local_fails() { local y=$(false); echo "hidden by local"; }
local_fails
((0))
echo never
