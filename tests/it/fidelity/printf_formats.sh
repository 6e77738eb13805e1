printf '%q\n' "it's" 'a b' $'tab\there' '' 'ünï'
printf '%5d|%-5s|%05.1f|%x|%o|%c|%b|%%\n' 42 ab 3.14159 255 8 xyz 'a\tb'
printf '%s-%s\n' 1 2 3
printf -v variable '%03d' 7; echo $variable
printf '%d\n' notanumber; echo $?
printf '%(%Y-%m-%d)T\n' 0
printf '\x41\u00e9\0101\n'
