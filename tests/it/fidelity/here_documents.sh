name=world
cat <<END
hello $name $((1 + 1)) $(echo command) \$name
END
cat <<'END'
hello $name `not run`
END
cat <<-END
	tabs are removed
	END
cat <<A; cat <<B
first
A
second
B
