for f in a.c b.h c; do case $f in *.c) echo source;;& *.[ch]) echo code ;; *) echo other ;; esac; done
i=0; until ((i >= 3)); do ((i++)); ((i == 2)) && continue; echo $i; done
while true; do while true; do break 2; done; echo never; done
select x in; do :; done
[ -z "" -a -n x ] && echo and; if [[ -f script.sh && ! -L script.sh ]]; then echo file; fi
