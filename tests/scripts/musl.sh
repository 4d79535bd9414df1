#!/bin/sh
# musl.sh: the library for musl, as a shared object and as an archive, and the C programs with musl's loader and its
# threads of 128 KiB.
#
# musl and its headers are Debian's (compiler.sh); Rust's standard library for it is rustup's, in a folder of its own where
# this machine's Rust does not have it (toolchain.sh).
#
# Exit status 77: one of them cannot be had here; the last line says which.
set -eu
: "${CARGO:=cargo}" "${LAB:=target/debug/lab}" "${LIB_RUSTFLAGS=}" "${SOVERSION:=0}"
scripts=$(dirname "$0")
out=$(pwd)/build/musl
triple=$(uname -m)-unknown-linux-musl
compiler=$(pwd)/build/compilers/$triple/bin/cc
libc=${compiler%/bin/cc}/libc.so
lib=${compiler%/bin/cc}/lib

# Both are of one build: what an archive lacks for a static program is its linker's to find.
build() {
    variable=$(echo "$triple" | tr 'a-z-' 'A-Z_')
    # shellcheck disable=SC2086
    env "CARGO_TARGET_${variable}_LINKER=$compiler" "CC_$(echo "$triple" | tr - _)=$compiler" \
        CARGO_TARGET_DIR=target/musl SENTINEL_HEADER_CHECK=1 RUSTC="$rust/bin/rustc" \
        RUSTFLAGS="-Ctarget-feature=-crt-static -Clink-self-contained=no -Lnative=$lib" \
        "$rust/bin/cargo" rustc --quiet --release --lib --crate-type cdylib,staticlib --target "$triple" -- $LIB_RUSTFLAGS
}

# The shared object asks for nothing that musl's does not have.
symbols() {
    nm -D --defined-only "$libc" | awk '{ print $3 }' | sort -u >"$out/has"
    nm -D --undefined-only "$1" | awk '$1 == "U" { print $2 }' | sort -u >"$out/wants"
    [ -s "$out/wants" ] || return 1
    missing=$(comm -13 "$out/has" "$out/wants")
    if [ -n "$missing" ]; then
        echo "musl does not have: $missing"
        return 1
    fi
    needed=$(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }' | grep -v '^libc\.\|^libc-musl\|^ld-musl' || true)
    if [ -n "$needed" ]; then
        echo "it needs more than libc: $needed"
        return 1
    fi
    nm -D --defined-only "$1" | awk '{ print $3 }' | grep '^sentinel_' | LC_ALL=C sort | diff tests/symbols.txt -
}

# The stack of a thread for which nobody has asked for another.
stacks() {
    cat >"$out/stack.c" <<'SOURCE'
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>

static void *show(void *nothing)
{
    pthread_attr_t attributes;
    size_t size = 0;

    if (pthread_getattr_np(pthread_self(), &attributes) == 0 && pthread_attr_getstacksize(&attributes, &size) == 0) {
        printf("%zu\n", size / 1024);
    }
    return nothing;
}

int main(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, show, NULL) || pthread_join(thread, NULL);
}
SOURCE
    "$compiler" -pthread "$out/stack.c" -o "$out/stack"
    kib=$("$out/stack")
    echo "a thread has $kib KiB"
    [ "$kib" -le 132 ]
}

case ${1:-} in
    --symbols) symbols "$out/release/libsentinel.so" && exit ;;
    --stacks) stacks && exit ;;
esac
[ $# -eq 0 ] || exit 1

"$scripts/compiler.sh" "$triple" >/dev/null
rust=$("$scripts/toolchain.sh" "$triple")
mkdir -p "$out/release"
build
cp "target/musl/$triple/release/libsentinel.so" "target/musl/$triple/release/libsentinel.a" "$out/release"
ln -sf libsentinel.so "$out/release/libsentinel.so.$SOVERSION"
strip -o "$out/stripped" "$out/release/libsentinel.so"
echo "libsentinel.so: $(($(wc -c <"$out/stripped") / 1024)) KiB"
failed=0
"$scripts/step.sh" "symbols of the shared object" "$0" --symbols || failed=1
"$scripts/step.sh" "stacks of musl's size" "$0" --stacks || failed=1
# Libraries of event loops are glibc's here; and musl shows what POSIX has only to those who ask.
CFLAGS="${CFLAGS:--O1 -g} -D_POSIX_C_SOURCE=200809L" CC="$compiler" RELEASE="$out/release" SONAME_DIR="$out/release" \
    SENTINEL_SO="$out/release/libsentinel.so" TESTS_OUT="$out/tests" LIBS_PRIVATE="-static -L$lib -lunwind" \
    PKG_CONFIG_LIBDIR="$out/none" "$scripts/c-tests.sh" || failed=1
exit $failed
