set -m
(exit 3) &
wait $!; echo $?
sleep 0.01 | cat &
wait -f $!
echo $?
set +m
case $- in *m*) echo on ;; *) echo off ;; esac
fg
