mkfifo pipe
exec 3<>pipe
read -r -t 0.05 line <&3
echo "status $? is above 128"
read -r -t 0 <&3; echo $?
echo ready >&3
read -r -t 10 line <&3; echo "$line"
