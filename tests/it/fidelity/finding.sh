mkdir -p top/{a,b}/c; touch top/a/x.txt top/b/c/y.txt "top/a/with space.txt" top/z.md
chmod 600 top/z.md
find top | sort
find top -name '*.txt' -print0 | sort -z | xargs -0 -n1 basename
find top -type d -empty; find top -perm 600 -printf '%f %s %y\n'
find top -name '*.md' -exec echo found {} \; -delete
find top -newer missing; echo $?
echo 1 2 3 4 5 | xargs -n 2 echo group
seq 4 | xargs -I{} -P 2 sh -c 'echo {} >out-{}'; cat out-*
echo x | xargs false; echo $?
