cd /no/such/dir; echo $?
unset -v 1bad; echo $?
readonly r=1; r=2; echo never
