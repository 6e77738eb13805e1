mkdir -p data/sub; echo one >data/1; echo two >data/sub/2; ln -s 1 data/link; chmod 640 data/1
tar cf - data | tar tf - | sort
tar czf data.tgz data; rm -r data; tar xzf data.tgz; cat data/link data/sub/2; stat -c '%a %n' data/1
gzip -c data/1 | zcat; xz -c data/1 2>/dev/null | xz -dc 2>/dev/null
tar xf missing.tar 2>/dev/null; echo $?
echo text | gzip | wc -c; echo broken | gunzip; echo $?
printf 'a\nb\n' >l; printf 'a\nc\n' >r; diff -u l r | tail -n +3; cmp l r; comm l r
split -b 1 l part-; ls part-*; cat part-* | cksum
