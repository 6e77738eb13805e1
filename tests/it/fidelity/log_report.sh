cat >access.log <<'END'
192.0.2.1 GET /a 200 120
192.0.2.2 GET /b 404 10
192.0.2.1 POST /a 500 15
192.0.2.3 GET /a 200 80
END
awk '{ count[$1]++; bytes += $5 } END { for (ip in count) print count[ip], ip; print bytes, "bytes" }' access.log | sort
grep -c ' 200 ' access.log; cut -d' ' -f3 access.log | sort | uniq -c | sort -rn
join <(sort access.log | cut -d' ' -f1,2 | uniq) <(echo "192.0.2.1 known"); tail -n +3 access.log | head -n 1
