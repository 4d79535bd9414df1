#!/bin/sh
# servers.sh get NAME: unpacks a server, and prints the folder of its programs.
# servers.sh short NAME: the essential tests against it.
# servers.sh all [NAME...]: the suite, the promises and the C programs against each, and a table.
# servers.sh commands [--check]: the library's table of commands, written or compared.
#
# The servers are Debian's, from its archive (debian.sh), below build/servers; nothing is installed. They run with the
# C library of the newest, started by its own loader, so any system of this processor can run them.
#
# Exit status 77: it cannot be had here; the last line says why.
set -eu
: "${CARGO:=cargo}" "${LAB:=target/debug/lab}" "${TALLY:=}"
export LAB
scripts=$(dirname "$0")
TEST="$CARGO test" C_TESTS=$scripts/c-tests.sh
# shellcheck source=tests/scripts/tally.sh
. "$scripts/tally.sh"
known='redis-6.0 redis-7.0 redis-8.0 valkey-8.0 valkey-8.1'
out=$(pwd)/build/servers
common='libatomic1 libcap2 libgcc-s1 libjemalloc2 liblzf1 libstdc++6 libsystemd0 libzstd1'

# The suite of Debian that has it, and the packages of its libraries.
origin() {
    case $1 in
        redis-6.0)
            echo bullseye "$common" libssl1.1 liblua5.1-0 lua-cjson lua-bitop liblzma5 liblz4-1 \
                libgcrypt20 libgpg-error0
            ;;
        redis-7.0)
            echo bookworm "$common" libssl3 liblua5.1-0 lua-cjson lua-bitop liblzma5 liblz4-1 \
                libgcrypt20 libgpg-error0
            ;;
        valkey-8.0) echo bookworm-backports "$common" libssl3 liblzma5 liblz4-1 libgcrypt20 libgpg-error0 ;;
        redis-8.0 | valkey-8.1) echo trixie "$common" libssl3t64 zlib1g ;;
        *)
            echo "servers: $1 is none of $known" >&2
            exit 2
            ;;
    esac
}

# fetch FOLDER SUITE PACKAGE...
fetch() {
    reason=$("$scripts/debian.sh" unpack "$@") && return
    status=$?
    echo "$reason" >&2
    return "$status"
}

# get NAME: a program of each kind in build/servers/NAME/bin, of the name that says what it is.
get() {
    from=$(origin "$1") || exit
    brand=${1%-*}
    # shellcheck disable=SC2086
    set -- "$1" $from
    name=$1 suite=$2
    shift 2
    fetch "$out/libc" trixie libc6
    fetch "$out/$name/root" "$suite" "$brand-server" "$brand-tools" "$brand-sentinel" "$@"
    for loader in "$out"/libc/usr/lib/*/ld-linux-*.so.?; do
        libraries=${loader%/*}
    done
    for folder in "$out/$name"/root/usr/lib/*-linux-gnu* "$out/$name"/root/lib/*-linux-gnu*; do
        [ ! -d "$folder" ] || libraries=$libraries:$folder
    done
    mkdir -p "$out/$name/bin"
    # Other tests may be running them: a file is replaced as a whole.
    for program in "$brand-server" "$brand-sentinel"; do
        {
            echo '#!/bin/sh'
            echo "exec '$loader' --library-path '$libraries' --argv0 '$program' \\"
            echo "    '$out/$name/root/usr/bin/$brand-${program#*-}' \"\$@\""
        } >"$out/$name/bin/.new$$"
        chmod 755 "$out/$name/bin/.new$$"
        mv -f "$out/$name/bin/.new$$" "$out/$name/bin/$program"
    done
    "$out/$name/bin/$brand-server" --version >"$out/$name/version" 2>&1 || {
        echo "$name does not start: $(tail -n 1 "$out/$name/version")" >&2
        exit 77
    }
    echo "$out/$name/bin"
}

# against NAME: from here on tests run against it.
against() {
    # Not in the same line as export, which would hide the status.
    bin=$(get "$1")
    export LAB_SERVER="$bin/${1%-*}-server" LAB_SENTINEL="$bin/${1%-*}-sentinel"
}

# What a server of any version has to be good for: found, logged in at, asked for what is not known, left when it fails,
# listened to, read from by a replica; and its replies are the ones that its own words would be.
essential='failover::real::follows_the_primary_when_it_is_killed failover::real::follows_a_manual_failover_at_once
    discovery::real::passwords_open discovery::real::tells_the_primary calls::learnt::a_real_server calls::scripts::a_script_runs
    credentials::rotation::a_rotation credentials::renewals::the_links pubsub::gaps::a_killed_primary_makes_one_gap_in_resp2_too
    pubsub::subscriptions::each_kind reads::replicas::real_replicas wire::rendered:: wire::replies::resp3_kinds wire::replies::limits_on
    serve::transactions::transactions_are serve::failovers::writers_go_on_through_a_planned'

short() {
    against "$1"
    # shellcheck disable=SC2086
    RUST_TEST_THREADS=6 "$CARGO" test --quiet --test suite -- $essential
}

row() {
    printf '%-8s %-8s %6s %6s %6s %7s %7s\n' "$@"
}

# one NAME: its row, which is also the verdict.
one() {
    log=$out/log/$1
    mkdir -p "$log"
    if ! against "$1" 2>"$log/get"; then
        row "${1%-*}" "${1#*-}" - - - - "-  $(tail -n 1 "$log/get")"
        return
    fi
    passed=0 failed=0 again=0 skipped=0 start=$(date +%s)
    rust "$log/suite" suite 6
    rust "$log/promises" promises 4
    programs "$log/programs" shared
    version=$(sed -n 's/.* v=\([^ ]*\).*/\1/p' "$out/$1/version")
    row "${1%-*}" "$version" "$passed" "$failed" "$again" "$skipped" "$(($(date +%s) - start))"
    told "$log/suite" "$log/promises" "$log/programs"
    [ "$failed" -eq 0 ]
}

all() {
    # shellcheck disable=SC2086
    [ $# -gt 0 ] || set -- $known
    "$CARGO" test --quiet --test suite --test promises --no-run
    failures=0
    row server version passed failed again skipped seconds
    for name in "$@"; do
        (one "$name") || failures=$((failures + 1))
    done
    [ "$failures" -eq 0 ]
}

commands() {
    for name in redis-7.0 redis-8.0 valkey-8.0 valkey-8.1; do
        bin=$(get "$name")
        set -- "$@" "$bin/${name%-*}-server"
    done
    tests/generate_commands.py "$@"
}

case ${1:-} in
    get | short | all | commands) "$@" ;;
    *)
        echo "usage: servers.sh get|short NAME | all [NAME...] | commands [--check]" >&2
        exit 2
        ;;
esac
