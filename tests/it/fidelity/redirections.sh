exec 3>file 4>&1
echo to file >&3
echo to stdout >&4
exec 3>&-
echo again >&3
echo "status $?"
cat file
{ echo out; echo err >&2; } >both 2>&1; cat both
echo clobber >file; set -C; echo no >file; echo yes >|file; cat file
cat <missing; echo $?
exec {fd}<file; read -r line <&$fd; echo $line
echo both &>both; cat both; echo x >/dev/full; echo $?
