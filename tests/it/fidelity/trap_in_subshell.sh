trap 'echo parent exit' EXIT
(trap 'echo child exit' EXIT; exit 5)
echo "child gave $?"
( : )
echo end
