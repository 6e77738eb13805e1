echo $((7 / 2)) $((-7 % 3)) $((2 ** 10)) $((0x1f)) $((2#101)) $((08 > 1 ? 1 : 0))
echo never after an error in an expansion
