export 2x=y; echo $?
kill -0 999999; echo $?
shift 5; echo $?
source; echo $?
set -o nosuchoption; echo $?
return 3; echo $?
test 1 -eq x; echo $?
[ 1 = ; echo $?
local z=1; echo $?
