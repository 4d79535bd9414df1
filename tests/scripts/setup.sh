#!/bin/sh
# setup.sh demo|test|bench: installs from the distribution what the demo, the tests or the benchmarks need and this
# machine lacks.
#
# Silent, and without touching the network, when everything is there. Installs when root or when sudo needs no password;
# otherwise prints the command to run.
set -eu
: "${CARGO:=cargo}" "${CC:=cc}" "${CXX:=g++}"

# As root: installs the packages, without letting the servers among them start.
install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -q -o DPkg::Lock::Timeout=300 update || echo "setup: apt-get update failed, going on with the old lists" >&2
    apt-get -q -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@" </dev/null
    # The tests start servers of their own; the distribution's need not come up at the next boot either.
    if command -v systemctl >/dev/null 2>&1; then
        for package in "$@"; do
            case $package in
                redis-*) systemctl disable --quiet "$package.service" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# need PACKAGE COMMAND...: the package is missing when the command fails.
missing=''
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# want PACKAGE COMMAND...: as need, but what uses it is skipped where it cannot be installed.
wanted=''
want() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || wanted="$wanted $package"
}

case ${1:-} in
    --install)
        shift
        install_packages "$@"
        exit 0
        ;;
    demo | test | bench) ;;
    *)
        echo "usage: setup.sh demo|test|bench" >&2
        exit 2
        ;;
esac

if ! have "$CARGO"; then
    echo "setup: cargo is missing; https://rustup.rs installs it" >&2
    exit 1
fi
if ! have "${CC%% *}"; then
    echo "setup: a C compiler is missing ($CC)" >&2
    exit 1
fi
need redis-server have redis-server
need redis-sentinel have redis-sentinel
if [ "$1" = test ]; then
    need g++ have "${CXX%% *}"
    need pkg-config have pkg-config
    need valgrind have valgrind
    # Debian's valgrind does not start without the symbols of the C library.
    if have dpkg; then need libc6-dbg dpkg -s libc6-dbg; fi
    want clang have clang++
    want libevent-dev pkg-config --exists libevent
    want libuv1-dev pkg-config --exists libuv
    want libglib2.0-dev pkg-config --exists glib-2.0
    want libsystemd-dev pkg-config --exists libsystemd
    want libasio-dev test -e /usr/include/asio.hpp
    want cmake have cmake
    want meson have meson
    want ninja-build have ninja
    want abigail-tools have abidiff
    want dpkg-dev have dpkg-gensymbols
    want golang-go have go
    want ruby have ruby
    want ruby-ffi ruby -e 'require "ffi"'
    want ruby-dev ruby -rrbconfig -e 'exit File.exist?(File.join(RbConfig::CONFIG["rubyhdrdir"], "ruby.h"))'
    want groff-base have groff
    want curl have curl
fi
if [ "$1" = bench ]; then
    need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
    need binutils have strip
    want golang-go have go
    want ruby have ruby
    want ruby-ffi ruby -e 'require "ffi"'
    want golang-gopkg-redis.v5-dev test -d /usr/share/gocode/src/gopkg.in/redis.v5
    want ruby-redis ruby -e 'require "redis"'
fi
[ -n "$missing$wanted" ] || exit 0

# get PACKAGE...: installs them, or says how to.
get() {
    echo "setup: missing: $*"
    if ! have apt-get; then
        echo "setup: this is no Debian or Ubuntu; install the above with the system's package manager and start again" >&2
        return 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        echo "setup: installing with apt-get; no service is started"
        "$0" --install "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        echo "setup: installing with sudo apt-get; no service is started"
        sudo -n sh "$0" --install "$@"
    else
        echo "setup: root is needed to install them. Run this, then start again:" >&2
        echo "    sudo apt-get install --yes --no-install-recommends $*" >&2
        return 1
    fi
}

# The packages are words to split.
# shellcheck disable=SC2086
if [ -n "$missing" ]; then
    get $missing || exit 1
fi
# shellcheck disable=SC2086
if [ -n "$wanted" ]; then
    get $wanted || echo "setup: going on without$wanted; what uses them is skipped"
fi
