# What it prints is seen line by line, while it runs.
echo "Hello from user $(id -u)."
echo "All the processes I see: $(ls -d /proc/[0-9]* | wc -l)"

for step in 1 2 3; do
  echo "Step $step of 3"
  sleep 0.5
done

echo "It cannot change the system:"
touch /etc/hello || true

echo "It cannot reach the network:"
(echo > /dev/tcp/192.0.2.1/80) || true

echo "Done. Beside this log is what confined it, and what it used."
