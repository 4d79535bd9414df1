#!/bin/sh
# survives.sh LOG COMMAND...: kill -9 of the primary under a writer, in a topology of its own. COMMAND is started with SERVICE
# HOST:PORT... behind its words, names each primary that it writes to, and says in the end what came of its writes, as the
# examples `failover` do. It moves to another node once, loses one call at the most, and ends when it is asked to.
set -eu
: "${LAB:=target/debug/lab}"
if [ "$1" != --inside ]; then
    log=$1
    : >"$log"
    timeout --foreground -k 10 120 "$LAB" run -- "$0" --inside "$@" || {
        cat "$log"
        exit 1
    }
    cat "$log"
    exec grep -q '^summary acknowledged=[1-9][0-9]* failed=[01] \(moves=1\|outage_ms=[1-9][0-9]*\)$' "$log"
fi
log=$2
shift 2
# Those that it says it writes to.
nodes() {
    sed -n -e 's/^primary //p' -e 's/.* node=\([0-9.:]*\) .* ok=[1-9].*/\1/p' "$log"
}
# moved TIMES: waits until the log names so many primaries, half a minute at most.
moved() {
    tries=0
    until [ "$(nodes | sort -u | wc -l)" -ge "$1" ] || [ $tries -ge 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
# shellcheck disable=SC2046
"$@" "$SERVICE" $(echo "$SENTINELS" | tr , ' ') >>"$log" 2>&1 &
writer=$!
moved 1
"$LAB" ctl kill-primary
moved 2
kill -TERM "$writer"
wait "$writer"
