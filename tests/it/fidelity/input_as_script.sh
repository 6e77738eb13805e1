# stdin: "echo from the input $0\nexit 9\n"
bash
echo $?
exec bash
