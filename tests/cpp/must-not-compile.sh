#!/bin/sh
# must-not-compile.sh COMPILER: each line of WRONG(...) in tests/cpp/must-not-compile is an error of its own, with a
# message that helps; without those lines the files compile.
set -eu
flags='-std=c++20 -Iinclude -DSENTINEL_HPP_SEPARATE'
compiler="$1 $flags -fsyntax-only"
case $1 in
    clang*) all='-ferror-limit=0 -ftemplate-backtrace-limit=0' ;;
    *) all='-fmax-errors=0 -ftemplate-backtrace-limit=0' ;;
esac
strict='-Wall -Wextra -Wpedantic -Werror -Wno-unused-variable -Wno-unused-but-set-variable'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# refused FILE PATTERN: each line of WRONG(...) has an error, or asks for the template that has one.
refused() {
    # shellcheck disable=SC2086
    if ! $compiler $strict "$1"; then
        echo "$1: what is right does not compile"
        failed=1
    fi
    # shellcheck disable=SC2086
    if $compiler $all -w -DWITH_WRONG "$1" >"$log" 2>&1; then
        echo "$1: compiles"
        failed=1
    fi
    for line in $(grep -n '^ *WRONG(' "$1" | cut -d : -f 1); do
        if ! grep -E "^$1:$line:[0-9]+: +($2)" "$log" >/dev/null; then
            echo "$1:$line: compiles, or is refused with other words: $(sed -n "${line}p" "$1")"
            failed=1
        fi
    done
}

refused tests/cpp/must-not-compile/borrowed.cpp \
    'error: .*deleted'
refused tests/cpp/must-not-compile/handles.cpp 'error: .*deleted'
refused tests/cpp/must-not-compile/arguments.cpp \
    '(required from here|note: in instantiation of|error: (no matching|.*deleted|.*ambiguous))'
for message in \
    'an argument of a command is a text .what converts to std::string_view., a number, a bool, or' \
    'as<T>..: T is a std::string, a bool, an integer, a floating point type, or a std::optional' \
    'and_then.. takes a function that returns a sentinel::result' \
    'what is borrowed from the value of a temporary result is gone with it'; do
    if ! grep "$message" "$log" >/dev/null; then
        echo "nothing says: $message"
        failed=1
    fi
done

# What clang tells of what is borrowed from a local object, and its analyzer of what was moved from.
case $1 in
    clang*)
        file=tests/cpp/must-not-compile/moved.cpp
        analyzer="$1 $flags --analyze -o /dev/null -Xclang -analyzer-checker=cplusplus.Move
            -Xclang -analyzer-config -Xclang cplusplus.Move:WarnOn=All"
        # shellcheck disable=SC2086
        right=$($analyzer "$file" 2>&1) && [ -z "$right" ] || { echo "$file: what is right is told: $right"; failed=1; }
        # shellcheck disable=SC2086
        $analyzer -DWITH_WRONG "$file" >"$log" 2>&1
        for line in $(grep -n '^ *WRONG(' "$file" | cut -d : -f 1); do
            if ! grep -E "^$file:$line:[0-9]+: warning: .*moved-from object" "$log" >/dev/null; then
                echo "$file:$line: clang's analyzer says nothing: $(sed -n "${line}p" "$file")"
                failed=1
            fi
        done
        file=tests/cpp/must-not-compile/local.cpp
        # shellcheck disable=SC2086
        $compiler $strict "$file"
        # shellcheck disable=SC2086
        $compiler $all -Wall -DWITH_WRONG "$file" >"$log" 2>&1 || true
        for line in $(grep -n '^ *WRONG(' "$file" | cut -d : -f 1); do
            if ! grep -E "^$file:$line:[0-9]+: (warning: address of stack memory|error: .* deleted function)" "$log" \
                >/dev/null; then
                echo "$file:$line: clang says nothing: $(sed -n "${line}p" "$file")"
                failed=1
            fi
        done
        ;;
esac
[ $failed -eq 0 ] || cat "$log"
exit $failed
