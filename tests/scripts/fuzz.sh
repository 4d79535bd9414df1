#!/bin/sh
# fuzz.sh [TARGET...]: runs each fuzz target, or those named, for SECONDS_EACH (60), from its committed corpus.
#
# What is new goes to fuzz/found/TARGET; with MINIMIZE=1 the corpus is made anew from both, as small as its coverage
# allows. A crash is left in fuzz/artifacts and fails the run: it becomes a file of the corpus, or a test with a name.
set -eu
: "${CARGO:=cargo}" "${SECONDS_EACH:=60}"
cd "$(dirname "$0")/../../fuzz"

if ! "$CARGO" fuzz --version >/dev/null 2>&1; then
    "$CARGO" install cargo-fuzz --locked
fi
# cargo-fuzz asks for flags that stable Rust knows only so.
export RUSTC_BOOTSTRAP=1
# Its own target folder is fuzz/target, whatever the library's is.
unset CARGO_TARGET_DIR
triple=$(rustc -vV | sed -n 's/^host: //p')
if [ $# -eq 0 ]; then
    set -- $("$CARGO" fuzz list)
fi
status=0
for target in "$@"; do
    mkdir -p "found/$target"
    log=found/$target.log
    # 64 MiB at once, or 1 GiB in all, is growth beyond what any target's input may cause; 25 s is no linear time, and no pause of a busy machine.
    if "$CARGO" fuzz run --target "$triple" "$target" "found/$target" "corpus/$target" -- -max_total_time="$SECONDS_EACH" \
        -max_len=16384 -malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=25 -print_final_stats=1 >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
        printf 'ok      %s: %s runs in %s s, coverage %s\n' "$target" "$runs" "$SECONDS_EACH" "$cover"
    else
        printf 'FAILED  %s\n' "$target"
        tail -n 40 "$log"
        status=1
    fi
    if [ -n "${MINIMIZE:-}" ]; then
        "$CARGO" fuzz cmin --target "$triple" "$target" "found/$target" >>"$log" 2>&1
    fi
done
exit $status
