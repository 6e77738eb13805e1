echo 'sourced=$1; echo "in ${BASH_SOURCE[0]} line $LINENO"; return 3' >library
source ./library argument; echo "$? $sourced"
. ./missing
echo "status $?"
echo 'echo found by path' >script-on-path; PATH=$PWD:$PATH; . script-on-path
