echo 'echo x' >file; ./file; echo $?
mkdir dir; ./dir; echo $?
printf '#!/no/such/interpreter\n' >bad; chmod +x bad; ./bad; echo $?
: >empty; chmod +x empty; ./empty; echo $?
printf '\x7fELF garbage' >elf; chmod +x elf; ./elf; echo $?
/usr; exit $?
