umask; umask 077; touch private; mkdir dir; stat -c '%A %F' private dir
echo content >file; ln file hard; ln -s file soft; stat -c '%h' file; readlink soft; readlink -f soft
cp -r dir copy; mv copy moved; rmdir moved; ls
touch -d @0 old; stat -c %Y old; [ file -nt old ] && echo newer
rm missing; echo $?
mkdir dir; echo $?
chmod 000 file; cat file; echo $?
cp; echo $?
install -m 750 soft installed 2>&1; dd if=/dev/zero of=zeros bs=1k count=3 status=none; wc -c zeros
truncate -s 1M sparse; du -k sparse | cut -f1; mktemp -u XX | wc -c; test -w /usr; echo $?
