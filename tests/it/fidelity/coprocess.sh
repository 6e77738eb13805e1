coproc UP { while read -r line; do echo "${line^^}"; done; }
echo hello >&"${UP[1]}"
pid=$UP_PID
read -r answer <&"${UP[0]}"
echo "$answer"
exec {UP[1]}>&-
wait "$pid"
echo $?
