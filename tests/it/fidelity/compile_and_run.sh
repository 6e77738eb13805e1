command -v cc >/dev/null || { echo no compiler; exit; }
printf '#include <stdio.h>\nint main(int c, char **v) { puts(v[c-1]); return c; }\n' >main.c
cc -o main main.c && ./main a b
echo $?
echo 'int main( {' >bad.c; cc bad.c 2>/dev/null; echo $?
