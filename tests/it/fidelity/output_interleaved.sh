for i in $(seq 300); do echo "out $i"; echo "err $i" >&2; done
