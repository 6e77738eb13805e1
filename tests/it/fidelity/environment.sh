# env: GIVEN=a value
env | grep -v '^_=' | sort
export ADDED=x; unset GIVEN; sh -c 'echo "${ADDED} ${GIVEN-unset}"'
ONE=1 bash -c 'echo $ONE'; echo "${ONE-unset}"
env -i A=1 /usr/bin/env; printenv HOME; printenv MISSING; echo $?
echo "$BASH $BASH_VERSION $HOSTTYPE $OSTYPE ${BASHOPTS} $SHELLOPTS $IFS" | md5sum
declare -x | cut -d= -f1 | tr '\n' ' '
