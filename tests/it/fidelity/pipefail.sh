false | true
echo "$? ${PIPESTATUS[*]}"
set -o pipefail
false | true | (exit 7) | true
echo $?
yes | head -n 1
echo "${PIPESTATUS[*]}"
! false | true
echo $?
