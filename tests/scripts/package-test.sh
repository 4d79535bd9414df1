#!/bin/sh
# package-test.sh man|deb|target TARGET: what is made for others to install.
#
# man: there is a page for every function, and groff has nothing to say against any of them.
# deb: the packages install below a scratch root, hold what they should, and a program built against them there follows
# a topology that the packaged kit starts; removing them leaves nothing. As root dpkg installs them, otherwise they are only unpacked. LINTIAN=1:
# lintian has nothing to say against them.
# target: `cargo check` for another target.
#
# Exit status 77: skipped, for the tool is not installed.
set -eu
: "${CC:=cc}" "${CARGO:=cargo}" "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "package: $*" >&2
    exit 1
}

need() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1 is not installed" >&2
        exit 77
    fi
}

run() {
    what=$1
    shift
    "$@" >"$scratch/log" 2>&1 || fail "$what: $(cat "$scratch/log")"
}

manual() {
    run "make man html" "$MAKE_COMMAND" --no-print-directory man html
    (cd build/man && ls sentinel_*.3) | sed 's/\.3$//' | LC_ALL=C sort | diff tests/symbols.txt - ||
        fail "other pages than functions"
    while read -r name; do
        grep -q "id=\"$name\"" build/html/index.html || fail "$name is not in the HTML reference"
    done <tests/symbols.txt
    need groff
    for page in build/man/*.3 tests/lab/libsentinel-lab.1 packaging/proxy/sentinel-proxy.1; do
        groff -man -ww -Tutf8 -P-cbou "$page" 2>&1 >"$scratch/page" | grep -v 'adjust line\|break line' >"$scratch/log" || true
        [ ! -s "$scratch/log" ] || fail "$page: $(cat "$scratch/log")"
        grep -q DESCRIPTION "$scratch/page" || fail "$page is empty"
    done
}

# packages COMMAND...: dpkg with a database of its own below the scratch root.
packages() {
    dpkg --root="$scratch/root" --log=/dev/null --force-depends --force-not-root --force-script-chrootless "$@"
}

# The unit of the proxy, as systemd reads it.
unit() {
    command -v systemd-analyze >/dev/null 2>&1 || return 0
    sed "s|=/usr/bin/sentinel-proxy|=$proxy|" "$scratch/root/usr/lib/systemd/system/sentinel-proxy.service" \
        >"$scratch/sentinel-proxy.service"
    run "systemd-analyze verify" systemd-analyze verify --man=no "$scratch/sentinel-proxy.service"
    ! grep -q 'sentinel-proxy.service' "$scratch/log" || fail "the unit: $(cat "$scratch/log")"
}

# What the package of the proxy tells systemd, which is played by programs of its names: "program arguments".
service() {
    dpkg-deb -e "$1" "$scratch/control"
    mkdir "$scratch/fakes"
    for program in systemctl deb-systemd-invoke systemd-sysusers; do
        printf '#!/bin/sh\necho "${0##*/} $*" >>"%s"\n' "$scratch/told" >"$scratch/fakes/$program"
        chmod 755 "$scratch/fakes/$program"
    done
    # shellcheck disable=SC2016
    run "the scripts of libsentinel-bin" unshare --mount sh -ec '
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/system
        unset DPKG_ROOT
        PATH=$1/fakes:$PATH
        "$1/control/postinst" configure
        "$1/control/postinst" configure 0.0.9
        "$1/control/prerm" upgrade 9
        "$1/control/postrm" upgrade 9
        "$1/control/prerm" remove
        "$1/control/postrm" remove' sh "$scratch"
    printf '%s\n' "systemd-sysusers sentinel-proxy.conf" "systemctl --system daemon-reload" \
        "systemd-sysusers sentinel-proxy.conf" "systemctl --system daemon-reload" \
        "deb-systemd-invoke try-restart sentinel-proxy.service" \
        "deb-systemd-invoke stop sentinel-proxy.service" "systemctl --system daemon-reload" |
        diff - "$scratch/told" || fail "the scripts of libsentinel-bin tell systemd something else"
    [ ! -d /etc/systemd/system ] && return 0
    # shellcheck disable=SC2016
    run "purge" unshare --mount sh -ec '
        mount -t tmpfs tmpfs /etc/systemd/system
        mkdir /etc/systemd/system/multi-user.target.wants
        ln -s /usr/lib/systemd/system/sentinel-proxy.service /etc/systemd/system/multi-user.target.wants
        "$1/control/postrm" purge
        [ -z "$(ls /etc/systemd/system/multi-user.target.wants)" ]' sh "$scratch"
}

deb() {
    need dpkg-gensymbols
    run "make deb" "$MAKE_COMMAND" --no-print-directory deb
    set -- build/deb/libsentinel0_"$VERSION"-*.deb build/deb/libsentinel-dev_"$VERSION"-*.deb \
        build/deb/libsentinel-lab_"$VERSION"-*.deb build/deb/libsentinel-bin_"$VERSION"-*.deb
    if [ "$(id -u)" -eq 0 ]; then
        mkdir -p "$scratch/root/var/lib/dpkg/info" "$scratch/root/var/lib/dpkg/updates"
        : >"$scratch/root/var/lib/dpkg/status"
        run "dpkg --install" packages --install "$@"
    else
        for package in "$@"; do dpkg-deb -x "$package" "$scratch/root"; done
    fi
    triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    lib=$scratch/root/usr/lib/$triplet
    # Half a minute, so only when asked for. A bug number is for those who upload to Debian.
    [ -z "${LINTIAN:-}" ] ||
        run lintian lintian --allow-root --fail-on warning "$@"
    dpkg-deb -I "$1" symbols | grep -q '^ sentinel_open@Base' || fail "no symbols file"
    [ -f "$scratch/root/usr/share/man/man3/sentinel_open.3.gz" ] || fail "no manual pages"
    gunzip <"$scratch/root/usr/share/man/man1/libsentinel-lab.1.gz" | grep -q "libsentinel $VERSION" ||
        fail "no manual page of the kit, or one of another version"
    kit=$scratch/root/usr/bin/libsentinel-lab
    [ "$("$kit" --version)" = "libsentinel-lab $VERSION" ] ||
        fail "the kit is $("$kit" --version), and this is $VERSION: see the version in tests/lab/Cargo.toml"
    proxy=$scratch/root/usr/bin/sentinel-proxy
    [ "$(LD_LIBRARY_PATH=$lib "$proxy" --version)" = "sentinel-proxy $VERSION" ] || fail "the proxy is of another version"
    LC_ALL=C readelf -d "$proxy" | grep -q 'FLAGS.*NOW' || fail "the proxy is not hardened: its table of functions can be written to"
    gunzip <"$scratch/root/usr/share/man/man1/sentinel-proxy.1.gz" | grep -q "/etc/sentinel.-proxy.conf" ||
        fail "no manual page of the proxy"
    dpkg-deb -f "$4" Depends | grep -q "libsentinel0 (>= $VERSION)" || fail "the proxy does not depend on its library"
    unit
    [ -f "$scratch/root/usr/include/sentinel/adapters/libevent.h" ] || fail "no adapters"
    export PKG_CONFIG_SYSROOT_DIR="$scratch/root" PKG_CONFIG_LIBDIR="$lib/pkgconfig"
    # shellcheck disable=SC2046
    run "a program" "$CC" -std=c11 -Wall -Werror examples-c/quickstart.c -o "$scratch/quickstart" \
        $(pkg-config --cflags --libs sentinel)
    # shellcheck disable=SC2016
    run "quickstart" timeout --foreground -k 10 120 env LD_LIBRARY_PATH="$lib" "$kit" run -- \
        sh -c 'exec "$1" "$SERVICE" $(echo "$SENTINELS" | tr , " ")' sh "$scratch/quickstart"
    grep -q bar "$scratch/log" || fail "quickstart printed: $(cat "$scratch/log")"
    # shellcheck disable=SC2016
    run "the proxy" timeout --foreground -k 10 120 env LD_LIBRARY_PATH="$lib" "$kit" run -- \
        sh -c '"$1" --url "$SENTINEL_URL" --listen "$2/p.sock $SERVICE primary" & tries=0
            until redis-cli -s "$2/p.sock" PING 2>/dev/null || [ $tries -gt 200 ]; do tries=$((tries + 1)); sleep 0.1; done
            kill $! && wait $!' sh "$proxy" "$scratch"
    grep -qx PONG "$scratch/log" || fail "the proxy printed: $(cat "$scratch/log")"
    [ "$(id -u)" -eq 0 ] || return 0
    service "$4"
    run "dpkg --purge" packages --purge libsentinel-bin libsentinel-lab libsentinel-dev libsentinel0
    left=$(find "$scratch/root/usr" ! -type d 2>/dev/null || true)
    [ -z "$left" ] || fail "purged, and left behind: $left"
}

target() {
    sysroot=$("${RUSTC:-rustc}" --print sysroot)
    if [ ! -d "$sysroot/lib/rustlib/$1/lib" ]; then
        echo "the standard library for $1 is not installed (rustup target add $1)" >&2
        exit 77
    fi
    run "cargo check" "$CARGO" check --quiet --lib --target "$1"
}

case ${1:-} in
    man) manual ;;
    deb) deb ;;
    target) target "$2" ;;
    *)
        echo "usage: package-test.sh man|deb|target TARGET" >&2
        exit 2
        ;;
esac
