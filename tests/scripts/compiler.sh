#!/bin/sh
# compiler.sh TARGET: prints a C compiler for a target of Rust's. Beside it are `ar`, `nm`, `objcopy` and `strip` for the same; where it is of
# musl, ../lib has the unwinder that Rust asks for there, and ../libc.so is the C library with its loader.
#
# What this machine has not is Debian's, unpacked below build/compilers (debian.sh).
#
# Exit status 77: it cannot be had here; the last line says why.
set -eu
scripts=$(dirname "$0")
processor=${1%%-*}
gnu=$processor-linux-gnu
compilers=$(pwd)/build/compilers
out=$compilers/$1

cannot() {
    echo "$*" >&2
    exit 77
}

# program NAME LINE...: a script beside the compiler.
program() {
    file=$out/bin/$1
    shift
    printf '%s\n' '#!/bin/sh' "$@" >"$file"
    chmod 755 "$file"
}

# For the other processor Debian has a compiler of this one's.
cross() {
    root=$compilers/$gnu
    reason=$("$scripts/debian.sh" unpack "$root" bookworm "gcc-12-$gnu" "gcc-12-$gnu-base" "cpp-12-$gnu" \
        "binutils-$gnu" "libc6-dev-$debian-cross" "libc6-$debian-cross" "linux-libc-dev-$debian-cross" \
        "libgcc-12-dev-$debian-cross" "libgcc-s1-$debian-cross" libisl23 libmpc3 libmpfr6 libgmp10 libzstd1 libjansson4 \
        zlib1g) || cannot "$reason"
    # Where it was unpacked, in place of where it would be installed.
    sed "s|/usr/$gnu/lib/||g" "$root/usr/$gnu/lib/libc.so" >"$root/libc.so"
    cp "$root/libc.so" "$root/usr/$gnu/lib/libc.so"
    libraries="export LD_LIBRARY_PATH='$root/usr/lib/$(uname -m)-linux-gnu'"
    gcc="'$root/usr/bin/$gnu-gcc-12' -B'$root/usr/bin/$gnu-'"
    tools=$root/usr/bin/$gnu-
    kernel=$root/usr/$gnu/include
}

own() {
    libraries=:
    gcc=gcc
    tools=
    kernel=/usr/include
}

# As musl-gcc, with the folders where it was unpacked.
musl() {
    root=$out/root
    libc=$root/usr/lib/$processor-linux-musl
    reason=$("$scripts/debian.sh" unpack "$root" bookworm "musl:$debian" "musl-dev:$debian") || cannot "$reason"
    # Where /lib is /usr/lib they are in one folder, and the shared one is taken.
    [ -e "$libc/libc.so" ] || ln -s "$root/lib/${libc##*/}/libc.so" "$libc/libc.so"
    ln -sf "$libc/libc.so" "$out/libc.so"
    mkdir -p "$out/lib" "$out/include"
    sed -e "s|/usr/|$root/usr/|g" -e "s|-dynamic-linker /lib/|-dynamic-linker $root/lib/|" "$libc/musl-gcc.specs" \
        >"$out/musl-gcc.specs"
    # The kernel's own headers are the same for every C library; musl has none.
    for folder in linux asm asm-generic; do
        for from in "$kernel/$folder" "$kernel/$gnu/$folder"; do
            [ ! -d "$from" ] || ln -sfn "$from" "$out/include/$folder"
        done
    done
    gcc="$gcc -idirafter '$out/include' -specs '$out/musl-gcc.specs'"
    # gcc's helpers for atomics ask glibc which processor it is.
    [ "$processor" != aarch64 ] || gcc="$gcc -mno-outline-atomics"
    # Rust asks for the unwinder of gcc, which is glibc's here. Its own, which is of the same interface, serves as well.
    rust=$("$scripts/toolchain.sh" "$1")
    unwinder=$rust/lib/rustlib/$1/lib/self-contained/libunwind.a
    echo "INPUT($unwinder)" >"$out/lib/libgcc_s.so"
    ln -sf "$unwinder" "$out/lib/libunwind.a"
}

case $processor in
    x86_64) debian=amd64 ;;
    aarch64) debian=arm64 ;;
    *) cannot "no compiler for $1 is known" ;;
esac
mkdir -p "$out/bin"
if [ "$processor" = "$(uname -m)" ]; then own; else cross; fi
case $1 in *-musl) musl "$1" ;; esac
program cc "$libraries" "exec $gcc \"\$@\""
for tool in ar nm objcopy strip; do program $tool "$libraries" "exec '${tools}$tool' \"\$@\""; done
echo "$out/bin/cc"
