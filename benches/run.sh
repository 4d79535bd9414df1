#!/bin/sh
# run.sh: `make bench`. Each workload on each library in turn, ROUNDS times (15) for SECONDS_EACH (0.3) seconds: many
# short rounds, since the machine's speed changes over seconds and a ratio is taken within a round. Medians as a table,
# and in OUT (benches) as throughput.svg, results.csv and results.txt. "one CPU": server and client share one; "free":
# the kernel places them. Fails when a program does, never because of a figure.
#
# Called by itself through `lab run`, which starts the topology and sets SERVICE and SENTINELS.
set -eu
: "${ROUNDS:=15}" "${SECONDS_EACH:=0.3}" "${BUILD:=build/bench}" "${OUT:=benches}"
: "${CC:=cc}" "${RELEASE:=target/release}" "${LAB:=target/debug/lab}" "${SOVERSION:=0}"
# Measured on the first processor; what else runs is on the second, where there is one.
measured=0
others=$(($(nproc) > 1 ? 1 : 0))

if [ "${1:-}" = measure ]; then
    mode=$2
    first=${SENTINELS%%,*}
    PORT=$(redis-cli -p "${first##*:}" SENTINEL GET-MASTER-ADDR-BY-NAME "$SERVICE" | tail -n 1)
    export PORT
    if [ -z "$PORT" ]; then
        echo "run.sh: the Sentinel knows no primary" >&2
        exit 1
    fi
    alone=''
    if [ "$mode" = pinned ]; then
        # The primary and its clients on the first CPU, everything else of the topology on the second.
        pid=$(redis-cli -p "$PORT" INFO server | tr -d '\r' | sed -n 's/^process_id://p')
        taskset -acp "$measured" "$pid" >/dev/null
        alone="taskset -c $measured"
    fi
    "$BUILD/bench_sentinel" large 1 0.1 >/dev/null # fills the keys
    "$BUILD/bench_sentinel" list 1 0.1 >/dev/null
    case $mode in
        pinned) jobs="get:1 set:1 get:2 get:4 get:8 get:16 get:32 get:64 get:128 batch:1 window:1 large:1 list:1" ;;
        *) jobs="get:1 get:32 get:128" ;;
    esac
    round=0
    while [ $round -lt "$ROUNDS" ]; do
        for job in $jobs; do
            workload=${job%:*} threads=${job#*:}
            for library in sentinel hiredis raw handover; do
                case $library:$workload:$mode in
                    raw:set:* | raw:large:* | raw:list:* | raw:window:* | hiredis:window:*) continue ;;
                    handover:get:pinned) [ "$threads" -ge 8 ] || continue ;;
                    handover:*) continue ;;
                esac
                figures=$($alone "$BUILD/bench_$library" "$workload" "$threads" "$SECONDS_EACH")
                case $figures in
                    [0-9]*) echo "$mode $workload $threads $library $figures" ;;
                    *) echo "absent $mode $workload $threads $library" ;;
                esac
            done
        done
        round=$((round + 1))
    done
    if [ "$mode" = pinned ]; then
        figures=$("$BUILD/bench_sentinel" idle 1000 0)
        echo "idle $figures"
    fi
    exit 0
fi

mkdir -p "$BUILD" "$OUT"
# The library as it is deployed: shared, and stripped. Its users ask for it by its SONAME.
so=$BUILD/libsentinel.so.$SOVERSION
strip -o "$so" "$RELEASE/libsentinel.so"
for library in sentinel hiredis raw handover; do
    case $library in
        sentinel) libs="$so -Wl,-rpath,\$ORIGIN" ;;
        hiredis) libs=-lhiredis ;;
        *) libs='' ;;
    esac
    # The libraries are words to split.
    # shellcheck disable=SC2086
    $CC -O2 -Wall -Wextra -Iinclude "benches/bench_$library.c" -o "$BUILD/bench_$library" $libs -lpthread
done
taskset -c "$others" "$LAB" run -- "$0" measure pinned >"$BUILD/figures"
"$LAB" run -- "$0" measure free >>"$BUILD/figures"
echo "size $(stat -c %s "$so")" >>"$BUILD/figures"
awk -f benches/medians.awk "$BUILD/figures" >"$BUILD/medians"
awk -f benches/table.awk "$BUILD/medians"
awk -f benches/draw.awk "$BUILD/medians" >"$OUT/throughput.svg"
{
    echo mode,workload,threads,library,ops_per_s,p50_us,p99_us,cpu_us_per_op
    awk -v OFS=, 'NF == 8 { $1 = $1; print }' "$BUILD/medians"
} >"$OUT/results.csv"
cp "$BUILD/medians" "$OUT/results.txt"
echo "drawn: $OUT/throughput.svg"
