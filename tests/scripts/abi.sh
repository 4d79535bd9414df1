#!/bin/sh
# abi.sh check|baseline: what include/sentinel.h promises to compiled programs, against tests/abi/sentinel.abi.
#
# The header's declarations become definitions with empty bodies, compiled with debug information: that is the whole
# binary interface, without a word about the inside of the library, whatever language that is in. What the library
# exports is compared with tests/symbols.txt, next door (`make check-symbols`).
#
# check: nothing of the baseline is changed or gone; additions are allowed. And the check itself sees a function that is
# gone, a parameter of another type, and a struct of another layout.
# baseline: writes it anew.
#
# Exit status 77: skipped, for abidiff is not installed.
set -eu
: "${CC:=cc}"
baseline=tests/abi/sentinel.abi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! command -v abidiff >/dev/null 2>&1; then
    echo "abidiff is not installed (abigail-tools)" >&2
    exit 77
fi

# surface HEADER NAME: the interface as a shared object, whose paths name no machine.
surface() {
    mkdir -p "$scratch/$2"
    cp "$1" "$scratch/$2/sentinel.h"
    awk '
        /^typedef [a-z].*\(\*/ { next }
        /^(const )?[a-z_0-9]+ \**[a-z_0-9]+\(|^int sentinel/ { inside = 1 }
        inside { print }
        inside && /\);$/ { inside = 0 }
    ' "$1" | sed 's/);$/) { __builtin_trap(); }/' >"$scratch/$2/body"
    { echo '#include "sentinel.h"'; cat "$scratch/$2/body"; } >"$scratch/$2/surface.c"
    (cd "$scratch/$2" && $CC -g -O0 -w -fPIC -shared -Wl,-soname,libsentinel.so surface.c -o libsentinel.so)
}

written() {
    abidw --no-corpus-path --no-comp-dir-path --short-locs "$scratch/$1/libsentinel.so"
}

same() {
    abidiff --no-added-syms "$baseline" "$scratch/$1/libsentinel.so"
}

# breaks NAME SED: a header altered by SED is no longer the same.
breaks() {
    sed "$2" include/sentinel.h >"$scratch/altered.h"
    surface "$scratch/altered.h" "$1"
    if same "$1" >/dev/null; then
        echo "abi: the check does not see $1" >&2
        exit 1
    fi
}

surface include/sentinel.h now
# A function that the transformation missed would not be compared.
LC_ALL=C nm -D --defined-only "$scratch/now/libsentinel.so" | sed -n 's/.* T //p' | LC_ALL=C sort |
    diff tests/symbols.txt - >&2 || { echo "abi: the functions of the header are not those of tests/symbols.txt" >&2; exit 1; }
case ${1:-check} in
    baseline) written now >"$baseline" ;;
    check)
        if ! same now; then
            echo "abi: programs that were compiled before would break; see CONTRIBUTING.md, \"Versions\"" >&2
            exit 1
        fi
        breaks "a function that is gone" '/^uint32_t sentinel_version_number(void);/d'
        breaks "a parameter of another type" 's/uint16_t port/uint32_t port/'
        breaks "a struct of another layout" 's/^    uint32_t replicas;/    uint64_t replicas;/'
        ;;
    *)
        echo "usage: abi.sh check|baseline" >&2
        exit 2
        ;;
esac
