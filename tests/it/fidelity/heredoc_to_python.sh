python3 - "$HOME" <<'END'
import sys
print(sys.argv, __name__)
sys.exit(5)
END
echo $?
python3 -c 'import os; print(os.environ["HOME"])'
echo 'print(6 * 7)' | python3
