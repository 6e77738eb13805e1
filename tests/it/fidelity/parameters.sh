# args: first second third
echo "$0 $# $1 ${*:2} $-"
set -- new "values here"
shift
echo "$1" "$@"
text="path/to/file.tar.gz"
echo "${text##*/} ${text%%.*} ${text%.gz} ${text/to/TO} ${text^^} ${text:5:2} ${#text}"
echo "${unset:-default}" "${unset:=assigned}" "$unset" "${unset:+alternative}"
name=text
echo "${!name}" "${text@Q}"
: "${required:?is not set}"
echo never
