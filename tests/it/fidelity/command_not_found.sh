no-such-command --option
echo $?
./missing; echo $?
""; echo $?
no-such-command
