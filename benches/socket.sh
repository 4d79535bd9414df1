#!/bin/sh
# socket.sh: `make bench-socket`. Clients that know nothing of the library, through a socket that it serves and straight at
# the primary, in turn, ROUNDS times (15), each for about SECONDS_EACH (0.5) seconds; ratios are taken within a round.
# "relay" is the least that anything in between costs: a thread that copies bytes. "one CPU": server, library and client
# share one; "free": the kernel places them. Medians and quartiles as a table, and in OUT (benches) as socket.txt. Fails when
# a program does, never because of a figure. LIBRARIES: objects to compare, in place of the one that was built.
#
# Called by itself through `lab run`, which starts the topology and sets SERVICE and SENTINELS.
set -eu
: "${ROUNDS:=15}" "${SECONDS_EACH:=0.5}" "${BUILD:=build/bench-socket}" "${OUT:=benches}" "${MODES:=pinned free}"
: "${CC:=cc}" "${RELEASE:=target/release}" "${LAB:=target/debug/lab}" "${SOVERSION:=0}" "${LIBRARIES:=$RELEASE/libsentinel.so}"
: "${JOBS:=benchmark:1 hiredis:1 python:1 benchmark:32 hiredis:32}"

# redis-benchmark is told how many, and not for how long: as many as this, at about, are done in a second.
many=${MANY:-40000}

# A plain socket of Python's that waits for each answer; the second argument is a path or a port.
# shellcheck disable=SC2016
python_client='
import socket, sys, time
seconds, where = float(sys.argv[1]), sys.argv[2]
if where.isdigit():
    peer = socket.create_connection(("127.0.0.1", int(where)))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
else:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(where)
begin, done = time.monotonic(), 0
while done % 64 or time.monotonic() - begin < seconds:
    peer.sendall(b"*2\r\n$3\r\nGET\r\n$7\r\nbench:0\r\n")
    if len(peer.recv(4096)) != 71:
        sys.exit("a value has another length")
    done += 1
print(round(done / (time.monotonic() - begin)))
'

# Operations a second of a client with so many connections on a side.
measure() { # client connections side
    path=''
    [ "$3" = direct ] || path=$BUILD/$3.sock
    case $1 in
        benchmark)
            count=$(echo "$many $SECONDS_EACH" | awk '{ print int($1 * $2) }')
            if [ -n "$path" ]; then set -- "$@" -s "$path"; else set -- "$@" -p "$PORT"; fi
            connections=$2
            shift 3
            $alone redis-benchmark "$@" -c "$connections" -n "$count" --csv GET bench:0 |
                awk -F'"' 'END { print int($4) }'
            ;;
        hiredis)
            ${path:+env "SOCKET=$path"} $alone "$BUILD/bench_hiredis" get "$2" "$SECONDS_EACH" | awk '{ print $1 }'
            ;;
        python) $alone python3 -c "$python_client" "$SECONDS_EACH" "${path:-$PORT}" ;;
    esac
}

# Starts what is in between; its input stays open until it is to end.
between() { # side program
    mkfifo "$BUILD/$1.in"
    : >"$BUILD/$1.out"
    case $1 in
        relay) kind=relay ;;
        *) kind=library ;;
    esac
    $alone "$2" "$kind" "$BUILD/$1.sock" <"$BUILD/$1.in" >"$BUILD/$1.out" &
}

if [ "${1:-}" = measure ]; then
    mode=$2
    first=${SENTINELS%%,*}
    PORT=$(redis-cli -p "${first##*:}" SENTINEL GET-MASTER-ADDR-BY-NAME "$SERVICE" | tail -n 1)
    export PORT
    alone=''
    if [ "$mode" = pinned ]; then
        pid=$(redis-cli -p "$PORT" INFO server | tr -d '\r' | sed -n 's/^process_id://p')
        taskset -acp 0 "$pid" >/dev/null
        alone="taskset -c 0"
    fi
    redis-cli -p "$PORT" SET bench:0 "$(printf '%064d' 0)" >/dev/null
    rm -f "$BUILD"/*.in "$BUILD"/*.out "$BUILD"/*.sock
    sides='direct relay'
    between relay "$BUILD/bench_socket"
    exec 3>"$BUILD/relay.in"
    number=0
    for library in $LIBRARIES; do
        side=library
        [ $number -eq 0 ] || side=library$number
        sides="$sides $side"
        between "$side" "$BUILD/$number/bench_socket"
        eval "exec $((4 + number))>\"$BUILD/$side.in\""
        number=$((number + 1))
    done
    for side in $sides; do
        [ "$side" = direct ] && continue
        tries=0
        until grep -q ready "$BUILD/$side.out"; do
            tries=$((tries + 1))
            [ $tries -lt 200 ] || { echo "socket.sh: $side does not begin" >&2; exit 1; }
            sleep 0.05
        done
    done
    round=0
    while [ $round -lt "$ROUNDS" ]; do
        for job in $JOBS; do
            for side in $sides; do
                echo "$mode ${job%:*} ${job#*:} $side $(measure "${job%:*}" "${job#*:}" "$side")"
            done
        done
        round=$((round + 1))
    done
    exit 0
fi

mkdir -p "$BUILD" "$OUT"
number=0
for library in $LIBRARIES; do
    mkdir -p "$BUILD/$number"
    so=$BUILD/$number/libsentinel.so.$SOVERSION
    strip -o "$so" "$library"
    # shellcheck disable=SC2016
    $CC -O2 -Wall -Wextra -Iinclude benches/bench_socket.c -o "$BUILD/$number/bench_socket" "$so" -Wl,-rpath,'$ORIGIN' -lpthread
    number=$((number + 1))
done
ln -sf 0/bench_socket "$BUILD/bench_socket"
$CC -O2 -Wall -Wextra -Iinclude benches/bench_hiredis.c -o "$BUILD/bench_hiredis" -lhiredis -lpthread
: >"$BUILD/figures"
for mode in $MODES; do
    "$LAB" run -- "$0" measure "$mode" >>"$BUILD/figures"
done
awk -f benches/socket.awk "$BUILD/figures" | tee "$OUT/socket.txt"
