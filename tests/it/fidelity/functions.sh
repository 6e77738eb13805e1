function factorial { (($1 < 2)) && echo 1 || echo $(($1 * $(factorial $(($1 - 1))))); }
factorial 10
scope() { local x=inner; nested; echo $x; }; nested() { x=changed; }
x=outer; scope; echo $x
swap() { local -n one=$1 two=$2; local t=$one; one=$two two=$t; }
p=1 q=2; swap p q; echo $p $q
where() { echo "${FUNCNAME[*]} ${BASH_LINENO[*]}"; caller 0; }; where
declare -f nested; type -t where; unset -f where; where
