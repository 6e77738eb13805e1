echo "printed, as bash reads line by line"
if true; then
fi
