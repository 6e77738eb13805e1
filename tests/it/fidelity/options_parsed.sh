# args: -v -o file -x rest more
while getopts ":vo:" option; do
    case $option in
        v) echo verbose ;;
        o) echo "output $OPTARG" ;;
        \?) echo "unknown -$OPTARG at $OPTIND" ;;
    esac
done
shift $((OPTIND - 1)); echo "$@"
