set -T
trap 'echo "debug: $BASH_COMMAND"' DEBUG
function called { echo in function; return 4; }
trap 'echo returned' RETURN
called
trap - DEBUG RETURN
echo "status ${PIPESTATUS[*]}"
