#!/bin/sh
# recipes.sh RESULT FOLDER: for vcpkg, Conan and Homebrew, in FOLDER: how each gets the tarballs of RESULT, where
# `make dist` has put them. Version and checksums are theirs and stand nowhere else. DIST_URL is where they are published.
set -eu
: "${VERSION:=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}"
: "${HOMEPAGE:=https://libsentinel.example.invalid}"
: "${DIST_URL:=$HOMEPAGE/v$VERSION}"
result=$1 folder=$2
here=$(dirname "$0")/recipes

# sum BITS PROCESSOR
sum() {
    "sha$1sum" "$result/libsentinel-$VERSION-$2-linux-gnu.tar.gz" | cut -d ' ' -f 1
}

rm -rf "$folder"
mkdir -p "$folder"
cp -r "$here"/* "$folder"
set -- -e "s|@VERSION@|$VERSION|g" -e "s|@DIST_URL@|$DIST_URL|g" -e "s|@HOMEPAGE@|$HOMEPAGE|g"
for processor in x86_64 aarch64; do
    for bits in 256 512; do
        # Not in the same line, which would hide the status.
        sum=$(sum $bits $processor)
        [ -n "$sum" ] || exit 1
        set -- "$@" -e "s|@SHA${bits}_$processor@|$sum|g"
    done
done
find "$folder" -name '*.in' | while read -r file; do
    sed "$@" "$file" >"${file%.in}"
    rm "$file"
done
if grep -rn '@[A-Z]' "$folder"; then
    echo "recipes: that was not filled in" >&2
    exit 1
fi
