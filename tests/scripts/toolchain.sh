#!/bin/sh
# toolchain.sh TARGET: prints the folder of a Rust that compiles for TARGET, with bin/cargo and bin/rustc: this machine's,
# where it has the standard library for it, otherwise one of the same version that rustup gets into build/rustup.
#
# Exit status 77: it cannot be had here.
set -eu
sysroot=$("${RUSTC:-rustc}" --print sysroot)
if [ ! -d "$sysroot/lib/rustlib/$1/lib" ]; then
    version=$("${RUSTC:-rustc}" --version | sed 's/^rustc \([0-9.]*\).*/\1/')
    host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
    RUSTUP_HOME=$(pwd)/build/rustup
    export RUSTUP_HOME
    sysroot=$RUSTUP_HOME/toolchains/$version-$host
    if [ ! -d "$sysroot/lib/rustlib/$1/lib" ]; then
        mkdir -p "$RUSTUP_HOME"
        if ! rustup toolchain install "$version" --profile minimal --no-self-update --target "$1" \
            >"$RUSTUP_HOME/log" 2>&1; then
            echo "Rust's standard library for $1 is not here, and no rustup that could get it" >&2
            exit 77
        fi
    fi
fi
echo "$sysroot"
