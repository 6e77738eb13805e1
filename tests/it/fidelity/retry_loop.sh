attempt=0
until ((++attempt == 3)); do
    echo "attempt $attempt failed" >&2
    sleep 0.01
done
echo "attempt $attempt worked"
