pwd; echo "$PWD ${OLDPWD-unset} $HOME ~ $SHLVL"
mkdir -p a/b; cd a/b; pwd; cd - ; echo ~; cd; pwd
cd "$OLDPWD"; pushd a >/dev/null; dirs -p; popd
ln -s a link; cd link; pwd; pwd -P; cd ..; CDPATH=a; cd b
rm -rf ../../a; pwd; ls; echo $?
