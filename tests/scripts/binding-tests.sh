#!/bin/sh
# binding-tests.sh go|ruby [STEP]: the tests and the examples of a binding, inside topologies of their own.
#
# Go: vet and gofmt, the tests with the checks of cgo, again with the race detector; both against the library as
# `make install` puts it below build/prefix. Ruby: with warnings, against the same.
#
# The libraries of others, in Ruby, are as ruby-peers.sh finds them: what needs them is skipped without.
#
# A storm of everything at once in each language, for STORM seconds (20), with SEED if it is set; in Ruby without and with the
# extension, which the step `extension` builds as `gem install` does. BINDINGS_OUT is the folder of what is built and said.
#
# Exit status 77 of a step: skipped, for the language is not installed.
set -eu
: "${LAB:=target/debug/lab}"
unset MAKEFLAGS MFLAGS # for what builds an extension
LAB=$(realpath "$LAB")
export LAB
step=tests/scripts/step.sh
survives=$(pwd)/tests/scripts/survives.sh
prefix=$(pwd)/build/prefix
out=$(pwd)/${BINDINGS_OUT:-build/bindings}
: "${STORM:=20}"

# For the programs of both languages.
environment() {
    export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib" LIBSENTINEL="$prefix/lib/libsentinel.so"
    export GOFLAGS=-mod=mod GOPROXY=off GODEBUG=cgocheck=1 CGO_CFLAGS="-O2 -g -Wall -Werror"
}

# in_lab LIMIT COMMAND...: inside a topology. DOWN_AFTER: for how many milliseconds a node may be busy.
in_lab() {
    limit=$1
    shift
    timeout --foreground -k 10 "$limit" "$LAB" run --down-after "${DOWN_AFTER:-500}" -- "$@"
}

# example LOG COMMAND...: with SERVICE and the Sentinels as arguments.
example() {
    # shellcheck disable=SC2016
    in_lab 120 sh -c 'exec "$@" "$SERVICE" $(echo "$SENTINELS" | tr , " ")' sh "$@"
}

# counted LOG SCENE COMMAND...: a program that counts for itself what was lost or twice, under a scene; it ends when asked.
counted() {
    : >"$1"
    log=$1 scene=$2
    shift 2
    # shellcheck disable=SC2016
    in_lab 180 sh -c '
        log=$1
        shift
        "$@" "$SERVICE" 2 $(echo "$SENTINELS" | tr , " ") >>"$log" 2>&1 &
        program=$!
        # goes_on TEXT [TENTHS]: waits for one more line with the text, half a minute at most.
        goes_on() {
            from=$(grep -c "$1" "$log")
            tries=0
            until [ "$(grep -c "$1" "$log")" -gt "$from" ] || [ $tries -ge "${2:-300}" ]; do
                tries=$((tries + 1))
                sleep 0.1
            done
        }
        # tell NODE WORD...: by redis-cli.
        tell() {
            node=$1
            shift
            redis-cli -h "${node%:*}" -p "${node##*:}" "$@"
        }
        goes_on "^held\|^executed"
        '"$scene"'
        kill -TERM "$program"
        wait "$program"
    ' sh "$log" "$@"
}

# through_all LOG COMMAND...: through what loses most: the replicas stand still when the primary is killed, and one of them is
# the next; then an ordered failover.
through_all() {
    log=$1
    shift
    # shellcheck disable=SC2016
    counted "$log" '
        # What is sent to one that stands still waits for it in the kernel: so their connections end.
        "$LAB" ctl freeze replica-0 && "$LAB" ctl freeze replica-1
        old=$("$LAB" ctl primary)
        tell "$old" CLIENT KILL TYPE replica
        # Nothing is acknowledged from now on, or it is lost.
        goes_on "^not \|^held\|^executed"
        "$LAB" ctl kill-primary
        "$LAB" ctl thaw
        "$LAB" ctl wait-primary-change "$old"
        "$LAB" ctl restart-killed
        "$LAB" ctl wait-settled
        goes_on "^held\|^executed"
        "$LAB" ctl fail-over
        "$LAB" ctl wait-settled
        goes_on "^held\|^executed"
    ' "$@" || { cat "$log"; return 1; }
    tail -n 1 "$log"
}

# sees_theft LOG COMMAND...: a lock that is taken away from its holder is had twice, and the program says so: else its count of
# nothing would say nothing.
sees_theft() {
    log=$1
    shift
    # shellcheck disable=SC2016
    if counted "$log" '
        primary=$("$LAB" ctl primary)
        # Once in a while the holder looks before anybody else has it.
        tries=0
        until grep -q "^HELD TWICE" "$log" || [ $tries -ge 60 ]; do
            [ $((tries % 10)) -ne 0 ] || tell "$primary" DEL example:lock
            tries=$((tries + 1))
            sleep 0.1
        done
    ' "$@" || ! grep "^summary .*twice=[1-9]" "$log"; then
        cat "$log"
        return 1
    fi
}

go_step() {
    cd bindings/go
    case $1 in
        vet)
            [ -z "$(gofmt -l .)" ] || { echo "not formatted: $(gofmt -l .)"; return 1; }
            go vet ./...
            go vet -tags storm .
            ;;
        tests) in_lab 300 go test -count=1 ./... ;;
        race) in_lab 300 go test -count=1 -race ./... ;;
        storm) in_lab $((STORM + 300)) env SECONDS="$STORM" \
            go test -count=1 -race -tags storm -timeout "$((STORM + 240))s" -run '^TestStorm$' -v . ;;
        lock-stolen)
            go build -o "$out/go-lock" ./examples/lock
            sees_theft "$out/$1-$$.log" "$out/go-lock"
            ;;
        *)
            go build -o "$out/go-$1" "./examples/$1"
            run_example "$1" "$out/go-$1"
            ;;
    esac
}

# extension: where its step has put it.
extension() {
    found=$(find "$out/gems/extensions" -name fast_ext.so 2>/dev/null)
    [ -z "$found" ] || dirname "$(dirname "$found")"
}

# ruby_tests OPTION...: with or without the extension, as FAST says.
ruby_tests() {
    export FAST
    peers=$(tests/scripts/ruby-peers.sh redis_client connection_pool redis) || peers=${RUBY_PEERS:-}
    # Some keep the primary busy with scripts, which nobody may take for its end.
    # shellcheck disable=SC2086
    DOWN_AFTER=2000 in_lab 300 ruby -w "$@" $peers -Ibindings/ruby/lib -Ibindings/ruby/test \
        -e 'Dir["./bindings/ruby/test/test_*.rb"].each { |file| require file }'
}

ruby_step() {
    case $1 in
        tests) FAST=0 ruby_tests ;;
        # As `gem install` makes it, and the same tests through it.
        extension)
            ruby -rrbconfig -e 'exit File.exist?(File.join(RbConfig::CONFIG["rubyhdrdir"], "ruby.h"))' || {
                echo "Ruby's headers are not installed (ruby-dev)" >&2
                exit 77
            }
            rm -rf "$out/gems" "$out/gems-bare"
            (cd bindings/ruby && gem build --silent sentinel_redis.gemspec -o "$out/sentinel_redis.gem")
            gem install --local --ignore-dependencies --no-document --silent -i "$out/gems" "$out/sentinel_redis.gem"
            # Where nothing can be compiled it is installed without.
            mkdir -p "$out/bare" && ln -sf "$(command -v ruby)" "$(command -v gem)" /bin/sh "$out/bare"
            PATH=$out/bare gem install --local --ignore-dependencies --no-document --silent -i "$out/gems-bare" \
                "$out/sentinel_redis.gem"
            [ -z "$(find "$out/gems-bare" -name fast_ext.so)" ]
            FAST=1 ruby_tests -I"$(extension)"
            ;;
        forks) in_lab $((120 + ${FORKS:-0})) ruby -w -Ibindings/ruby/lib -Ibindings/ruby/test \
            bindings/ruby/test/test_forks.rb ;;
        # Sidekiq through failovers, beside redis-client's own support of Sentinel.
        sidekiq)
            peers=$(tests/scripts/ruby-peers.sh redis_client connection_pool sidekiq) || exit
            for way in libsentinel redis-client; do
                # shellcheck disable=SC2086
                in_lab 900 ruby $peers -Ibindings/ruby/lib bindings/ruby/test/sidekiq_failovers.rb $way
            done
            ;;
        storm) SENTINEL_REDIS_FFI=1 ruby_storm ;;
        storm-extension)
            [ -n "$(extension)" ] || { echo "the extension is not built" >&2; return 77; }
            ruby_storm -I"$(extension)"
            ;;
        *) run_example "$1" ruby -w -Ibindings/ruby/lib "bindings/ruby/examples/$1.rb" ;;
    esac
}

# ruby_storm [OPTION]
ruby_storm() {
    in_lab $((STORM + 200)) env SECONDS="$STORM" ruby -w "$@" -Ibindings/ruby/lib bindings/ruby/test/storm.rb
}

# run_example NAME COMMAND...
run_example() {
    name=$1
    shift
    case $name in
        failover) "$survives" "$out/failover-$$.log" "$@" ;;
        lock | queue) through_all "$out/$name-$$.log" "$@" ;;
        *) example "$@" ;;
    esac
}

# one LANGUAGE STEP: its output only when it fails or skips something.
one() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1 is not installed" >&2
        exit 77
    fi
    if [ "$1" = ruby ] && ! ruby -e 'require "ffi"; require "minitest"' >/dev/null 2>&1; then
        echo "the gems ffi and minitest are not installed (ruby-ffi, ruby)" >&2
        exit 77
    fi
    environment
    log=$out/$1-$2.log
    status=0
    # In a process of its own: before `||` no command of it would end it.
    "$1_step" "$2" >"$log" 2>&1 &
    wait $! || status=$?
    [ "$status" -eq 0 ] || cat "$log"
    [ "$status" -ne 0 ] || grep '^storm: .* calls' "$log" || true
    [ "$status" -ne 0 ] || grep -A20 '^way=\|^summary .*twice=' "$log" || true
    grep -i '^ *--- SKIP\|skips$' "$log" | grep -v ' 0 skips' || true
    exit "$status"
}

case ${1:-} in
    --one) one "$2" "$3" ;;
    go) steps="vet tests race storm quickstart failover pipeline pubsub lock lock-stolen queue" ;;
    ruby) steps="tests extension storm storm-extension quickstart failover pipeline pubsub" ;;
    *)
        echo "usage: binding-tests.sh go|ruby [STEP]" >&2
        exit 2
        ;;
esac
steps=${2:-$steps}
mkdir -p "$out"
failed=0
for each in $steps; do
    "$step" "$1: $each" "$0" --one "$1" "$each" || failed=1
done
exit "$failed"
