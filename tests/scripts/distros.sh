#!/bin/sh
# distros.sh [SUITE...]: in a whole Debian of each suite (bookworm and trixie), below build/distros and by chroot, with its
# own compilers and servers: the demonstration, the C programs, the bindings' tests with its Go and its Ruby, the
# benchmark against its hiredis; then the packages of this tree are installed by its dpkg, a program is built against
# them and follows a topology, and they are removed again. At the end a table.
#
# The tree, and this machine's Rust, are there under their own names. As root.
#
# Exit status 77: it cannot be had here; the last line says why.
set -eu
: "${CARGO:=cargo}" "${MAKE_COMMAND:=make}" "${VERSION:=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}"
unset MAKEFLAGS MFLAGS
scripts=$(dirname "$0")
step=$scripts/step.sh
tree=$(pwd)
out=$tree/build/distros

# in_it SUITE COMMAND...: inside, in this tree. What is mounted for it is seen by nobody else and goes with its last
# process, so that nothing of this machine stays where somebody may remove it.
in_it() {
    root=$out/$1
    shift
    # shellcheck disable=SC2016
    HOME=/root LANG=C.UTF-8 CARGO_NET_OFFLINE=true CARGO_HOME="$cargo_home" TMPDIR=/tmp \
        PATH="$rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        unshare --mount sh -ec '
            root=$1 tree=$2
            shift 2
            for folder in "$tree" "$RUST" "$CARGO_FOLDER" /proc /dev; do
                mkdir -p "$root$folder"
                mount --rbind "$folder" "$root$folder"
            done
            cd "$tree"
            exec chroot "$root" sh -c "cd \"\$1\" && shift && exec \"\$@\"" sh "$tree" "$@"
        ' sh "$root" "$tree" "$@"
}

packages() {
    cp build/deb/libsentinel0_"$VERSION"-*.deb build/deb/libsentinel-dev_"$VERSION"-*.deb \
        build/deb/libsentinel-lab_"$VERSION"-*.deb build/deb/libsentinel-bin_"$VERSION"-*.deb "$out/$1/tmp"
    # shellcheck disable=SC2016
    in_it "$1" sh -ec '
        cd /tmp
        dpkg --install ./*.deb
        gcc -std=c11 -Wall -Werror "$1/examples-c/quickstart.c" -o quickstart $(pkg-config --cflags --libs sentinel)
        libsentinel-lab run -- sh -c "./quickstart \$SERVICE \$(echo \$SENTINELS | tr , \" \")" | tee said
        grep -q bar said
        sentinel-proxy --version
        dpkg --purge libsentinel-bin libsentinel-lab libsentinel-dev libsentinel0
        left=$(find / -xdev -path "$1" -prune -o \( -name "*libsentinel*" -o -name "sentinel*" \) ! -name "*.deb" -print |
            grep "^/usr/\(bin\|lib\|include\|share/man\)" | grep -v redis || true)
        [ -z "$left" ] || { echo "left behind: $left"; exit 1; }' sh "$tree"
}

# bench SUITE: short, for that it runs and not for its figures.
bench() {
    in_it "$1" env ROUNDS=3 SECONDS_EACH=0.1 BUILD="build/bench-$1" OUT="build/bench-$1" benches/run.sh
}

# versions SUITE: of what its own is tried here.
versions() {
    # shellcheck disable=SC2016
    in_it "$1" sh -ec '
        echo "gcc $(gcc -dumpfullversion), redis $(redis-server --version | sed "s/.* v=\([^ ]*\).*/\1/")," \
            "$(go version | sed "s/.* go\([0-9.]*\) .*/Go \1/"), $(ruby -e "puts %(Ruby #{RUBY_VERSION})")," \
            "hiredis $(pkg-config --modversion hiredis)"'
}

# said COMMAND...: what it says is kept as well, for the reasons of what it skips.
said() {
    status=0
    "$@" >"$out/said" || status=$?
    cat "$out/said"
    cat "$out/said" >>"$out/$suite.said"
    return $status
}

# one SUITE: each step that has steps of its own is counted by them.
one() {
    suite=$1
    tally=$out/$suite.tally start=$(date +%s) failed=0
    : >"$tally"
    : >"$out/$suite.said"
    counted="env TALLY=$tally BINDINGS_OUT=build/bindings-$suite TESTS_OUT=build/tests-$suite"
    echo "Debian $suite: $(versions "$suite")"
    TALLY=$tally "$step" "demo ($suite)" "$0" --run "$suite" make --no-print-directory demo || failed=1
    # shellcheck disable=SC2086
    said "$step" "C programs ($suite)" "$0" --run "$suite" $counted tests/scripts/c-tests.sh || failed=1
    # shellcheck disable=SC2086
    said "$step" "Go ($suite)" "$0" --run "$suite" $counted tests/scripts/binding-tests.sh go \
        "tests race quickstart failover pipeline pubsub lock queue" || failed=1
    # shellcheck disable=SC2086
    said "$step" "Ruby ($suite)" "$0" --run "$suite" $counted tests/scripts/binding-tests.sh ruby \
        "tests extension quickstart failover pipeline pubsub" || failed=1
    TALLY=$tally "$step" "benchmark ($suite)" "$0" --bench "$suite" || failed=1
    TALLY=$tally "$step" "packages ($suite)" "$0" --packages "$suite" || failed=1
    count() { grep -c "^$1" "$tally" || true; }
    row "$suite" "$(count ok)" "$(count FAILED)" "$(count skipped)" $(($(date +%s) - start)) >>"$out/table"
    sed -n 's/^FAILED /    &/p' "$tally" >>"$out/table"
    # With the line before it, which says why.
    sed -n -e 's/^\(.*\): skipped, for /    skipped \1: /p' -e 's/^\(.*is not installed\)$/    skipped: \1/p' \
        -e 's/^\(.* [1-9][0-9]* skips\)$/    \1/p' "$out/$suite.said" | sort | uniq -c >>"$out/table"
    return $failed
}

row() {
    printf '%-10s %6s %6s %7s %7s\n' "$@"
}

case ${1:-} in
    --packages | --bench | --run)
        rust=$RUST cargo_home=$CARGO_FOLDER
        verb=${1#--}
        shift
        case $verb in
            run) in_it "$@" ;;
            *) "$verb" "$1" ;;
        esac
        exit
        ;;
esac

rust=$("${RUSTC:-rustc}" --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUST="$rust" CARGO_FOLDER="$cargo_home"
mkdir -p "$out"
"$MAKE_COMMAND" --no-print-directory lib lab kit prefix
"$MAKE_COMMAND" --no-print-directory deb >/dev/null
row suite passed failed skipped seconds >"$out/table"
failed=0
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do
    # What Debian has of other clients for Ruby since 13.
    case $suite in bookworm) peers='' ;; *) peers='ruby-redis-client ruby-redis' ;; esac
    # shellcheck disable=SC2086
    reason=$("$scripts/debian.sh" tree "$out/$suite" "$suite" redis-server redis-sentinel redis-tools curl gcc g++ \
        libc6-dev make pkg-config adduser libhiredis-dev libevent-dev libuv1-dev libsystemd-dev golang-go ruby ruby-dev \
        ruby-ffi ruby-minitest $peers) || {
        echo "$suite $reason" >>"$out/table"
        skipped=yes
        continue
    }
    one "$suite" || failed=1
done
cat "$out/table"
[ "$failed" -eq 0 ] || exit 1
[ -z "${skipped:-}" ] || exit 77
