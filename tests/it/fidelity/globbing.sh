shopt -s extglob nullglob
touch a.txt b.txt c.md .hidden "with space.txt"
mkdir -p d/e; touch d/e/deep.txt
echo *.txt; echo !(*.txt); echo [ab]*; echo ?.md; echo none*
shopt -s globstar dotglob; echo **/*.txt; echo .h*
shopt -u nullglob; echo none*
shopt -s failglob; echo none*
echo "status $?"
