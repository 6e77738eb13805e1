awk 'BEGIN { while (("echo a; echo b" | getline line) > 0) print "got", line; exit 3 }'; echo $?
perl -e 'print "perl: @ARGV\n"; exit 4' x 2>/dev/null; echo $?
dash -c 'echo dash $0' 2>/dev/null
sed --version | head -n 1; awk -W version 2>&1 | head -n 1
