#!/bin/sh
# foresee.sh: `make bench-foresee`. A writer through RUNS failovers of each kind (planned, kill -9, SIGSTOP) with each
# failover.foresee, with the timers of a deployment (down-after-milliseconds 1000): a line for each run, and a table.
set -eu
: "${BUILD:=build/bench-foresee}" "${LAB:=target/debug/lab}" "${RELEASE:=target/release}" "${CC:=cc}" "${SOVERSION:=0}"
: "${RUNS:=3}" "${KINDS:=fail-over kill freeze}" "${MODES:=adopt hold off}" "${SECONDS_IN_ALL:=7}"
mkdir -p "$BUILD"
ln -sf "$(cd "$RELEASE" && pwd)/libsentinel.so" "$BUILD/libsentinel.so.$SOVERSION"
$CC -std=c11 -O2 -Wall -Wextra -Werror -Iinclude benches/bench_foresee.c -o "$BUILD/bench_foresee" -L"$BUILD" \
    -Wl,-rpath,"$(cd "$BUILD" && pwd)" -l:"libsentinel.so.$SOVERSION" -lpthread
lab=$(realpath "$LAB")

# once KIND MODE: one failover on servers of its own.
once() {
    rm -f "$BUILD/begun" "$BUILD/result"
    # shellcheck disable=SC2016
    "$lab" run --down-after 1000 --default-timers -- sh -c '
        mkfifo "$1/begun"
        "$1/bench_foresee" "$SERVICE" "$SENTINELS" "$NODES" "$3" "$4" >"$1/begun" &
        writer=$!
        {
            read -r begun
            sleep 1
            case $2 in
            fail-over) "$5" ctl fail-over ;;
            *) "$5" ctl "$2" primary ;;
            esac >/dev/null
            cat
        } <"$1/begun" >"$1/result"
        wait "$writer"
    ' sh "$BUILD" "$1" "$2" "$SECONDS_IN_ALL" "$lab"
    rm -f "$BUILD/begun"
}

: >"$BUILD/runs"
run=0
while [ "$run" -lt "$RUNS" ]; do
    run=$((run + 1))
    for kind in $KINDS; do
        for mode in $MODES; do
            once "$kind" "$mode"
            echo "$kind $mode $(cat "$BUILD/result")" | tee -a "$BUILD/runs"
        done
    done
done
awk -f benches/foresee.awk "$BUILD/runs"
