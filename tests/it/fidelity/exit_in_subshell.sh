(exit 5); echo $?
value=$(echo text; exit 6); echo "$? $value"
{ (exit 7) }; echo $?
echo x | { read -r; exit 8; }; echo $?
eval 'exit 9'
