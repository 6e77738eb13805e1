for n in 1 2 3; do (echo "job $n" >"out-$n") & done
wait
cat out-*
