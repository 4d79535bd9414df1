#!/bin/sh
# arm64.sh [TEST...]: the library for arm64, its C programs, and the Rust tests of the suite, run by qemu against this
# machine's own servers, as a table. With TEST: these tests of the suite alone.
#
# A processor that a program plays is several times slower, and other than it at each turn: what fails beside others is run
# once more by itself (tally.sh), for limits of milliseconds say nothing of arm64. The logs are in build/arm64/log.
#
# Compiler, C library and qemu are Debian's, unpacked below build (compiler.sh); Rust's standard library is rustup's
# (toolchain.sh). What qemu does not show is how loosely such a processor orders memory: the models under loom do.
#
# Exit status 77: one of them cannot be had here; the last line says which.
set -eu
: "${LAB:=target/debug/lab}" "${SOVERSION:=0}"
scripts=$(dirname "$0")
out=$(pwd)/build/arm64
root=$(pwd)/build/compilers/aarch64-linux-gnu/usr/aarch64-linux-gnu
triple=aarch64-unknown-linux-gnu

case $(uname -m) in
    aarch64)
        echo "this machine is one: make test does it" >&2
        exit 77
        ;;
esac
rust=$("$scripts/toolchain.sh" "$triple")
compiler=$("$scripts/compiler.sh" "$triple")
reason=$("$scripts/debian.sh" unpack "$out/qemu" bookworm qemu-user-static) || {
    echo "$reason" >&2
    exit 77
}
mkdir -p "$out/library"
# With the C library that the compiler has.
qemu=$out/qemu-aarch64
printf '%s\n' '#!/bin/sh' "exec '$out/qemu/usr/bin/qemu-aarch64-static' -L '$root' \"\$@\"" >"$qemu"
chmod 755 "$qemu"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="$compiler" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu" CC_aarch64_unknown_linux_gnu="$compiler" \
    AR_aarch64_unknown_linux_gnu="${compiler%cc}ar" CARGO_TARGET_DIR=target/arm64 SENTINEL_HEADER_CHECK=1 \
    RUSTC="$rust/bin/rustc"
# A test that runs itself apart does so by this.
export TEST_RUNNER="$qemu"
if [ $# -gt 0 ]; then
    exec "$rust/bin/cargo" test --target "$triple" --test suite -- "$@"
fi
# With the assertions of a build for tests, and most of what is compiled for it serves both.
"$rust/bin/cargo" rustc --quiet --lib --crate-type cdylib,staticlib --target "$triple"
cp "target/arm64/$triple/debug/libsentinel.so" "target/arm64/$triple/debug/libsentinel.a" "$out/library"
ln -sf libsentinel.so "$out/library/libsentinel.so.$SOVERSION"
mkdir -p "$out/log"
TEST="$rust/bin/cargo test --target $triple" C_TESTS=$out/c-tests RUN_BY=$qemu
# Libraries of event loops are for this machine's processor.
cat >"$C_TESTS" <<SCRIPT
#!/bin/sh
export CC='$compiler' RELEASE='$out/library' SONAME_DIR='$out/library' SENTINEL_SO='$out/library/libsentinel.so'
export TESTS_OUT='$out/tests' PKG_CONFIG_LIBDIR='$out/none' RUN_BY='$qemu' LIMIT=600
exec '$scripts/c-tests.sh'
SCRIPT
chmod 755 "$C_TESTS"
# shellcheck source=tests/scripts/tally.sh
. "$scripts/tally.sh"
passed=0 failed=0 again=0 skipped=0 start=$(date +%s)
programs "$out/log/programs"
rust "$out/log/suite" suite 3 3600
printf '%6s %6s %6s %7s %7s\n' passed failed again skipped seconds \
    "$passed" "$failed" "$again" "$skipped" "$(($(date +%s) - start))"
told "$out/log/programs" "$out/log/suite"
[ "$failed" -eq 0 ]
