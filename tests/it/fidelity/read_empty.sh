read -r line; echo "status $? <$line>"
cat; echo $?
read -r -p "prompt: " answer </dev/null; echo $?
[ -t 0 ]; echo $?
