timeout 0.05 sleep 100; echo $?
{ timeout -s KILL 0.05 sleep 100; } 2>/dev/null; echo $?
timeout 10 sh -c 'exit 3'; echo $?
timeout --preserve-status 0.05 sleep 100; echo $?
