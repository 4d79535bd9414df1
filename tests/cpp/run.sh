#!/bin/sh
# run.sh headers|compile|programs: the C++ surface, as `make cpp-tests` runs it.
#
# headers: each header alone and twice in a program, in every language version that is promised and with each compiler
# that is there. programs: those of tests/cpp against the .so and the .a; with the sanitizers; the examples; a failover
# survived. compile: nothing but their compilation; what is wrong with it is for `programs` to tell.
#
# The first comment of a program in tests/cpp says what it needs:
#   compile only       compiling it is the test
#   needs: nothing     run without arguments
#   needs: topology    run inside `lab run`, with the arguments SERVICE HOST:PORT...; $LAB is the lab's program
#   flags: -f...       it and the headers' definitions are compiled with these too
#   header: NAME       of another library; skipped where it is not installed
#
# storm.cpp runs for STORM seconds (20) with the sanitizers, and half of it without, where it forks; with SEED if it is
# set.
#
# What must not compile is in tests/cpp/must-not-compile.
#
# Exit status 77 of a program, or of a compiler that is not there: skipped.
set -eu
: "${CXX:=g++}" "${LAB:=target/debug/lab}" "${RELEASE:=target/release}" "${STORM:=20}"
: "${LIBS_PRIVATE:=-lutil -lrt -lpthread -lm -ldl}"
export CXX LAB RELEASE LIBS_PRIVATE STORM
step=tests/scripts/step.sh
out=build/cpp
strict='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
standards='c++17 c++20 c++2b'

have() {
    if ! command -v "${1%% *}" >/dev/null 2>&1; then
        echo "$1 is not installed" >&2
        exit 77
    fi
}

# headers COMPILER STANDARD
headers() {
    have "$1"
    all=sentinel.hpp
    # Each by itself, once for each compiler.
    case $1-$2 in
        "$CXX-c++17" | clang++-c++20)
            all="$all $(cd include && ls sentinel/*.hpp | grep -v _source)"
            adapters "$1 -std=$2" asio.hpp
            adapters "$1 -std=$2 -DSENTINEL_BOOST_ASIO" boost/asio.hpp
            ;;
    esac
    for header in $all; do
        # shellcheck disable=SC2086
        printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
            $1 -std="$2" $strict -Iinclude -fsyntax-only -x c++ -
    done
    for flags in -fno-exceptions -fno-rtti -DSENTINEL_HPP_SEPARATE -DSENTINEL_HPP_SOURCE; do
        # shellcheck disable=SC2086
        printf '#include <sentinel.hpp>\n#include <sentinel/future.hpp>\n' |
            $1 -std="$2" $strict $flags -Iinclude -fsyntax-only -x c++ -
    done
    # shellcheck disable=SC2086
    $1 -std="$2" $strict -O2 ${CXXFLAGS:-} -Iinclude -c -o /dev/null tests/cpp/types.cpp
}

# has COMPILER HEADER
has() {
    printf '#include <%s>\n' "$2" | $1 -E -x c++ - >/dev/null 2>&1
}

# adapters COMPILER HEADER: where HEADER is installed.
adapters() {
    if ! has "$1" "$2"; then
        echo "sentinel/adapters/asio.hpp: not with <$2>, which is not installed" >&2
        return 0
    fi
    # shellcheck disable=SC2086
    printf '#include <sentinel/adapters/asio.hpp>\n#include <sentinel/adapters/asio.hpp>\n' |
        $1 $strict -Iinclude -fsyntax-only -x c++ -
}

# toolchain VARIANT: sets `compiler` and `libraries`.
toolchain() {
    library=$(cd "$RELEASE" && pwd)
    shared="-L$library -Wl,-rpath,$(pwd)/build/lib -lsentinel"
    case $1 in
        shared) compiler="$CXX -std=c++17 -O1 -g1" libraries=$shared ;;
        static) compiler="$CXX -std=c++20 -O2" libraries="$library/libsentinel.a $LIBS_PRIVATE" ;;
        clang) # with the definitions in one file, second.cpp
            compiler="clang++ -std=c++20 -O1 -g1 -DSENTINEL_HPP_SEPARATE" libraries=$shared
            ;;
        sanitized)
            # Optimized it is compiled three times as long, and sees less.
            compiler="$CXX -std=c++20 -O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all" libraries=$shared
            ;;
    esac
    have "$compiler"
    compiler="$compiler $strict ${CXXFLAGS:-} -pthread -Iinclude"
}

# second VARIANT: the headers once more, and what is used of them. It is a part of each program, so that nothing in them
# is defined twice, or not at all.
second() {
    toolchain "$1"
    cat >"$out/$1/second.cpp" <<'END'
#if defined(SENTINEL_HPP_SEPARATE)
#define SENTINEL_HPP_SOURCE
#endif
#include <sentinel.hpp>
std::size_t second(const sentinel::client &client);
std::size_t second(const sentinel::client &client) { return client.try_command({"PING", 1}).ok(); }
END
    $compiler -c "$out/$1/second.cpp" -o "$out/$1/second.o"
}

# compile VARIANT SOURCE PROGRAM
compile() {
    toolchain "$1"
    header=$(sed -n -e 's/^ \* header: \(.*\)/\1/p' -e '/\*\//q' "$2")
    if [ -n "$header" ] && ! has "$compiler" "$header"; then
        echo "$2: skipped, for <$header> is not installed" >&2
        exit 77
    fi
    flags=$(sed -n -e 's/^ \* .*flags: \(-[^.]*\)\..*/\1/p' "$2")
    second=$out/$1/second.o
    [ -z "$flags" ] || second=$out/$1/second.cpp
    # shellcheck disable=SC2086
    $compiler $flags "$2" "$second" -o "$3" $libraries ${LDFLAGS:-}
}

# in_lab SCRIPT PROGRAM: SCRIPT finds the program as $1, and the topology in its environment.
in_lab() {
    timeout --foreground -k 10 "$((120 + STORM))" "$LAB" run -- sh -c "$1" sh "$2"
}

# program VARIANT SOURCE: runs what was compiled.
program() {
    need=$(sed -n -e '/compile only\|needs: nothing\|needs: topology/{p;q;}' -e '/\*\//q' "$2")
    name=$out/$1/$(basename "$2" .cpp)
    cat "$name.compiled"
    compiled=$(cat "$name.status")
    if [ "$compiled" -ne 0 ]; then return "$compiled"; fi
    # The variables are those of the lab.
    # shellcheck disable=SC2016
    case "$1 $2" in
        "static "*/storm.cpp) STORM=$((STORM / 2)) ;;
    esac
    case "$2 $need" in
        *"needs: nothing"*) timeout --foreground -k 10 120 "$name" ;;
        examples-cpp/failover*) failover "$name" ;;
        *"needs: topology"* | examples-cpp/*)
            in_lab 'exec env SECONDS="$STORM" "$1" "$SERVICE" $(echo "$SENTINELS" | tr , " ")' "$name"
            ;;
        *)
            echo "$2: the first comment says neither 'compile only' nor 'needs: nothing' nor 'needs: topology'"
            return 1
            ;;
    esac
}

# failover PROGRAM: kill -9 of the primary under the writer. It moves to another node, writes on, and ends when asked.
failover() {
    # shellcheck disable=SC2016
    in_lab '
        : >"$1.log" # now, for the writer may begin later than the loop below looks for its lines
        "$1" "$SERVICE" $(echo "$SENTINELS" | tr , " ") >>"$1.log" 2>&1 &
        writer=$!
        # moved LOG TIMES: waits until the log names so many primaries, half a minute at most.
        moved() {
            tries=0
            until [ "$(grep -c "^primary " "$1")" -ge "$2" ] || [ $tries -ge 300 ]; do
                tries=$((tries + 1))
                sleep 0.1
            done
        }
        moved "$1.log" 1
        "$LAB" ctl kill-primary
        moved "$1.log" 2
        sleep 1
        kill -TERM "$writer"
        wait "$writer"
    ' "$1" || { cat "$1.log"; return 1; }
    cat "$1.log"
    grep -q '^summary acknowledged=[1-9][0-9]* failed=[01] moves=1 ' "$1.log"
}

case ${1:-} in
    --headers)
        headers "$2" "$3"
        exit 0
        ;;
    --refused)
        have "$2"
        tests/cpp/must-not-compile.sh "$2"
        exit
        ;;
    --second)
        # Without it, each program's step says what is wrong.
        second "$2" || true
        exit 0
        ;;
    --compile)
        # How it ends is for the program's own step to tell.
        name=$out/$2/$(basename "$3" .cpp)
        status=0
        "$0" --compile-loud "$2" "$3" "$name" >"$name.compiled" 2>&1 || status=$?
        echo "$status" >"$name.status"
        exit 0
        ;;
    --compile-loud)
        compile "$2" "$3" "$4"
        exit
        ;;
    --program)
        # The output goes to a file, and is shown when the program fails or skips something.
        log=$out/log/$2-$(basename "$3").log
        status=0
        "$0" --loud "$2" "$3" >"$log" 2>&1 || status=$?
        [ "$status" -eq 0 ] || cat "$log"
        [ "$status" -ne 0 ] || grep '^storm: .* calls' "$log" || true
        exit "$status"
        ;;
    --loud)
        program "$2" "$3"
        exit
        ;;
esac

# Each header, and what must not compile; all at the same time, for none takes long.
check_headers() {
    checks=
    for compiler in "$CXX" clang++; do
        for standard in $standards; do
            "$step" "C++ headers ($compiler, $standard)" "$0" --headers "$compiler" "$standard" &
            checks="$checks $!"
        done
    done
    for compiler in "$CXX" clang++; do
        "$step" "C++ that must not compile ($compiler)" "$0" --refused "$compiler" &
        checks="$checks $!"
    done
    for check in $checks; do
        wait "$check" || failed=1
    done
}

# Each program in each of its variants.
programs() {
    for source in tests/cpp/*.cpp examples-cpp/*.cpp; do
        case $source in
            examples-cpp/*) variants=shared ;;
            tests/cpp/storm.cpp) variants='static sanitized' ;;
            tests/cpp/adapter_asio.cpp) variants='shared sanitized' ;;
            tests/cpp/adapter_boost_asio.cpp) variants=clang ;;
            *) variants='shared static clang sanitized' ;;
        esac
        if grep -q '^ \* compile only' "$source"; then continue; fi # with the headers, above
        for variant in $variants; do
            echo "$variant $source"
        done
    done
}

# compile_all: on every processor, for running takes none, and may not be disturbed. `make test` has it done ahead, once.
compile_all() {
    mark=$out/of-run
    [ "$(cat "$mark" 2>/dev/null)" != "${SENTINEL_TEST_RUN:-none}" ] || return 0
    mkdir -p "$out/shared" "$out/static" "$out/clang" "$out/sanitized"
    echo shared static clang sanitized | xargs -P "$(nproc)" -n 1 "$0" --second
    programs | xargs -P "$(nproc)" -n 2 "$0" --compile
    echo "${SENTINEL_TEST_RUN:-}" >"$mark"
}

run_all() {
    mkdir -p "$out/log"
    programs >"$out/programs"
    while read -r variant source; do
        "$step" "$source ($variant)" "$0" --program "$variant" "$source" </dev/null || failed=1
    done <"$out/programs"
}

failed=0
case ${1:-} in
    headers) check_headers ;;
    compile) compile_all ;;
    programs)
        compile_all
        run_all
        ;;
    *)
        echo "usage: run.sh headers|compile|programs" >&2
        exit 2
        ;;
esac
exit "$failed"
