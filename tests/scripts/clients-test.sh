#!/bin/sh
# clients-test.sh hiredis|redis-rb|redis-client|sidekiq: the test programs of a library that nobody here wrote, through sentinel-proxy
# and, in Ruby, the driver too; but for redis-client then the same while one failover after the other is ordered.
#
# HIREDIS=FOLDER (1.1 or newer), REDIS_RB=FOLDER (5 or newer), REDIS_CLIENT=FOLDER (0.22), SIDEKIQ=FOLDER (7.3): its sources, which
# are copied. Otherwise they are those of Debian 13, where apt has a mirror of Debian. What is taken out of them, and why, is all in
# this file. Ruby's libraries that they need are as ruby-peers.sh finds them. WAYS="proxy driver itself": of redis-rb. Exit status 77:
# not to be had, or its own needs are not.
set -eu
: "${LAB:=target/debug/lab}" "${CC:=cc}" "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS
LAB=$(realpath "$LAB")
export LAB
root=$(pwd)
self=$root/tests/scripts/clients-test.sh
prefix=$root/build/prefix
out=$root/build/clients

skip() {
    echo "$*" >&2
    exit 77
}

# debian PACKAGE FOLDER: its original sources, as Debian 13 has them, without a change of what the machine itself asks for.
debian() {
    command -v apt-get >/dev/null 2>&1 || skip "$1: this is no Debian, and no folder of its sources was named"
    # shellcheck disable=SC2016
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1)
    [ -n "$site" ] || skip "$1: apt has no mirror of Debian, and no folder of its sources was named"
    apt=$out/apt
    mkdir -p "$apt/lists" "$apt/cache/archives/partial" "$2"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" >"$apt/sources"
    set -- "$1" "$2" -oDir::Etc::sourcelist="$apt/sources" -oDir::Etc::sourceparts=/dev/null \
        -oDir::State::lists="$apt/lists" -oDir::Cache="$apt/cache"
    package=$1 folder=$2
    shift 2
    [ -n "$(find "$apt/lists" -name '*Sources*' -mmin -720)" ] || apt-get -q "$@" update >"$apt/log" 2>&1 || true
    # A mirror that lacks the changes of Debian has what they are to.
    (cd "$apt" && apt-get -q "$@" source --download-only "$package" >>"$apt/log" 2>&1) || true
    archive=$(find "$apt" -maxdepth 1 -name "${package}_*.orig.tar.[gx]z" | head -n 1)
    [ -n "$archive" ] || { tail -n 3 "$apt/log" >&2; skip "$package: its sources are not to be had"; }
    tar -xf "$archive" -C "$folder" --strip-components=1
}

# sources NAME PACKAGE FOLDER: into build/clients/NAME, anew.
sources() {
    folder=$out/$1
    rm -rf "$folder"
    mkdir -p "$folder"
    if [ -n "$3" ]; then cp -R "$3/." "$folder"; else debian "$2" "$folder"; fi
}

# out_of FILE TEXT EDIT: the sed edit, of lines that have the text; it is an error where there are none.
out_of() {
    grep -q -- "$2" "$1" || { echo "$1 has no line with '$2' any more" >&2; exit 1; }
    sed -i -e "$3" "$1"
}

# peers LIBRARY...: of Ruby; their flags are RUBY_PEERS.
peers() {
    RUBY_PEERS=$("$root/tests/scripts/ruby-peers.sh" "$@") || exit
    export RUBY_PEERS
}

# begin OPTION...: sentinel-proxy on $socket and on $port of loopback.
begin() {
    socket=$scratch/primary.sock
    : >"$scratch/proxy.log"
    "$prefix/bin/sentinel-proxy" --url "$SENTINEL_URL" --listen "$socket $SERVICE primary $*" \
        --listen "127.0.0.1:0 $SERVICE primary $*" --metrics "$scratch/metrics.sock" 2>"$scratch/proxy.log" &
    proxy=$!
    tries=0
    until port=$(sed -n 's/.*, port \([0-9]*\), is.*/\1/p' "$scratch/proxy.log") && [ -n "$port" ] && [ -S "$socket" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { cat "$scratch/proxy.log" >&2; exit 1; }
        sleep 0.05
    done
}

# failovers: ordered one after the other, each once all has settled, until there is a file `enough`. Their number is in `moves`.
failovers() {
    moves=0
    while [ ! -e "$scratch/enough" ]; do
        "$LAB" ctl fail-over >/dev/null && "$LAB" ctl wait-settled >/dev/null || exit 1
        moves=$((moves + 1))
        echo "$moves" >"$scratch/moves"
    done
}

inside() {
    scratch=$(mktemp -d)
    proxy='' mover=''
    trap '[ -z "$proxy" ] || kill -9 "$proxy" 2>/dev/null; [ -z "$mover" ] || kill "$mover" 2>/dev/null; rm -rf "$scratch"' EXIT
    "$1_inside"
    [ -n "$proxy" ] || return 0
    kill -TERM "$proxy"
    wait "$proxy"
    proxy=''
}

# moving COMMAND...: it, with failovers under it, of which there have to be some.
moving() {
    rm -f "$scratch/enough"
    echo 0 >"$scratch/moves"
    failovers &
    mover=$!
    status=0
    "$@" || status=$?
    : >"$scratch/enough"
    wait "$mover" || { echo "a failover could not be ordered" >&2; exit 1; }
    mover=''
    [ "$status" -eq 0 ] || return "$status"
    [ "$(cat "$scratch/moves")" -ge 2 ] || { echo "only $(cat "$scratch/moves") failovers came to pass" >&2; exit 1; }
}

# hiredis: `hiredis-test`, with its tests of the asynchronous interface on libevent.
#
# Two of what it tests are refused by every socket of the library, and end the program by an assertion: CLIENT TRACKING (what the
# server says unasked belongs to a connection, and there are none behind a socket that last through a failover) and MONITOR. A
# third is not of this machine: it connects to an address of another network, where nobody is to answer. The name that must not be
# found is one that nobody can have.
#
# Two things are changed. The 10 ms that some commands have, which are to succeed, are two seconds: a failover takes longer than the
# one. And tests of messages do not end at the first answer behind a message, but once they have all: what another connection
# publishes may come in front of answers to what was sent before, for the answers come on another way than the messages.
hiredis() {
    sources hiredis hiredis "${HIREDIS:-}"
    test=$out/hiredis/test.c
    out_of "$test" 'test_resp3_push_handler(c);' '/test_resp3_push_handler(c);/d'
    out_of "$test" 'test_monitor(cfg);' '/^ *test_monitor(cfg);/d'
    out_of "$test" 'Async connect timeout' \
        '/Async free after connect/,/Async connect timeout/s/if (config.type == .*{/if (0) {/'
    out_of "$test" idontexist-noreally.com 's/idontexist-noreally.com/name.invalid/'
    patient='redisSetTimeout(c, (struct timeval){.tv_sec = 2});'
    out_of "$test" 'redisSetTimeout(c, tv);' "/when the timeout is not exceeded/,/redisSetTimeout/s/redisSetTimeout(c, tv);/$patient/"
    out_of "$test" 'test("Reconnect properly reconnects' "s/test(\"Reconnect properly reconnects/$patient &/"
    out_of "$test" 'if (state->disconnect) async_disconnect(ac);' \
        's/if (state->disconnect)/if (state->disconnect \&\& state->checkpoint >= (state->resp3 ? 6 : 3))/'
    async=1
    pkg-config --exists libevent 2>/dev/null || { echo "libevent is not installed: without the tests that need it" >&2; async=0; }
    "$MAKE_COMMAND" -C "$out/hiredis" hiredis-test CC="$CC" TEST_ASYNC=$async WARNINGS=-w >"$out/hiredis.log" 2>&1 ||
        { cat "$out/hiredis.log"; exit 1; }
    # DEBUG SLEEP 3, which no Sentinel may take for the end of the server.
    set -- --down-after 10000
    case $(redis-server --version) in *v=[56].*) ;; *) set -- "$@" --node-config "enable-debug-command local" ;; esac
    timeout --foreground -k 10 400 "$LAB" run "$@" -- "$self" --inside hiredis
}

hiredis_inside() {
    begin database=9 timeout_ms=30000
    hiredis_test alone 150
    moving hiredis_test moving 150
    echo "that with $(cat "$scratch/moves") failovers"
}

# hiredis_test NAME LEAST: nothing fails, nothing is left out, and as many as that are there.
hiredis_test() {
    log=$out/hiredis-$1.log
    status=0
    "$out/hiredis/hiredis-test" -h 127.0.0.1 -p "$port" -s "$socket" >"$log" 2>&1 || status=$?
    passed=$(grep -c PASSED "$log" || true)
    if [ "$status" -ne 0 ] || grep -q 'FAILED\|SKIPPED' "$log" || [ "$passed" -lt "$2" ]; then
        grep 'FAILED\|SKIPPED\|ssert' "$log" || tail -n 5 "$log"
        echo "hiredis-test ended with $status, $passed tests passed"
        return 1
    fi
    echo "hiredis-test: $passed passed ($1)"
}

# redis-rb: all that its suite says of a server and of itself, in its own words. What of it cannot hold, and why, is told in
# bindings/ruby/test/redis_rb_suite.rb. Each of its tests empties two databases, and a socket of the library is for one.
redis_rb() {
    peers ffi minitest mocha redis_client
    sources redis-rb ruby-redis "${REDIS_RB:-}"
    out_of "$out/redis-rb/test/helper.rb" 'redis.select 14' '/redis.select 14/,+1d'
    set -- --down-after 10000
    case $(redis-server --version) in *v=[56].*) ;; *) set -- "$@" --node-config "enable-debug-command local" ;; esac
    timeout --foreground -k 10 900 "$LAB" run "$@" -- "$self" --inside redis_rb
}

redis_rb_inside() {
    begin database=15 timeout_ms=30000
    find "$out/redis-rb/test" -name '*.rb' -exec sed -i "s/6381/$port/g" {} +
    for way in ${WAYS:-proxy driver}; do
        suite "$way" redis
    done
    suite proxy distributed
    for way in ${WAYS:-proxy driver}; do
        moving suite "$way" redis
        echo "that with $(cat "$scratch/moves") failovers"
    done
}

# suite WAY FOLDER
suite() {
    log=$out/redis-rb-$1-$2.log
    # shellcheck disable=SC2086
    (cd "$out/redis-rb/test" && REDIS_SOCKET_PATH=$socket LIBSENTINEL=$prefix/lib/libsentinel.so timeout -k 5 300 \
        ruby -I. -I../lib $RUBY_PEERS -I"$root/bindings/ruby/lib" -I"$root/bindings/ruby/test" \
        "$root/bindings/ruby/test/redis_rb_suite.rb" "$1" "$2") \
        >"$log" 2>&1 || { grep -v ' warning: ' "$log"; return 1; }
    tail -n 1 "$log"
}

# redis-client: its own tests by the driver, as far as they ask a server or what it says. What of it cannot hold, and why, is told in
# bindings/ruby/test/redis_client_suite.rb. Its own helper builds and starts servers; here they are.
redis_client() {
    peers ffi minitest connection_pool
    sources redis-client ruby-redis-client "${REDIS_CLIENT:-}"
    grep -q Minitest "$out/redis-client/test/redis_client_test.rb" || skip "these tests of redis-client are not those of minitest"
    : >"$out/redis-client/test/test_helper.rb"
    timeout --foreground -k 10 400 "$LAB" run --down-after 10000 -- "$self" --inside redis_client
}

redis_client_inside() {
    for way in ${WAYS:-driver}; do
        log=$out/redis-client-$way.log
        # shellcheck disable=SC2086
        LIBSENTINEL=$prefix/lib/libsentinel.so timeout -k 5 300 ruby -I"$out/redis-client/test" -I"$out/redis-client/lib" \
            $RUBY_PEERS -I"$root/bindings/ruby/lib" -I"$root/bindings/ruby/test" \
            "$root/bindings/ruby/test/redis_client_suite.rb" "$way" "$out/redis-client/test" >"$log" 2>&1 ||
            { cat "$log"; return 1; }
        tail -n 1 "$log"
    done
}

# Sidekiq: all of its tests, with Rails. What of them cannot hold, and why, is told in bindings/ruby/test/sidekiq_suite.rb.
sidekiq() {
    peers ffi minitest redis_client connection_pool rack/session rack/test rails action_mailer active_record sqlite3
    sources sidekiq ruby-sidekiq "${SIDEKIQ:-}"
    [ -f "$out/sidekiq/test/helper.rb" ] || skip "these sources of Sidekiq have no tests"
    timeout --foreground -k 10 600 "$LAB" run --down-after 10000 -- "$self" --inside sidekiq
}

sidekiq_inside() {
    begin timeout_ms=30000
    for way in ${WAYS:-proxy driver}; do
        sidekiq_suite "$way"
        moving sidekiq_suite "$way"
        echo "that with $(cat "$scratch/moves") failovers"
    done
}

# sidekiq_suite WAY. What it pushes waits for a failover longer than Sidekiq itself would.
sidekiq_suite() {
    log=$out/sidekiq-$1.log
    # shellcheck disable=SC2086
    (cd "$out/sidekiq" && REDIS_URL="redis://127.0.0.1:$port/0" LIBSENTINEL=$prefix/lib/libsentinel.so timeout -k 5 300 \
        ruby -Ilib -Itest $RUBY_PEERS -I"$root/bindings/ruby/lib" -I"$root/bindings/ruby/test" \
        "$root/bindings/ruby/test/sidekiq_suite.rb" "$1" "$out/sidekiq") >"$log" 2>&1 || { grep -v ' warning: ' "$log"; return 1; }
    tail -n 1 "$log"
}

case ${1:-} in
    --inside) inside "$2" ;;
    hiredis | redis-rb | redis-client | sidekiq)
        command -v redis-server >/dev/null 2>&1 || skip "redis-server is not installed"
        mkdir -p "$out"
        "$(echo "$1" | tr - _)"
        ;;
    *)
        echo "usage: clients-test.sh hiredis|redis-rb|redis-client|sidekiq" >&2
        exit 2
        ;;
esac
