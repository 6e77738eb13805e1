trap 'echo int' INT
trap 'echo term' TERM
trap 'echo usr1; exit 12' USR1
kill -INT $$
kill -TERM $$
trap
kill -USR1 $$
echo never
