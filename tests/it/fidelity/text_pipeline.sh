seq 1 20 | awk '{ sum += $1; if ($1 % 5 == 0) printf "%d:%d\n", $1, sum }'
printf 'name,age\nada,36\nalan,41\n' | awk -F, 'NR > 1 { print $2, toupper($1) }'
printf 'one two\nthree\n' | sed -e 's/\(o\)ne/\1NE/' -e '/three/{s/$/!/;a\' -e 'added' -e '}'
printf 'a\nb\nc\nd\n' | sed -n '2,3p;$='
echo "The Quick fox" | tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | rev
printf 'x=1\ny=2\n' | cut -d= -f2 | paste -sd+ - | sed 's/.*/$((&))/'
seq 6 | paste - - - | column -t 2>/dev/null || echo no column
seq 3 | tac | nl -w2 -s') '
echo {a..c}{1..2} | fold -w 7 | expand | fmt -w 5
