calculate() { python3 -c "print($*)" 2>&1 | tail -n 1; }
calculate '2 ** 64'; calculate '1 / 0'
echo 'scale=3; 10 / 4' | bc 2>&1 | tail -n 1
awk 'BEGIN { printf "%.4f\n", atan2(0, -1) }'
