#!/bin/sh
# proxy-test.sh COMMAND...: sentinel-proxy, which COMMAND starts (valgrind before it, or nothing), under clients that
# nobody here wrote. Called inside `lab run` by c-tests.sh.
#
# What is told of a failure ends with the proxy's own lines. Exit status 77: redis-cli is not installed.
set -eu
: "${LAB:=target/debug/lab}"
scratch=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$scratch"' EXIT
here=$scratch/primary.sock
there=$scratch/there.sock
: >"$scratch/log"

fail() {
    echo "proxy: $*" >&2
    cat "$scratch/log" >&2
    exit 1
}

for tool in redis-cli redis-benchmark curl prlimit; do
    command -v "$tool" >/dev/null 2>&1 || { echo "$tool is not installed"; exit 77; }
done

# wait_for WHAT COMMAND...: until it succeeds.
wait_for() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt "${TRIES:-1200}" ] || fail "waited in vain for $what"
        sleep 0.05
    done
}

# start: the proxy, with what is in $scratch/conf, until it is ready.
start() {
    : >"$scratch/log"
    "$command" --config "$scratch/conf" 2>>"$scratch/log" &
    pid=$!
    wait_for "the proxy" answers "$here"
}

# Has it end, and its exit status be 0.
ends() {
    kill -TERM "$pid"
    ended
}

ended() {
    status=0
    wait "$pid" || status=$?
    pid=''
    [ "$status" -eq 0 ] || fail "ended with $status"
}

answers() {
    [ "$(redis-cli -s "$1" PING)" = PONG ]
}

# says FILE TEXT: whether a line of it has the text.
says() {
    grep -qF -- "$2" "$1"
}

# refused TEXT ARGUMENT...: the configuration is not taken, and the text tells why.
refused() {
    text=$1
    shift
    if "$program" --check "$@" 2>"$scratch/told"; then fail "takes $*"; fi
    says "$scratch/told" "$text" || fail "says of $*: $(cat "$scratch/told")"
}

# number NAME: one of the metrics, without its labels the sum.
number() {
    curl -s --unix-socket "$scratch/metrics.sock" http://localhost/metrics |
        awk -v name="$1" 'index($0, name) == 1 { sum += $NF } END { print sum + 0 }'
}

# is NAME VALUE
is() {
    [ "$(number "$1")" = "$2" ]
}

lines_are_over() {
    [ "$(wc -l <"$1")" -gt "$2" ]
}

# primary COMMAND...: straight at the primary.
primary() {
    address=$("$LAB" ctl primary)
    redis-cli -h "${address%:*}" -p "${address##*:}" "$@"
}

# hold NUMBER -s PATH | NUMBER -p PORT: a connection that stays; what is written to descriptor NUMBER goes out on it, the
# replies are in held.NUMBER.
hold() {
    mkfifo "$scratch/fifo.$1"
    redis-cli "$2" "$3" <"$scratch/fifo.$1" >"$scratch/held.$1" 2>&1 &
    eval "exec $1>\"\$scratch/fifo.$1\""
}

# port: of the listener that has one.
port() {
    sed -n 's/.*, port \([0-9]*\), is.*/\1/p' "$scratch/log"
}

let_go() {
    eval "exec $1>&-"
    rm "$scratch/fifo.$1"
}

conf() {
    {
        echo "# A comment, and an empty line"
        echo
        echo "url = $SENTINEL_URL"
        printf '%s\n' "metrics = $scratch/metrics.sock" "$@"
    } >"$scratch/conf"
}

what_is_wrong_is_said_with_its_line_and_key() {
    listen="$here $SERVICE primary"
    conf "listen = $here $SERVICE nobody"
    refused "$scratch/conf:5: listen: takes ADDRESS SERVICE ROLE" --config "$scratch/conf"
    conf "listen = $listen max_connections=none"
    refused "$scratch/conf:5: listen: max_connections takes a number from 1 to 1000000, not 'none'" --config "$scratch/conf"
    conf "listen = $listen no_such_option=1"
    refused "$scratch/conf:5: listen: no_such_option: no such option" --config "$scratch/conf"
    conf "listen = $listen" "listen = $listen"
    refused "$scratch/conf:6: listen: $here is given twice" --config "$scratch/conf"
    conf "listen = $listen" "drain = 5"
    refused "$scratch/conf:6: drain: is no key" --config "$scratch/conf"
    conf "listen = $listen" "drain_ms"
    refused "$scratch/conf:6: drain_ms: takes KEY = VALUE" --config "$scratch/conf"
    conf "listen = $listen" "url = redis+sentinel://other"
    refused "$scratch/conf:6: url: is given twice" --config "$scratch/conf"
    refused "$scratch/none: No such file" --config "$scratch/none"
    refused "--url: " --url "redis://127.0.0.1" --listen "$listen"
    refused "listen: is missing" --url "$SENTINEL_URL"
    refused "url: is missing" --listen "$listen"
    refused "--listen: takes the path of a Unix socket" --url "$SENTINEL_URL" --listen "localhost $SERVICE primary"
    refused "--listen: takes the path of a Unix socket" --url "$SENTINEL_URL" --listen "127.0.0.1:65536 $SERVICE primary"
    # Nothing at all is no port, and no address.
    for address in 127.0.0.1: '[::1]:' '127.0.0.1:*' '*:0' 127.0.0.1:+5; do
        refused "--listen: takes the path of a Unix socket" --url "$SENTINEL_URL" --listen "$address $SERVICE primary"
    done
    refused "--metrics: takes ADDRESS" --url "$SENTINEL_URL" --listen "$listen" --metrics ""
    refused "--listen: takes ADDRESS" --url "$SENTINEL_URL" --listen ""
    long=/$(printf '%0108d' 0)
    refused "--listen: the path of a Unix socket has 107 bytes at most" --url "$SENTINEL_URL" --listen "$long $SERVICE primary"
    refused "mode takes 0600, 0660 or 0666" --url "$SENTINEL_URL" --listen "$listen mode=0777"
    refused "nonsense: takes --KEY VALUE" --url "$SENTINEL_URL" nonsense
}

nobody_but_loopback_is_served_unless_told_twice() {
    for address in 0.0.0.0:0 '[::]:0' 192.0.2.1:6379; do
        refused "$address is not loopback" --url "$SENTINEL_URL" --listen "$address $SERVICE primary"
        refused "$address is not loopback" --url "$SENTINEL_URL" --listen "$address $SERVICE primary" --allow-remote
        refused "$address is not loopback" --url "$SENTINEL_URL" --listen "$address $SERVICE primary allow_remote=yes"
        refused "$address is not loopback" --url "$SENTINEL_URL" --listen "$here $SERVICE primary" --metrics "$address"
        "$program" --check --url "$SENTINEL_URL" --listen "$address $SERVICE primary allow_remote=yes" --allow-remote ||
            fail "does not take $address when it is told twice"
    done
    "$program" --check --url "$SENTINEL_URL" --listen "127.8.9.10:0 $SERVICE primary" --metrics "[::1]:0" ||
        fail "does not take loopback"
}

a_path_is_taken_from_the_dead_alone() {
    conf "listen = $here $SERVICE primary" "listen = $there $SERVICE replica mode=0660"
    start
    [ "$(stat -c %a "$here" "$there" "$scratch/metrics.sock" | tr '\n' ' ')" = "600 660 600 " ] || fail "modes"
    if "$command" --config "$scratch/conf" 2>"$scratch/told"; then fail "two on a path"; fi
    says "$scratch/told" "is there, and somebody listens on it" || fail "$(cat "$scratch/told")"
    answers "$here" || fail "the second has taken the path away"
    kill -9 "$pid"
    wait "$pid" || true
    [ -S "$here" ] || fail "nothing was left behind"
    start
    ends
    if [ -e "$here" ] || [ -e "$scratch/metrics.sock" ]; then fail "its paths are left"; fi
    echo mine >"$here"
    if "$command" --config "$scratch/conf" 2>"$scratch/told"; then fail "listens on a file"; fi
    says "$scratch/told" "is there, and is no socket" || fail "$(cat "$scratch/told")"
    [ "$(cat "$here")" = mine ] || fail "the file is not what it was"
    rm "$here"
}

clients_work_unchanged() {
    conf "listen = $here $SERVICE primary" "listen = 127.0.0.1:0 $SERVICE replica"
    start
    port=$(port)
    [ "$(redis-cli -s "$here" SET greeting hello)" = OK ] || fail "SET"
    [ "$(redis-cli -s "$here" ROLE | head -n 1)" = master ] || fail "the primary's role"
    [ "$(redis-cli -p "$port" ROLE | head -n 1)" = slave ] || fail "the replica's role"
    [ "$(printf 'MULTI\nGET greeting\nEXEC\n' | redis-cli -3 -s "$here" | tail -n 1)" = hello ] || fail "a transaction"
    for place in "-s $here" "-p $port"; do
        # shellcheck disable=SC2086
        redis-benchmark $place -q -n "$requests" -c 20 -P 4 -t ping,get >"$scratch/told" 2>&1
        [ "$(grep -c 'requests per second' "$scratch/told")" -eq 3 ] || fail "redis-benchmark: $(cat "$scratch/told")"
        ! grep -q rror "$scratch/told" || fail "redis-benchmark $place: $(cat "$scratch/told")"
    done
    redis-benchmark -s "$here" -q -n "$requests" -c 20 -t set,incr,lpush,lpop >"$scratch/told" 2>&1
    ! grep -q rror "$scratch/told" || fail "redis-benchmark: $(cat "$scratch/told")"
    wait_for "the end of connections" is 'sentinel_proxy_connections{' 0
    [ "$(number sentinel_proxy_connections_total)" -gt 60 ] || fail "connections are not counted"
    [ "$(number libsentinel_calls_total)" -gt $((requests * 5)) ] || fail "the library's numbers are not there"
    ends
}

one_more_than_the_limit_is_told_so() {
    conf "listen = $here $SERVICE primary max_connections=2" "listen = $there $SERVICE primary" "max_connections = 3"
    start
    wait_for "the end of the first" is 'sentinel_proxy_connections{' 0
    hold 3 -s "$here"
    hold 4 -s "$here"
    wait_for "two connections" is 'sentinel_proxy_connections{' 2
    redis-cli -s "$here" PING 2>&1 | grep -q "max number of clients reached" || fail "a third one is served"
    answers "$there" || fail "the limit is not of one listener alone"
    [ "$(number sentinel_proxy_refused_total)" = 1 ] || fail "it is not counted"
    let_go 4
    wait_for "a place" answers "$here"
    # The limit of a listener that stays is that of the new file.
    conf "listen = $here $SERVICE primary max_connections=1"
    kill -HUP "$pid"
    wait_for "the new limit" is 'sentinel_proxy_reloads_total{result="ok"}' 1
    redis-cli -s "$here" PING 2>&1 | grep -q "max number of clients reached" || fail "the limit is the old one"
    let_go 3
    ends
}

nothing_was_changed() {
    if [ -e "$here" ] || ! answers "$scratch/new.sock" || ! answers "$there"; then fail "something was changed"; fi
}

a_connection_outlives_its_listener() {
    conf "listen = $here $SERVICE primary" "listen = $there $SERVICE primary" "listen = 127.0.0.1:0 $SERVICE primary"
    start
    gone=$(port)
    redis-cli -p "$gone" PING >/dev/null || fail "the port does not answer"
    hold 3 -s "$here"
    hold 4 -s "$there"
    echo "SET held 1" >&3
    echo "PING" >&4
    wait_for "an answer" says "$scratch/held.3" OK
    wait_for "an answer" says "$scratch/held.4" PONG
    conf "listen = $there $SERVICE primary" "listen = $scratch/new.sock $SERVICE replica"
    kill -HUP "$pid"
    wait_for "the new listener" answers "$scratch/new.sock"
    [ ! -e "$here" ] || fail "the old listener is left"
    redis-cli -p "$gone" PING 2>&1 | grep -q refused || fail "the old port is left"
    # redis-cli could not connect anew where nobody listens.
    echo "INCR held" >&3
    wait_for "an answer on the old connection" says "$scratch/held.3" 2
    # A bad file changes nothing, even where it is right.
    conf "listen = $here $SERVICE primary" "listen = $there $SERVICE"
    kill -HUP "$pid"
    wait_for "a word" says "$scratch/log" "the configuration stays as it was"
    says "$scratch/log" "$scratch/conf:6: listen: takes ADDRESS SERVICE ROLE" || fail "it is not said why"
    nothing_was_changed
    # So does one that cannot be carried out.
    mkdir "$scratch/folder"
    conf "listen = $here $SERVICE primary" "listen = $scratch/folder $SERVICE primary"
    kill -HUP "$pid"
    wait_for "a word" is 'sentinel_proxy_reloads_total{result="failed"}' 2
    nothing_was_changed
    # Another URL: who is connected goes on as before.
    conf "listen = $there $SERVICE primary" "listen = $here $SERVICE primary"
    sed "s|^url = .*|&?timeout_ms=4000|" "$scratch/conf" >"$scratch/told" && mv "$scratch/told" "$scratch/conf"
    kill -HUP "$pid"
    wait_for "the old listener" answers "$here"
    echo "INCR held" >&3
    wait_for "an answer on the old connection" says "$scratch/held.3" 3
    echo "INCR held" >&4
    wait_for "an answer on the old connection" says "$scratch/held.4" 4
    let_go 3
    let_go 4
    ends
}

without_descriptors_it_waits() {
    conf "listen = $here $SERVICE primary"
    start
    answers "$here"
    most=$(awk '/^Max open files/ { print $4 ":" $5 }' "/proc/$pid/limits")
    prlimit --pid "$pid" --nofile=3:"${most#*:}"
    from=$(date +%s%3N)
    redis-cli -s "$here" PING >"$scratch/told" 2>&1 &
    asking=$!
    wait_for "the first failure" says "$scratch/log" "nobody can be accepted"
    busy=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
    sleep 1
    busy=$(($(awk '{ print $14 + $15 }' "/proc/$pid/stat") - busy))
    prlimit --pid "$pid" --nofile="$most"
    wait "$asking" || fail "it was not served later"
    says "$scratch/told" PONG || fail "it was not served later"
    tries=$(number sentinel_proxy_accept_failures_total)
    [ "$tries" -le $((2 + ($(date +%s%3N) - from) / 100)) ] || fail "it has tried $tries times"
    [ "$busy" -lt 30 ] || fail "it has taken $busy hundredths of a second"
    ends
}

each_write_is_done_once_through_a_kill() {
    conf "listen = $here $SERVICE primary timeout_ms=30000"
    start
    rm -f "$scratch/enough"
    {
        n=0
        while [ ! -e "$scratch/enough" ]; do
            n=$((n + 1))
            echo "INCR n:$n"
        done
    } | redis-cli -s "$here" >"$scratch/told" 2>&1 &
    writer=$!
    wait_for "writes" lines_are_over "$scratch/told" 500
    old=$("$LAB" ctl kill-primary)
    "$LAB" ctl wait-primary-change "$old" >/dev/null
    wait_for "writes at the new primary" lines_are_over "$scratch/told" $(($(wc -l <"$scratch/told") + 500))
    : >"$scratch/enough"
    wait "$writer" || fail "the connection ended: $(tail -n 1 "$scratch/told")"
    ends
    # Behind an error redis-cli leaves a line empty.
    grep -v '^$' "$scratch/told" >"$scratch/replies"
    awk '{ print "GET n:" NR }' "$scratch/replies" | primary >"$scratch/values"
    # What the old primary said just before it died may have died with it: one writer has one such write at most.
    paste -d '|' "$scratch/replies" "$scratch/values" | awk -F '|' '
        $1 == "1" && $2 == "1" { done++; next }
        $1 == "1" && $2 == "" { lost++; next }
        $1 ~ /^UNKNOWN / && $2 <= 1 { unknown++; next }
        $1 ~ /^NOTSENT / && $2 == "" { next }
        { print NR ": " $0; wrong = 1 }
        END { print done " done, " lost + 0 " lost with the primary, " unknown + 0 " unknown"
              exit wrong || done < 1000 || lost + unknown > 1 }' >"$scratch/sum" || fail "$(tail -n 5 "$scratch/sum")"
    cat "$scratch/sum"
    "$LAB" ctl restart-killed >/dev/null
    "$LAB" ctl wait-settled >/dev/null
}

no_password_is_shown() {
    conf "listen = $here $SERVICE primary password=not-for-the-log" "listen = 127.0.0.1:0 $SERVICE replica password=not-for-the-log"
    "$command" --config "$scratch/conf" 2>"$scratch/log" &
    pid=$!
    wait_for "the proxy" says "$scratch/log" "$here is $SERVICE primary"
    wait_for "its port" says "$scratch/log" "is $SERVICE replica"
    ! says "$scratch/log" not-for-the-log || fail "the password is in the log"
    ends
}

commands_under_way_end_before_it_does() {
    conf "listen = $here $SERVICE primary timeout_ms=30000" "listen = 127.0.0.1:0 $SERVICE primary" "drain_ms = 30000"
    start
    hold 3 -s "$here"
    hold 4 -p "$(port)"
    wait_for "the idle ones" is 'sentinel_proxy_connections{' 2
    primary CLIENT PAUSE 60000 WRITE >/dev/null
    redis-cli -s "$here" SET last word >"$scratch/told" 2>&1 &
    asking=$!
    wait_for "the write to be under way" is 'libsentinel_pending_calls{' 1
    kill -TERM "$pid"
    wait_for "the end of listening" test ! -e "$here"
    wait_for "the end of the idle ones" is 'sentinel_proxy_connections{' 1
    primary CLIENT UNPAUSE >/dev/null
    wait "$asking" || true
    says "$scratch/told" OK || fail "the last write: $(cat "$scratch/told")"
    ended
    ! says "$scratch/log" "cut" || fail "something was cut"
    let_go 3
    let_go 4
    [ "$(primary GET last)" = word ] || fail "the last write was not done"
    # Not for ever.
    conf "listen = $here $SERVICE primary timeout_ms=30000" "drain_ms = 300"
    start
    primary CLIENT PAUSE 60000 WRITE >/dev/null
    redis-cli -s "$here" SET late word >"$scratch/told" 2>&1 &
    asking=$!
    wait_for "the write to be under way" is 'libsentinel_pending_calls{' 1
    from=$(date +%s%3N)
    ends
    took=$(($(date +%s%3N) - from))
    if [ "$took" -lt 290 ] || [ "$took" -ge "$patience" ]; then fail "300 ms are $took"; fi
    says "$scratch/log" "1 connection was cut" || fail "the cut is not told"
    wait "$asking" || true
    primary CLIENT UNPAUSE >/dev/null
}

the_service_manager_is_told() {
    if ! perl -MIO::Socket::UNIX -e 1 2>/dev/null; then
        echo "skipped: perl is not installed"
        return
    fi
    conf "listen = $here $SERVICE primary"
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, pack_sockaddr_un($ARGV[0])) or die; $| = 1;
        while (recv(S, $_, 99, 0), $_ ne "STOPPING=1") { print "$_\n" } print "$_\n"' "$scratch/notify" >"$scratch/states" &
    listening=$!
    wait_for "the service manager" test -S "$scratch/notify"
    NOTIFY_SOCKET=$scratch/notify start
    wait_for "the first word" says "$scratch/states" READY=1
    kill -HUP "$pid"
    wait_for "the words of a reload" lines_are_over "$scratch/states" 2
    ends
    wait "$listening"
    [ "$(tr '\n' ' ' <"$scratch/states")" = "READY=1 RELOADING=1 READY=1 STOPPING=1 " ] || fail "$(cat "$scratch/states")"
}

# The words of COMMAND are those of a program of its own, so that `$pid` is what it becomes.
patience=2000
requests=2000
case $1 in *valgrind) patience=15000 requests=300 ;; esac
command=$scratch/sentinel-proxy
for program in "$@"; do :; done # the last one, for what only reads
{
    echo '#!/bin/sh'
    printf 'exec'
    printf " '%s'" "$@"
    echo ' "$@"'
} >"$command"
chmod 755 "$command"

what_is_wrong_is_said_with_its_line_and_key
nobody_but_loopback_is_served_unless_told_twice
a_path_is_taken_from_the_dead_alone
clients_work_unchanged
one_more_than_the_limit_is_told_so
a_connection_outlives_its_listener
without_descriptors_it_waits
no_password_is_shown
commands_under_way_end_before_it_does
the_service_manager_is_told
each_write_is_done_once_through_a_kill
