#!/usr/bin/env bash
# Checks that services accept connections and that the disk has room; fails if something is wrong.
# A service is reached only if the run may: add its address and port under "Network".
set -euo pipefail

problems=0
report() {
    printf '%-8s %s\n' "$1" "$2"
    if [[ $1 != ok ]]; then problems=$((problems + 1)); fi
}

used=$(df --output=pcent /tmp | tail -n 1 | tr -dc 0-9)
if ((used > most_used)); then
    report FULL "/tmp is at $used %, which is more than $most_used %"
else
    report ok "/tmp is at $used %"
fi

for service in ${services:-}; do
    host=${service%:*} port=${service##*:}
    if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null; then
        report ok "$service answers"
    else
        report DOWN "$service does not answer"
    fi
done

printf '{"problems": %d, "used_percent": %d}\n' "$problems" "$used" >"$AUTOMA_RESULT"
((problems == 0))
