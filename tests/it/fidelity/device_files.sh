echo through >/dev/stdout
echo error >/dev/stderr
echo fd | cat /dev/fd/0
cat /dev/stdin <<<"standard input"
head -c 4 /dev/zero | od -An -c
head -c 10 /dev/urandom | wc -c
cat /dev/null; echo x >/dev/null
[ -c /dev/null ] && [ -e /dev/stdin ] && echo there
