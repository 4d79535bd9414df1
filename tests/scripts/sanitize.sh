#!/bin/sh
# sanitize.sh address|thread [TEST...], or sanitize.sh address|thread --compile SOURCE PROGRAM: Rust tests and C programs under AddressSanitizer with LeakSanitizer (and, for the
# C code, UndefinedBehaviorSanitizer), or under ThreadSanitizer. Built apart, below target/sanitize-*.
set -eu
: "${CARGO:=cargo}" "${CC:=cc}" "${LAB:=target/debug/lab}"
kind=$1
shift
triple=$(rustc -vV | sed -n 's/^host: //p')
folder=$(pwd)/target/sanitize-$kind
out=$(pwd)/build/sanitize-$kind
mkdir -p "$out"
# What the standard library of stable Rust was not built for.
export RUSTC_BOOTSTRAP=1
features=''
case $kind in
    address)
        flags='-Zsanitizer=address -Cforce-frame-pointers=yes'
        # A test process ends while scripted peers still have threads: what only they hold is no leak of the library's.
        export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
        export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$(pwd)/tests/sanitizers/lsan.supp:print_suppressions=0}
        export SENTINEL_SO=$out/lib/libsentinel.so.${SOVERSION:-0}
        export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
        ;;
    thread)
        flags='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer'
        features='--features tsan'
        export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$(pwd)/tests/sanitizers/tsan.supp:halt_on_error=0:exitcode=66}
        ;;
    *)
        echo "usage: sanitize.sh address|thread [TEST...]" >&2
        exit 2
        ;;
esac

cargo_with() {
    verb=$1
    shift
    # With a target named, build scripts and macros are built without the flags.
    # shellcheck disable=SC2086
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$folder "$CARGO" "$verb" --target "$triple" $features "$@"
}

# compile SOURCE PROGRAM: the C program with the same sanitizer, against the library that was built with it.
compile() {
    library=$folder/$triple/release
    mkdir -p "$out/lib" "$(dirname "$2")"
    ln -sf "$library/libsentinel.so" "$out/lib/libsentinel.so.${SOVERSION:-0}"
    flags_c="-std=c11 -O1 -g -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude"
    libraries=$(tests/scripts/compile.sh libs "$1") || exit
    # shellcheck disable=SC2086
    set -- "$1" "$2" -Wl,--as-needed -L"$library" -Wl,-rpath,"$out/lib" -lsentinel -lpthread -ldl -lm -lrt $libraries
    source=$1 program=$2
    shift 2
    if [ "$kind" = address ]; then
        # shellcheck disable=SC2086
        $CC $flags_c -fsanitize=address,undefined -fno-sanitize-recover=undefined "$source" -o "$program" "$@"
    else
        # The compiler's own runtime lacks what Rust's code calls: Rust's is linked in its place.
        runtime=$(rustc --print sysroot)/lib/rustlib/$triple/lib/librustc-stable_rt.tsan.a
        # shellcheck disable=SC2086
        $CC $flags_c -fsanitize=thread -c "$source" -o "$program.o"
        $CC "$program.o" -o "$program" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -rdynamic "$@" -lstdc++
    fi
}

if [ "${1:-}" = --compile ]; then
    compile "$2" "$3"
    exit
fi
if [ $# -gt 0 ]; then
    cargo_with test --test suite -- "$@"
    exit
fi
failed=0
case $kind in
    address)
        cargo_with test --lib -- --skip council::sim || failed=1
        # Without what measures time and memory, searches all of it, or forks.
        cargo_with test --test suite -- --skip leaks:: --skip forks:: --skip costs_no_memory --skip in_proportion \
            --skip little_more_than_their_bytes --skip a_password_is_in_memory || failed=1
        ;;
    thread)
        # Simulations and the proofs over millions of inputs have one thread.
        cargo_with test --lib -- --skip council::sim --skip resp:: --skip fuzzing:: || failed=1
        # Not the suite: scripted peers and test threads synchronise by the standard library, which is not instrumented.
        ;;
esac
cargo_with build --release --lib
tests/scripts/c-tests.sh "$kind" || failed=1
exit $failed
