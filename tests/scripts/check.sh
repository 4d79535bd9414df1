#!/bin/sh
# check.sh drift|format|clippy|header|folders|msrv|systems: one static check of the sources. Exit status 77: skipped.
set -eu
: "${CARGO:=cargo}" "${CC:=cc}" "${CXX:=c++}"
warnings='-Wall -Wextra -Wpedantic -Werror'

# need_component NAME: without the component, skips the check, or fails it in CI.
need_component() {
    if ! "$CARGO" "$1" --version >/dev/null 2>&1; then
        echo "cargo $1 is not installed (rustup component add $2)" >&2
        if [ -n "${CI:-}" ]; then exit 1; fi
        exit 77
    fi
}

# include/sentinel.h is what build.rs makes of the sources.
drift() {
    before=$(mktemp)
    trap 'rm -f "$before"' EXIT
    cp include/sentinel.h "$before"
    if ! SENTINEL_HEADER_CHECK=1 "$CARGO" check --quiet --lib || ! cmp -s "$before" include/sentinel.h; then
        echo "include/sentinel.h is not what the sources give: run make, look at the change, commit it" >&2
        exit 1
    fi
}

# The header alone, and the programs that only include it, in every language version that is promised.
header() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    printf '#include <sentinel.h>\n' | tee "$scratch/alone.c" >"$scratch/alone.cpp"
    for std in c99 c11 c17; do
        for file in "$scratch/alone.c" tests/c/header_c.c; do
            # shellcheck disable=SC2086
            "$CC" -std=$std $warnings -Iinclude -fsyntax-only "$file"
        done
    done
    for std in c++11 c++17; do
        for file in "$scratch/alone.cpp" tests/c/header_cpp.cpp; do
            # shellcheck disable=SC2086
            "$CXX" -std=$std $warnings -Iinclude -fsyntax-only "$file"
        done
    done
    for adapter in libevent:libevent libuv:libuv glib:glib-2.0 sd-event:libsystemd; do
        adapter "${adapter%:*}" "${adapter#*:}"
    done
}

# adapter NAME LIBRARY: its header in C99 (where libuv's own asks for what POSIX adds) and C++11, twice in a file. clang
# warns of casts of C where gcc does not, in extern "C".
adapter() {
    if ! flags=$(pkg-config --cflags "$2" 2>/dev/null); then
        echo "sentinel/adapters/$1.h: skipped, for pkg-config does not know $2"
        return
    fi
    printf '#include <sentinel/adapters/%s.h>\n' "$1" "$1" | tee "$scratch/adapter.c" >"$scratch/adapter.cpp"
    # shellcheck disable=SC2086
    "$CC" -std=c99 -D_POSIX_C_SOURCE=200809L $warnings -Iinclude $flags -fsyntax-only "$scratch/adapter.c"
    # shellcheck disable=SC2086
    "$CXX" -std=c++11 $warnings -Iinclude $flags -fsyntax-only "$scratch/adapter.cpp"
    if command -v clang++ >/dev/null 2>&1; then
        # The loop's own headers have such casts too.
        flags=$(printf '%s\n' "$flags" | sed 's/-I/-isystem /g')
        # shellcheck disable=SC2086
        clang++ -std=c++11 $warnings -Wold-style-cast -Iinclude $flags -fsyntax-only "$scratch/adapter.cpp"
    fi
}

# The library with the oldest Rust that Cargo.toml names: cargo's own, or one that rustup has or gets.
msrv() {
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    case $("$CARGO" --version) in
        "cargo $oldest."*) toolchain= ;;
        *)
            if ! rustup toolchain install "$oldest" --profile minimal >/dev/null 2>&1; then
                echo "there is no Rust $oldest, and no rustup that could get it" >&2
                exit 77
            fi
            toolchain=+$oldest
            ;;
    esac
    # shellcheck disable=SC2086
    CARGO_TARGET_DIR=target/msrv SENTINEL_HEADER_CHECK=1 "$CARGO" $toolchain check --quiet --locked --lib
}

# The library's types with what other systems have. Nothing is linked and nothing runs: in place of their C compilers, which
# the libraries' C sources ask for, stands one that makes empty files.
systems() {
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    cat >"$tools/cc" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        -o) : >"$2" ;;
        -o?*) : >"${1#-o}" ;;
    esac
    shift
done
END
    cat >"$tools/ar" <<'END'
#!/bin/sh
for word; do case $word in *.a) : >"$word" ;; esac; done
END
    chmod +x "$tools/cc" "$tools/ar"
    for system in aarch64-apple-darwin x86_64-unknown-freebsd x86_64-unknown-netbsd; do
        if ! rustup target add "$system" >/dev/null 2>&1; then
            echo "there is no standard library for $system, and no rustup that could get it" >&2
            exit 77
        fi
        name=$(echo "$system" | tr - _)
        echo "$system"
        env "CC_$name=$tools/cc" "AR_$name=$tools/ar" CARGO_TARGET_DIR=target/systems SENTINEL_HEADER_CHECK=1 \
            "$CARGO" check --quiet --locked --lib --target "$system"
    done
}

# CONTRIBUTING.md says of each folder what is in it.
folders() {
    missing=0
    for folder in src/*/ tests/*/ tests/suite/*/ bindings/*/ benches/ docs/ examples-*/ fuzz/ include/ packaging/*/; do
        if ! grep -q "^|.*\`${folder%/}\`" CONTRIBUTING.md; then
            echo "CONTRIBUTING.md has no line for the folder ${folder%/}" >&2
            missing=1
        fi
    done
    return $missing
}

case $1 in
    drift) drift ;;
    format)
        need_component fmt rustfmt
        "$CARGO" fmt --all --check
        ;;
    clippy)
        need_component clippy clippy
        "$CARGO" clippy --quiet --workspace --all-targets -- -D warnings
        ;;
    header) header ;;
    folders) folders ;;
    msrv) msrv ;;
    systems) systems ;;
    *)
        echo "usage: check.sh drift|format|clippy|header|folders|msrv|systems" >&2
        exit 2
        ;;
esac
