#!/bin/sh
# clients.sh: `make bench-clients`. Client libraries of others through sentinel-proxy, and redis-rb by its driver too: GETs of one
# caller a second, straight at the primary and through the socket, in turn, ROUNDS times (5) for SECONDS_EACH (1), medians; and four
# callers who INCR a key once each, under EACH (10) failovers that are ordered and as many kill -9 of the primary: how many calls
# failed, how many of these as UNKNOWN, how many keys were counted twice, the longest call. As a table, and in OUT (benches) as
# clients.txt. Fails when a program does or something is counted twice.
#
# PYTHON and NODE name the programs, redis-rb is as ruby-peers.sh finds it; what is not installed is left out by name.
set -eu
: "${ROUNDS:=5}" "${SECONDS_EACH:=1}" "${EACH:=10}" "${OUT:=benches}" "${BUILD:=build/bench-clients}" "${PYTHON:=python3}"
: "${NODE:=node}" "${LAB:=target/debug/lab}"
peers=$(tests/scripts/ruby-peers.sh redis_client connection_pool redis) || peers=
prefix=$(pwd)/build/prefix

# client NAME ARGUMENT...: the program of it.
client() {
    name=$1
    shift
    # shellcheck disable=SC2086
    case $name in
        redis-py) exec "$PYTHON" benches/clients.py "$@" ;;
        ioredis) exec "$NODE" benches/clients.js "$@" ;;
        redis-rb*) exec ruby $peers -Ibindings/ruby/lib benches/clients.rb "$@" ;;
    esac
}

# primary COMMAND...: straight at it.
primary() {
    address=$("$LAB" ctl primary)
    redis-cli -h "${address%:*}" -p "${address##*:}" "$@"
}

median() {
    sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

# under NAME WHERE ordered|killed: a line of the table.
under() {
    key=$1:$3
    rm -f "$BUILD/in"
    mkfifo "$BUILD/in"
    (client "$1" write "$2" 0 "$key" <"$BUILD/in" >"$BUILD/said") &
    writer=$!
    exec 3>"$BUILD/in"
    until grep -q begun "$BUILD/said" 2>/dev/null; do
        kill -0 "$writer" || exit 1
        sleep 0.05
    done
    done=0
    while [ $done -lt "$EACH" ]; do
        if [ "$3" = ordered ]; then
            "$LAB" ctl fail-over >/dev/null
        else
            old=$("$LAB" ctl kill-primary)
            "$LAB" ctl wait-primary-change "$old" >/dev/null
            "$LAB" ctl restart-killed >/dev/null
        fi
        "$LAB" ctl wait-settled >/dev/null
        done=$((done + 1))
    done
    exec 3>&-
    wait "$writer"
    # shellcheck disable=SC2016
    twice=$(primary EVAL 'local n = 0 for _, key in ipairs(redis.call("KEYS", ARGV[1])) do
        if tonumber(redis.call("GET", key)) > 1 then n = n + 1 end end return n' 0 "$key:*")
    primary FLUSHALL >/dev/null
    tail -n 1 "$BUILD/said" | awk -v name="$1" -v how="$3" -v each="$EACH" -v twice="$twice" \
        '{ printf "%-18s %2d %-8s %8d %7d %8d %6d %8d\n", name, each, how, $1 + $2, $2, $3, twice, $4 }'
    [ "$twice" -eq 0 ]
}

if [ "${1:-}" = inside ]; then
    shift
    socket=$(pwd)/$BUILD/primary.sock
    "$prefix/bin/sentinel-proxy" --url "$SENTINEL_URL" --listen "$socket $SERVICE primary timeout_ms=15000" 2>"$BUILD/proxy.log" &
    proxy=$!
    trap 'kill "$proxy"' EXIT
    until [ -S "$socket" ]; do sleep 0.05; done
    printf '%-18s %10s %10s %8s\n' "GET, one caller" straight socket ratio
    for name in "$@"; do
        case $name in *driver) where=libsentinel ;; *) where=$socket ;; esac
        : >"$BUILD/straight"
        : >"$BUILD/socket"
        round=0
        while [ $round -lt "$ROUNDS" ]; do
            port=$("$LAB" ctl primary)
            (client "$name" rate "${port##*:}" "$SECONDS_EACH" rate) >>"$BUILD/straight"
            (client "$name" rate "$where" "$SECONDS_EACH" rate) >>"$BUILD/socket"
            round=$((round + 1))
        done
        echo "$(median <"$BUILD/straight") $(median <"$BUILD/socket")" |
            awk -v name="$name" '{ printf "%-18s %10d %10d %8.2f\n", name, $1, $2, $2 / $1 }'
    done
    printf '\n%-18s %11s %8s %7s %8s %6s %8s\n' "INCR, four callers" failovers calls failed unknown twice "most ms"
    for name in "$@"; do
        case $name in *driver) where=libsentinel ;; *) where=$socket ;; esac
        under "$name" "$where" ordered
        under "$name" "$where" killed
    done
    exit
fi

rm -rf "$BUILD"
mkdir -p "$BUILD"
export LIBSENTINEL="$prefix/lib/libsentinel.so"
set --
versions=
# has NAME COMMAND...: whether it is there, by what says its version.
has() {
    name=$1
    shift
    version=$("$@" 2>/dev/null) && versions="$versions${versions:+, }$name $version" && return
    echo "$name is not installed" >&2
    return 1
}
has redis-py "$PYTHON" -c 'import redis; print(redis.__version__)' && set -- "$@" redis-py
has ioredis "$NODE" -e 'console.log(require("ioredis/package.json").version)' && set -- "$@" ioredis
# shellcheck disable=SC2086
has redis-rb ruby $peers -e 'require "redis"; abort if Redis::VERSION.to_i < 5; puts Redis::VERSION' &&
    set -- "$@" redis-rb redis-rb/driver
[ $# -gt 0 ] || exit 1
{
    echo "$versions: medians of $ROUNDS times $SECONDS_EACH s of GETs a second, and $EACH failovers of each kind."
    echo
} >"$BUILD/table"
"$LAB" run -- "$0" inside "$@" >>"$BUILD/table" || { cat "$BUILD/table"; exit 1; }
tee "$OUT/clients.txt" <"$BUILD/table"
