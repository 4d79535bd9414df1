#!/bin/sh
# planted.sh: whether imports.awk and order.awk see what planted.txt has them see, and nothing else.
set -eu
export LC_ALL=C # imports.awk looks at bytes
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/src/base" "$scratch/src/pool" "$scratch/plants"
cd "$scratch"
printf 'pub mod base;\npub mod pool;\n' >src/lib.rs
printf 'mod lent;\nmod other;\nmod planted;\n' >src/base/mod.rs
printf 'use super::planted::Planted;\npub struct Other(Planted);\n' >src/base/other.rs
printf 'mod lent;\npub struct Pool;\n' >src/pool/mod.rs
printf 'pub struct Lent;\n' >src/pool/lent.rs
awk '/^## / { count++; print substr($0, 4) >"plants/names"; printf "" >("plants/" count); next }
    count { print >("plants/" count) }' "$here/planted.txt"
number=0 failed=0
while read -r name; do
    number=$((number + 1))
    cp "plants/$number" src/base/planted.rs
    told=unseen
    awk -f "$here/imports.awk" src/lib.rs src/*/*.rs >imports 2>said || told=seen
    awk -f "$here/order.awk" "$here/rooms.txt" imports >/dev/null 2>>said || told=seen
    if [ "$told" != "${name%%:*}" ]; then
        echo "tests/rooms/planted.txt: $name: it is $told" >&2
        cat said >&2
        failed=1
    fi
done <plants/names
exit $failed
