#!/usr/bin/env bash
# Packs a directory into an archive, checks that it can be read again, and leaves it as a file.
# Without a directory it packs an example, so that it can be tried.
set -euo pipefail

directory=${directory:-}
if [[ -z $directory ]]; then
    directory=$PWD/example
    mkdir -p "$directory"
    echo "an important file" >"$directory/important.txt"
fi
if [[ ! -d $directory ]]; then
    echo "there is no directory $directory in the sandbox" >&2
    exit 1
fi

archive=$AUTOMA_OUT/backup-$(date -u +%Y-%m-%d).tar.gz
tar --create --gzip --file "$archive" --directory "$(dirname "$directory")" "$(basename "$directory")"
# An archive that cannot be read is no backup.
files=$(tar --list --gzip --file "$archive" | grep -vc '/$' || true)
sum=$(sha256sum "$archive")
bytes=$(stat --format %s "$archive")

echo "$files files in $bytes bytes"
printf '{"files": %d, "bytes": %d, "sha256": "%s"}\n' "$files" "$bytes" "${sum%% *}" >"$AUTOMA_RESULT"
