setsid sh -c 'echo in a session'; nohup echo hup 2>/dev/null
nice -n 5 sh -c 'nice'; env --default-signal=PIPE true; stdbuf -oL echo line
flock lockfile -c 'echo locked'; flock -n lockfile true; echo $?
[ "$(ps -o sid= -p $$ 2>/dev/null | tr -d ' ')" = $$ ] && echo leader
chrt -p $$ >/dev/null 2>&1; nproc >/dev/null; sleep 0.01; true
tty; echo $?
logname 2>/dev/null; stty 2>&1; echo $?
