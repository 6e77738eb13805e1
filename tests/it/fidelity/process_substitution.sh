diff <(printf '1\n2\n') <(printf '1\n3\n')
echo "diff gave $?"
while read -r line; do total=$((total + line)); done < <(seq 1 100)
echo $total
echo to a process | tee >(tr a-z A-Z >upper) >/dev/null
wait $!
for _ in $(seq 1000); do [ -s upper ] && break; sleep 0.01; done
cat upper
paste <(seq 3) <(seq 4 6)
