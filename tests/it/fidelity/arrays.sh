# args: one "two three"
list=(a "b c" d)
list+=("e f")
unset 'list[1]'
echo "${#list[@]} ${!list[*]} ${list[-1]}"
printf '<%s>' "${list[@]}" "$@"; echo
declare -A ages=([ada]=36 [alan]=41)
for name in $(printf '%s\n' "${!ages[@]}" | sort); do echo "$name=${ages[$name]}"; done
sparse[5]=x sparse[2]=y
echo "${sparse[@]:0:2}" "${list[@]/#/pre-}"
declare -p list sparse
