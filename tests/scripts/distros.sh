#!/bin/sh
# distros.sh [SUITE...]: in a whole Debian of each suite (bookworm and trixie), below build/distros and by chroot: the
# demonstration and the C programs, compiled by its own compiler; then the packages of this tree are installed by its
# dpkg, a program is built against them and follows a topology, and they are removed again.
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

case ${1:-} in
    --packages | --run)
        rust=$RUST cargo_home=$CARGO_FOLDER
        verb=$1
        shift
        case $verb in
            --packages) packages "$1" ;;
            *) in_it "$@" ;;
        esac
        exit
        ;;
esac

rust=$("${RUSTC:-rustc}" --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUST="$rust" CARGO_FOLDER="$cargo_home"
"$MAKE_COMMAND" --no-print-directory lib lab kit
"$MAKE_COMMAND" --no-print-directory deb >/dev/null
failed=0
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do
    reason=$("$scripts/debian.sh" tree "$out/$suite" "$suite" redis-server redis-sentinel gcc g++ libc6-dev make \
        pkg-config adduser) || {
        echo "Debian $suite: $reason"
        skipped=yes
        continue
    }
    "$step" "demo ($suite)" "$0" --run "$suite" make --no-print-directory demo || failed=1
    "$step" "C programs ($suite)" "$0" --run "$suite" env TESTS_OUT="build/tests-$suite" tests/scripts/c-tests.sh || failed=1
    "$step" "packages ($suite)" "$0" --packages "$suite" || failed=1
done
[ "$failed" -eq 0 ] || exit 1
[ -z "${skipped:-}" ] || exit 77
