#!/bin/sh
# run.sh: `make bench`. Each workload on each library in turn, ROUNDS times (5) for SECONDS_EACH (1) seconds; medians, a
# table, and benches/throughput.svg. "one CPU": server and client share one; "free": the kernel places them.
#
# Called by itself through `lab run`, which starts the topology and sets SERVICE and SENTINELS.
set -eu
: "${ROUNDS:=5}" "${SECONDS_EACH:=1}" "${BUILD:=build/bench}"

if [ "${1:-}" = measure ]; then
    mode=$2
    first=${SENTINELS%%,*}
    PORT=$(redis-cli -p "${first##*:}" SENTINEL GET-MASTER-ADDR-BY-NAME "$SERVICE" | tail -n 1)
    export PORT
    alone=''
    if [ "$mode" = pinned ]; then
        # The primary and its clients on the first CPU, everything else of the topology on the second.
        pid=$(redis-cli -p "$PORT" INFO server | tr -d '\r' | sed -n 's/^process_id://p')
        taskset -acp 0 "$pid" >/dev/null
        alone='taskset -c 0'
    fi
    "$BUILD/bench_sentinel" large 1 0.1 >/dev/null # fills the keys
    "$BUILD/bench_sentinel" list 1 0.1 >/dev/null
    case $mode in
        pinned) jobs="get:1 set:1 get:2 get:4 get:8 get:16 get:32 get:64 get:128 batch:1 large:1 list:1" ;;
        *) jobs="get:1 get:32 get:128" ;;
    esac
    round=0
    while [ $round -lt "$ROUNDS" ]; do
        for job in $jobs; do
            workload=${job%:*} threads=${job#*:}
            for library in sentinel hiredis raw; do
                case $library:$workload in raw:set | raw:large | raw:list) continue ;; esac
                figures=$($alone "$BUILD/bench_$library" "$workload" "$threads" "$SECONDS_EACH")
                echo "$mode $workload $threads $library $figures"
            done
        done
        round=$((round + 1))
    done
    [ "$mode" = pinned ] && echo "idle $("$BUILD/bench_sentinel" idle 1000 0)"
    exit 0
fi

mkdir -p "$BUILD"
for library in sentinel hiredis raw; do
    case $library in
        sentinel) libs="$RELEASE/libsentinel.a $LIBS_PRIVATE" ;;
        hiredis) libs=-lhiredis ;;
        *) libs='' ;;
    esac
    # The libraries are words to split.
    # shellcheck disable=SC2086
    ${CC:-cc} -O2 -Wall -Wextra -Iinclude "benches/bench_$library.c" -o "$BUILD/bench_$library" $libs -lpthread
done
# A deployment runs the shared library; what is measured is the same code.
strip -o "$BUILD/libsentinel.so" "$RELEASE/libsentinel.so"
taskset -c 1 "$LAB" run -- "$0" measure pinned >"$BUILD/figures"
"$LAB" run -- "$0" measure free >>"$BUILD/figures"
echo "size $(stat -c %s "$BUILD/libsentinel.so")" >>"$BUILD/figures"
awk -f benches/medians.awk "$BUILD/figures" >"$BUILD/medians"
awk -f benches/table.awk "$BUILD/medians"
awk -f benches/draw.awk "$BUILD/medians" >benches/throughput.svg
cp "$BUILD/medians" benches/results.txt
echo "drawn: benches/throughput.svg"
