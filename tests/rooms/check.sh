#!/bin/sh
# check.sh: `make check-rooms`. The imports of src run downwards through the rooms of rooms.txt and in no circle, no file has
# over 500 lines, no run of more than 12 lines stands twice, and the walks in CONTRIBUTING lead through files that are there.
# Whether that would be seen is tried with planted.txt. Prints the rooms with their arrows.
set -eu
export LC_ALL=C # imports.awk looks at bytes
here=tests/rooms
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find src -name '*.rs' | LC_ALL=C sort >"$scratch/all"
grep -v -e '_tests\.rs$' -e '/tests\.rs$' -e '/tests/' -e '_sim\.rs$' "$scratch/all" >"$scratch/sources"
status=0
"$here/planted.sh" || status=1
# shellcheck disable=SC2046
awk -f "$here/imports.awk" $(cat "$scratch/sources") >"$scratch/imports" || status=1
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
# walk TITLE MOST: the files that a walk in CONTRIBUTING names are there, each is named once, and they are so many at most.
walk() {
    awk -v title="### $1" '$0 == title { on = 1; next } /^###? / { on = 0 } on' CONTRIBUTING.md |
        grep -o 'src/[a-z_/]*\.rs' >"$scratch/walk"
    while read -r file; do
        if [ ! -f "$file" ]; then
            echo "CONTRIBUTING, $1: there is no $file" >&2
            status=1
        fi
    done <"$scratch/walk"
    if [ "$(wc -l <"$scratch/walk")" -gt "$2" ] || [ -n "$(sort "$scratch/walk" | uniq -d)" ]; then
        echo "CONTRIBUTING, $1: over $2 files, or one twice" >&2
        status=1
    fi
}
walk "One GET" 9
walk "One failover" 8
exit $status
