#!/bin/sh
# failover.sh: `make bench-failover`. Writers through a failover after two seconds, planned, by kill -9 and by SIGSTOP, with
# each failover.foresee and the timers of a deployment (down-after-milliseconds 1000), as OUT/failover.svg (benches). Beside
# them the Python clients redis and coredis, where PYTHON has them (`pip install redis coredis`).
set -eu
: "${BUILD:=build/bench-failover}" "${OUT:=benches}" "${LAB:=target/debug/lab}" "${RELEASE:=target/release}" "${CC:=cc}"
: "${SOVERSION:=0}" "${SECONDS_IN_ALL:=7}" "${KINDS:=fail-over kill freeze}" "${MODES:=adopt hold off}" "${PYTHON:=python3}"

# `failover.sh writer MODE`, in a deployment of its own: writes as long as is to be drawn.
if [ "${1:-}" = writer ]; then
    mode=$2
    case $mode in
    redis-py | coredis) set -- "$PYTHON" -W ignore benches/failover_peers.py ;;
    *) set -- "$BUILD/bench_failover" ;;
    esac
    exec "$@" "$SERVICE" "$SENTINELS" "$SECONDS_IN_ALL" "$mode"
fi

mkdir -p "$BUILD"
ln -sf "$(cd "$RELEASE" && pwd)/libsentinel.so" "$BUILD/libsentinel.so.$SOVERSION"
$CC -std=c11 -O2 -Wall -Wextra -Werror -Iinclude benches/bench_failover.c -o "$BUILD/bench_failover" -L"$BUILD" \
    -Wl,-rpath,"$(cd "$BUILD" && pwd)" -l:"libsentinel.so.$SOVERSION" -lpthread
lab=$(realpath "$LAB")
export BUILD PYTHON SECONDS_IN_ALL

for peer in redis-py:redis coredis:coredis; do
    if "$PYTHON" -c "import ${peer#*:}" 2>/dev/null; then
        MODES="$MODES ${peer%:*}"
    else
        echo "skipped ${peer%:*}: $PYTHON has no module ${peer#*:}"
    fi
done

# once KIND MODE: its bins in BUILD/bins.
once() {
    rm -f "$BUILD/begun" "$BUILD/bins"
    # shellcheck disable=SC2016
    "$lab" run --down-after 1000 --default-timers -- sh -c '
        mkfifo "$1/begun"
        benches/failover.sh writer "$3" >"$1/begun" &
        writer=$!
        {
            read -r begun
            sleep 2
            case $2 in
            fail-over) "$4" ctl fail-over ;;
            *) "$4" ctl "$2" primary ;;
            esac >/dev/null
            cat
        } <"$1/begun" >"$1/bins"
        wait "$writer"
    ' sh "$BUILD" "$1" "$2" "$lab" || { cat "$BUILD/bins"; return 1; }
    rm -f "$BUILD/begun"
}

: >"$BUILD/all"
for kind in $KINDS; do
    for mode in $MODES; do
        once "$kind" "$mode"
        awk -v kind="$kind" -v mode="$mode" '$1 != "others" { print kind, mode, $0 }' "$BUILD/bins" >>"$BUILD/all"
        awk -v name="$kind, $mode" '
            $1 == "others" { next }
            { acknowledged += $2; unknown += $3 }
            $1 >= 2000 && $2 == 0 && !over { pause += 50 }
            pause && $2 > 0 { over = 1 }
            END { printf "%-20s acknowledged %d, unknown %d, without an answer for %d ms\n", name ":", acknowledged, unknown, pause }
        ' "$BUILD/bins"
    done
done
awk -v failed=2000 -f benches/failover.awk "$BUILD/all" >"$OUT/failover.svg"
