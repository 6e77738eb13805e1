printf 'alpha\nbeta\nGamma\ndelta\n' >words
grep -n 'a$' words; grep -ic gamma words; grep -v e words; grep -B1 -A1 Gamma words
grep -E '^(al|be)' words; grep -o '[aeiou]' words | sort | uniq -c | sort -rn
grep nothing words; echo $?
grep x missing; echo $?
grep -P '(?<=be)ta' words; grep -q alpha words && echo found
mkdir -p tree/sub; cp words tree/sub; grep -rl beta tree
