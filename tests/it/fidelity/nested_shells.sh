echo "$SHLVL $BASH_SUBSHELL"; (echo "$BASH_SUBSHELL"); bash -c 'echo $SHLVL'
sh -c 'echo "$0 $1" && exit 4' name arg; echo $?
printf 'echo "sub $0 $#"\n' >sub; chmod +x sub; ./sub 1 2; bash sub; bash -n sub; bash -c '. ./sub'
printf '#!/usr/bin/env -S bash -e\necho shebang\nfalse\necho never\n' >run; chmod +x run; ./run; echo $?
bash --no-such-option; echo $?
bash missing-script; echo $?
bash -e -c 'false; echo never'; echo $?
echo 'echo "stdin script $-"' | bash -s x y
