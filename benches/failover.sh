#!/bin/sh
# failover.sh: `make bench-failover`. Writers through a primary that is killed with -9 after two seconds, with the timers of
# a deployment (down-after-milliseconds 1000), as OUT/failover.svg (benches).
set -eu
: "${BUILD:=build/bench-failover}" "${OUT:=benches}" "${LAB:=target/debug/lab}" "${RELEASE:=target/release}" "${CC:=cc}"
: "${SOVERSION:=0}" "${SECONDS_IN_ALL:=8}"
mkdir -p "$BUILD"
ln -sf "$(cd "$RELEASE" && pwd)/libsentinel.so" "$BUILD/libsentinel.so.$SOVERSION"
$CC -std=c11 -O2 -Wall -Wextra -Werror -Iinclude benches/bench_failover.c -o "$BUILD/bench_failover" -L"$BUILD" \
    -Wl,-rpath,"$(cd "$BUILD" && pwd)" -l:"libsentinel.so.$SOVERSION" -lpthread
# shellcheck disable=SC2016
"$LAB" run --down-after 1000 --default-timers -- sh -c '
    mkfifo "$1/begun"
    "$1/bench_failover" "$SERVICE" "$SENTINELS" "$2" >"$1/begun" &
    writer=$!
    {
        read -r begun
        sleep 2
        "$3" ctl kill-primary >/dev/null
        cat
    } <"$1/begun" >"$1/bins"
    wait "$writer"
' sh "$BUILD" "$SECONDS_IN_ALL" "$(realpath "$LAB")" || { rm -f "$BUILD/begun"; cat "$BUILD/bins"; exit 1; }
rm -f "$BUILD/begun"
awk -v killed=2000 -f benches/failover.awk "$BUILD/bins" >"$OUT/failover.svg"
awk '
    $1 == "others" { next }
    { acknowledged += $2; unknown += $3 }
    $1 >= 2000 && $2 == 0 && !over { pause += 50 }
    pause && $2 > 0 { over = 1 }
    END { printf "acknowledged %d, unknown %d, without an answer for %d ms\n", acknowledged, unknown, pause }
' "$BUILD/bins"
