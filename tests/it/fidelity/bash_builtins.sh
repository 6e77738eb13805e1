type -a echo | head -n 2; command -v cd; builtin echo built in; hash; enable -n test; type test; enable test
alias x='echo aliased'; x 2>/dev/null; shopt -s expand_aliases
x
compgen -W 'one two three' t; history | wc -l; help -s true; times >/dev/null
echo "${RANDOM:+random} ${SECONDS:+seconds} ${EPOCHSECONDS:+epoch} ${BASHPID:+pid}"
[ $$ = $BASHPID ] && echo same; [ "$PPID" -ge 0 ] && echo parent
umask -S; ulimit -c; shopt -p extglob; set +o | head -n 2; complete; bind -l 2>/dev/null | head -n 1
