#!/bin/sh
# kit-test.sh [LANGUAGE]: the programs of docs/testing-your-failover.md under their tests, inside the kit.
#
# A block "```c file NAME" of the guide is the file NAME. The test passes with the program that handles errors, and fails
# with the one in swallows/, for the reason that the guide gives: orders that were counted and are lost.
#
# Called by docs-test.sh, with the library below build/prefix. Exit status 77 of a language: not installed.
set -eu
: "${CC:=cc}" "${LAB:=target/debug/lab}"
guide=docs/testing-your-failover.md
root=$(pwd)
out=$root/build/docs/kit
prefix=$root/build/prefix

# extract: every file of the guide, in a folder of its language.
extract() {
    rm -rf "$out"
    mkdir -p "$out/bin"
    ln -s "$(realpath "$LAB")" "$out/bin/libsentinel-lab"
    awk -v out="$out" '
        /^```[a-z]+ file / { file = out "/" substr($1, 4) "/" $3; folder = file; sub(/\/[^\/]*$/, "", folder)
                             system("mkdir -p " folder); printf "" > file; next }
        /^```/ { if (file != "") close(file); file = ""; next }
        file != "" { print > file }
    ' "$guide"
}

need() {
    command -v "$1" >/dev/null 2>&1 || { echo "$1 is not installed" >&2; exit 77; }
}

# build LANGUAGE FOLDER: what there is to build.
build() {
    case $1 in
        c)
            # shellcheck disable=SC2046
            "$CC" -std=c11 -D_GNU_SOURCE -g -Wall -Wextra -Werror "$2/app.c" "$2/app_test.c" -o "$2/app_test" \
                $(pkg-config --cflags --libs sentinel) -Wl,-rpath,"$prefix/lib"
            ;;
        go)
            sed -n "s#/path/to/libsentinel#$root#; /^go mod /p" "$root/$guide" >"$2/module.sh"
            (cd "$2" && sh -eu module.sh)
            (cd "$2" && go test -c -o orders.test .)
            ;;
        ruby) ruby -wc "$2/orders.rb" "$2/test_orders.rb" >/dev/null ;;
    esac
}

# run LANGUAGE FOLDER: as the guide says.
run() {
    cd "$2"
    case $1 in
        c) set -- ./app_test ;;
        go) set -- go test -count=1 ./... ;;
        ruby) set -- ruby -w -I"$root/bindings/ruby/lib" test_orders.rb ;;
    esac
    timeout --foreground -k 10 120 libsentinel-lab run -- "$@"
}

# language NAME: both programs of it.
language() {
    case $1 in
        c) need "${CC%% *}"; need pkg-config ;;
        go) need go ;;
        ruby)
            need ruby
            ruby -e 'require "ffi"; require "minitest"' 2>/dev/null ||
                { echo "the gems ffi and minitest are not installed" >&2; exit 77; }
            ;;
    esac
    export PATH="$out/bin:$PATH" PKG_CONFIG_PATH="$prefix/lib/pkgconfig" GOFLAGS=-mod=mod GOPROXY=off
    export LD_LIBRARY_PATH="$prefix/lib" LIBSENTINEL="$prefix/lib/libsentinel.so"
    good=$out/$1
    bad=$out/$1-swallows
    cp -r "$good" "$bad"
    cp "$bad"/swallows/* "$bad"
    rm -r "$good/swallows" "$bad/swallows"
    for folder in "$good" "$bad"; do
        (build "$1" "$folder") || { echo "$folder is not built"; exit 1; }
    done
    (run "$1" "$good") >"$good/log" 2>&1 &
    passing=$!
    if (run "$1" "$bad") >"$bad/log" 2>&1; then
        echo "the test of the program that swallows errors passes:"
        cat "$bad/log"
        wait $passing || true
        exit 1
    fi
    wait $passing || { echo "the test of the program that handles errors fails:"; cat "$good/log"; exit 1; }
    grep -q 'counted as done, and lost' "$bad/log" || { echo "it fails for another reason:"; cat "$bad/log"; exit 1; }
}

if [ -n "${1:-}" ]; then
    language "$1"
    exit 0
fi
extract
failed=0
for each in c go ruby; do
    tests/scripts/step.sh "$guide: $each" "$0" "$each" || failed=1
done
exit $failed
