for code in $(seq 0 255); do (exit "$code"); [ $? = "$code" ] || echo "$code"; done
bash -c 'exit 300'; echo $?
{ bash -c 'kill -9 $$'; } 2>/dev/null; echo $?
{ bash -c 'kill -TERM $$'; } 2>/dev/null; echo $?
