#!/bin/sh
# debian.sh unpack FOLDER SUITE PACKAGE[:ARCHITECTURE]...: packages of another Debian, unpacked below FOLDER.
# debian.sh tree FOLDER SUITE PACKAGE...: a whole Debian below FOLDER, to chroot into, with these packages. As root.
#
# Nothing is installed on this machine: apt has lists, a cache and a status of its own below build/debian, and checks the
# signature of the archive and the sums of all packages. What is already there is not fetched again. DEBIAN_MIRROR is
# the archive.
#
# Exit status 77: it cannot be had here; the last line says why.
set -eu
: "${DEBIAN_MIRROR:=http://deb.debian.org/debian}"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
own=$(pwd)/build/debian

cannot() {
    echo "$*"
    exit 77
}

need() {
    command -v "$1" >/dev/null 2>&1 || cannot "$1 is not here"
}

# run WHAT COMMAND...: what a command says is told only when it fails.
run() {
    what=$1
    shift
    "$@" >"$log" 2>&1 || cannot "$what: $(tail -n 1 "$log")"
}

# apt COMMAND...: apt-get with nothing of this machine's but the keys of the archive.
apt() {
    command=$1
    shift
    "apt-$command" -q -oDir::Etc::sourcelist="$apt/debian.sources" -oDir::Etc::sourceparts=/dev/null \
        -oDir::State::lists="$apt/lists" -oDir::State::status="$apt/status" -oDir::Cache="$apt/cache" \
        -oAPT::Sandbox::User="$(id -un)" -oAPT::Architectures="$architectures" -oAcquire::Languages=none \
        -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -oAcquire::Retries=2 \
        -oAcquire::http::Timeout=20 "$@"
}

unpack() {
    folder=$1 suite=$2
    shift 2
    [ "$(cat "$folder/.packages" 2>/dev/null)" != "$suite $*" ] || return 0
    need apt-get
    need dpkg
    [ -f "$keyring" ] || cannot "there is no $keyring (package debian-archive-keyring)"
    foreign=$(printf '%s\n' "$@" | sed -n '/:all$/d; s/.*://p' | sort -u | tr '\n' ,)
    architectures=$(dpkg --print-architecture)${foreign:+,${foreign%,}}
    apt=$own/$suite-$architectures
    # Another part of the tests may want the same.
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    exec 9>"$apt/lock"
    flock 9
    log=$apt/log
    : >"$apt/status"
    # Backports are for the release they are of.
    cat >"$apt/debian.sources" <<SOURCES
Types: deb
URIs: $DEBIAN_MIRROR
Suites: ${suite%-backports} $(case $suite in *-backports) echo "$suite" ;; esac)
Components: main
Signed-By: $keyring
SOURCES
    run "apt-get update ($suite)" apt get -oAPT::Update::Error-Mode=any update
    # What was there under another list of packages is gone.
    rm -rf "$folder" "$apt/debs"
    mkdir -p "$folder" "$apt/debs"
    (cd "$apt/debs" && run "apt-get download ($suite)" apt get download "$@")
    for package in "$apt"/debs/*.deb; do run "$package" dpkg -x "$package" "$folder"; done
    echo "$suite $*" >"$folder/.packages"
}

# Where this machine has no debootstrap, it is unpacked: it is a script.
tree() {
    folder=$1 suite=$2
    shift 2
    [ "$(cat "$folder/.packages" 2>/dev/null)" != "$suite $*" ] || return 0
    [ "$(id -u)" -eq 0 ] || cannot "debootstrap and chroot need root"
    if command -v debootstrap >/dev/null 2>&1; then
        set -- debootstrap "$@"
    else
        "$0" unpack "$own/debootstrap" trixie debootstrap || exit
        export DEBOOTSTRAP_DIR="$own/debootstrap/usr/share/debootstrap"
        set -- "$own/debootstrap/usr/sbin/debootstrap" "$@"
    fi
    program=$1
    shift
    names=$*
    [ -f "$keyring" ] || cannot "there is no $keyring (package debian-archive-keyring)"
    rm -rf "$folder"
    mkdir -p "$folder"
    log=$folder.log
    # Its mounts are seen by nobody else.
    run "debootstrap $suite" unshare --mount "$program" --variant=minbase --keyring="$keyring" \
        --include="$(echo "$names" | tr ' ' ,)" "$suite" "$folder" "$DEBIAN_MIRROR"
    echo "$suite $names" >"$folder/.packages"
}

case ${1:-} in
    unpack | tree) "$@" ;;
    *)
        echo "usage: debian.sh unpack|tree FOLDER SUITE PACKAGE..." >&2
        exit 2
        ;;
esac
