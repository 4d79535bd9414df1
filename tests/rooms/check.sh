#!/bin/sh
# check.sh: `make check-rooms`. The imports of src run downwards through the rooms of rooms.txt and in no circle, no file has
# over 500 lines, and no run of more than 12 lines stands twice. Prints the rooms with their arrows.
set -eu
here=tests/rooms
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find src -name '*.rs' | LC_ALL=C sort >"$scratch/all"
grep -v -e '_tests\.rs$' -e '/tests\.rs$' -e '/tests/' -e '_sim\.rs$' "$scratch/all" >"$scratch/sources"
# Two passes over the same files.
# shellcheck disable=SC2046
awk -f "$here/imports.awk" pass=1 $(cat "$scratch/sources") pass=2 $(cat "$scratch/sources") >"$scratch/imports"
status=0
awk -f "$here/order.awk" "$here/rooms.txt" "$scratch/imports" || status=1
while read -r file; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 500 ]; then
        echo "$file has $lines lines, and 500 are enough" >&2
        status=1
    fi
done <"$scratch/all"
# shellcheck disable=SC2046
awk -f "$here/repeats.awk" $(grep -v -e '_table\.rs$' "$scratch/sources") >&2 || status=1
exit $status
