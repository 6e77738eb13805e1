# env: BASH_ENV=/no/such/file
# env: POSIXLY_CORRECT=1
set -o | grep posix
echo "$POSIXLY_CORRECT"
