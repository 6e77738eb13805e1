# stdin: "2\nx\n1\n"
PS3="which? "
select item in apple "two words"; do
    echo "picked <$item> by $REPLY"
    [ "$item" = apple ] && break
done
