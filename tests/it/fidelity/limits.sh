ulimit -n; ulimit -Hn; ulimit -c
ulimit -n 64
ulimit -Hn
ulimit -f 10
(trap '' XFSZ; head -c 100000 /dev/zero >big); ls -s --block-size=1 big | cut -d' ' -f2
{ head -c 100000 /dev/zero >big2; } 2>/dev/null
echo $?
ulimit -n 100000 2>&1 | cut -d: -f3-
