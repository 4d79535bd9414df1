# shellcheck shell=sh
# tally.sh, read by scripts that run all tests somewhere else: counts what became of them, in `passed`, `failed`, `again` and
# `skipped`. What fails beside others, or does not end, is run once more by itself: only then it says something of where it
# ran. TEST is the words that build tests of Rust's and RUN_BY what runs them, C_TESTS the script for the C programs.

# rust LOG PROGRAM THREADS [SECONDS]: all tests of a program, in SECONDS (1800) at the most. It is built once: whoever edits
# the sources meanwhile does not change what is tested.
rust() {
    # shellcheck disable=SC2086
    $TEST --test "$2" --no-run >"$1" 2>&1 || { cat "$1"; exit 1; }
    built=$1.program
    cp "$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$1")" "$built"
    # shellcheck disable=SC2086
    RUST_TEST_THREADS=$3 timeout -k 10 "${4:-1800}" ${RUN_BY:-} "$built" --show-output >"$1" 2>&1 || true
    left_out=$(grep -c '^skipped[ :]' "$1" || true)
    passed=$((passed + $(grep -c '^test .* ok$' "$1" || true) - left_out))
    skipped=$((skipped + left_out))
    : >"$1.failed"
    : >"$1.why"
    sed -n 's/^test \(.*\) \.\.\. \(ok\|ignored.*\)$/\1/p' "$1" | sort >"$1.over"
    # shellcheck disable=SC2086
    for name in $(${RUN_BY:-} "$built" --list | sed -n 's/: test$//p' | sort | comm -23 - "$1.over"); do
        if timeout -k 10 300 ${RUN_BY:-} "$built" --exact "$name" >"$1.again" 2>&1; then
            again=$((again + 1))
            passed=$((passed + 1))
            echo "    again $name" >>"$1.failed"
        else
            failed=$((failed + 1))
            echo "    FAILED $name" >>"$1.failed"
            cat "$1.again" >>"$1.why"
        fi
    done
}

# programs LOG [KIND]: the C programs.
programs() {
    counted=$1
    shift
    : >"$counted"
    TALLY=$counted "$C_TESTS" "$@" >"$counted.log" 2>&1 || true
    passed=$((passed + $(grep -c '^ok ' "$counted" || true)))
    failed=$((failed + $(grep -c '^FAILED ' "$counted" || true)))
    skipped=$((skipped + $(grep -c '^skipped ' "$counted" || true)))
}

# told LOG...: what failed, what passed at its second attempt, and what was skipped and why.
told() {
    for said; do
        if [ -e "$said.failed" ]; then
            cat "$said.failed"
            sed -n 's/^skipped[ :]/    &/p' "$said" | sort | uniq -c
        else
            sed -n 's/^FAILED /    FAILED /p' "$said"
            sed -n 's/^\(.*\): skipped, for /    skipped \1: /p' "$said.log" | sort | uniq -c
        fi
    done
}
