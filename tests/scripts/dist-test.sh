#!/bin/sh
# dist-test.sh [SUITE...]: what `make dist` has made, tried as a new user would: in a Debian of each suite (bookworm and
# trixie) that has neither this library nor Rust, below build/dist-test and by chroot, and in a folder with nothing but musl's
# loader. In each its program survives a kill -9 of the primary; the servers are this machine's.
#
# As root. Exit status 77 of a step: it cannot be had here; the last line says why.
# The words of in_root are words.
# shellcheck disable=SC2086
set -eu
: "${VERSION:=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}" "${LAB:=target/debug/lab}"
unset MAKEFLAGS MFLAGS
scripts=$(dirname "$0")
step=$scripts/step.sh
dist=$(pwd)/build/dist/result
out=$(pwd)/build/dist-test
machine=$(uname -m)

cannot() {
    echo "$*" >&2
    exit 77
}

# Behind it: ROOT COMMAND... With /proc, which the loader asks where a program is; it is mounted for it alone.
in_root="env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin unshare --mount \
    $(realpath "$0") --enter"

# has_none PROGRAM...: in the root.
has_none() {
    for program; do
        ! $in_root "$root" sh -c "command -v $program" || exit 1
    done
}

# A whole Debian with these packages, and nothing of ours.
root_of() {
    root=$out/$1-$2
    reason=$("$scripts/debian.sh" tree "$root" "$@") || cannot "$reason"
    ! find "$root/usr/lib" "$root/usr/include" -name '*sentinel*' ! -path '*redis*' | grep . || exit 1
}

ruby_in() {
    root_of "$1" ruby ruby-ffi
    has_none cc gcc rustc
    rm -rf "$root/tmp/gems"
    mkdir "$root/tmp/gems"
    cp "$dist"/sentinel_redis-*.gem "$root/tmp/gems"
    cp bindings/ruby/examples/*.rb "$root/tmp"
    # In the folder where all of them are: an old RubyGems looks at each.
    # shellcheck disable=SC2016
    $in_root "$root" sh -ec 'cd /tmp/gems && gem install --local --no-document "$1"' sh "sentinel_redis-$VERSION-$machine-linux.gem"
    # With the extension that was made for this Ruby.
    # shellcheck disable=SC2016
    $in_root "$root" ruby -rsentinel_redis -e 'puts RUBY_DESCRIPTION, $LOADED_FEATURES.grep(/fast_ext/)' | tee "$out/said"
    grep -q 'bundled/.*fast_ext.so' "$out/said"
    quickstart $in_root "$root" /usr/bin/ruby /tmp/quickstart.rb
    "$scripts/survives.sh" "$out/ruby-$1.log" $in_root "$root" /usr/bin/ruby /tmp/failover.rb
}

# quickstart COMMAND...
quickstart() {
    # shellcheck disable=SC2016
    timeout --foreground -k 10 120 "$LAB" run -- sh -c 'exec "$@" "$SERVICE" $(echo "$SENTINELS" | tr , " ")' sh "$@"
}

go_in() {
    root_of "$1" golang-go gcc libc6-dev
    has_none pkg-config rustc
    rm -rf "$root/tmp/go"
    mkdir -p "$root/tmp/go/program"
    (cd "$root/tmp/go" && unzip -q "$dist/sentinel-go-$VERSION.zip")
    module=$(sed -n 's/^module //p' bindings/go/go.mod)
    cp bindings/go/examples/failover/*.go "$root/tmp/go/program"
    cat >"$root/tmp/go/program/go.mod" <<MODULE
module program

go 1.19

require $module v$VERSION

replace $module => ../$module@v$VERSION
MODULE
    $in_root "$root" sh -ec 'cd /tmp/go/program && go version && go build -tags sentinel_bundled -o /tmp/failover .'
    # Vendored it is as whole; where cgo is missing the compiler says so first.
    $in_root "$root" sh -ec 'cd /tmp/go/program && go mod vendor && go build -mod=vendor -tags sentinel_bundled -o /tmp/vendored . \
        && rm -r vendor && CGO_ENABLED=0 go build -tags sentinel_bundled -o /tmp/none . 2>&1' >"$out/said" && exit 1
    grep -v '^#' "$out/said" | head -n 1 | grep 'needs_cgo' || { cat "$out/said"; exit 1; }
    # Nothing of ours is needed where it runs.
    ! $in_root "$root" ldd /tmp/failover | grep sentinel || exit 1
    "$scripts/survives.sh" "$out/go-$1.log" $in_root "$root" /tmp/failover
}

c_in() {
    root_of "$1" gcc libc6-dev pkg-config
    rm -rf "$root"/opt/libsentinel* "$root"/tmp/failover-*
    tar -xzf "$dist/libsentinel-$VERSION-$machine-linux-gnu.tar.gz" -C "$root/opt"
    cp examples-c/failover.c "$root/tmp/app.c"
    # By the very lines of the tarball's README.md.
    sed -n -e '/^here=/p' -e '/^export /p' -e '/^cc /s/  *#.*//p' -e '/^$here.*--help/p' "$root"/opt/libsentinel-*/README.md |
        sed -e '3s/$/ \&\& mv app failover-so/' -e '4s/$/ \&\& mv app failover-a/' >"$root/tmp/lines.sh"
    [ "$(wc -l <"$root/tmp/lines.sh")" -eq 5 ] || exit 1
    # shellcheck disable=SC2016
    $in_root "$root" sh -ec 'cd /tmp && . ./lines.sh && ! ldd failover-a | grep sentinel'
    "$scripts/survives.sh" "$out/c-so-$1.log" $in_root "$root" /tmp/failover-so
    "$scripts/survives.sh" "$out/c-a-$1.log" $in_root "$root" /tmp/failover-a
}

# Nothing is there but the loader, which is the C library too, the library and the program.
musl_root() {
    compiler=$("$scripts/compiler.sh" "$machine-unknown-linux-musl")
    root=$out/musl
    rm -rf "$root"
    mkdir -p "$root/lib" "$root/opt"
    tar -xzf "$dist/libsentinel-$VERSION-$machine-linux-musl.tar.gz" -C "$root/opt"
    cp "${compiler%/bin/cc}/libc.so" "$root/lib/ld-musl-$machine.so.1"
    library=$(echo "$root"/opt/libsentinel-*)
    "$compiler" -std=c11 -D_POSIX_C_SOURCE=200809L examples-c/failover.c -o "$root/failover" -I"$library/include" \
        -L"$library/lib" -lsentinel -Wl,-rpath,"${library#"$root"}/lib" -Wl,-dynamic-linker,"/lib/ld-musl-$machine.so.1"
    $in_root "$root" "${library#"$root"}/bin/sentinel-proxy" --version
    "$scripts/survives.sh" "$out/musl.log" $in_root "$root" /failover
    # With gcc's own unwinder beside it, which is glibc's: the archive asks for none.
    "$compiler" -static -std=c11 -D_POSIX_C_SOURCE=200809L examples-c/failover.c -o "$root/failover-static" \
        -I"$library/include" "$library/lib/libsentinel.a"
    "$scripts/survives.sh" "$out/musl-static.log" $in_root "$root" /failover-static
}

# What cargo links, and what the library says of itself that it has of Rust's own, is named with its version and licence.
materials() {
    tar -xOzf "$dist/libsentinel-$VERSION-$machine-linux-gnu.tar.gz" --wildcards '*/lib/libsentinel.so.*.*' |
        strings | grep -o 'rust/deps/[a-z0-9_-]*-[0-9.]*[0-9]' | sed 's|.*/||; s|-\([0-9.]*\)$| \1|' | sort -u >"$out/crates"
    [ "$(wc -l <"$out/crates")" -ge 3 ] || exit 1
    "${CARGO:-cargo}" tree --quiet --locked --edges normal,no-proc-macro --prefix none --package sentinel |
        sed -n '2,$s/^\([^ ]*\) v\([^ ]*\).*/\1 \2/p' | sort -u >>"$out/crates"
    while read -r name version; do
        grep -q "^  $name $version" "$dist/THIRD-PARTY.txt" || { echo "no notice of $name $version"; exit 1; }
        grep -q "pkg:cargo/$name@$version\"" "$dist/libsentinel-$VERSION.cdx.json" ||
            { echo "not in the bill of materials: $name $version"; exit 1; }
    done <"$out/crates"
}

case ${1:-} in
    --step)
        shift
        "$@"
        exit
        ;;
    --enter)
        mkdir -p "$2/proc"
        mount --rbind /proc "$2/proc"
        shift
        exec chroot "$@"
        ;;
esac
[ "$(id -u)" -eq 0 ] || cannot "chroot needs root"
[ -f "$dist/SHA256SUMS" ] || cannot "make dist has made nothing"
mkdir -p "$out"
(cd "$dist" && sha256sum --quiet --check SHA256SUMS)
failed=0
"$step" "bill of materials and notices" "$0" --step materials || failed=1
[ $# -gt 0 ] || set -- bookworm trixie
for suite; do
    for language in c go ruby; do
        "$step" "$language in an empty Debian $suite" "$0" --step "${language}_in" "$suite" || failed=1
    done
done
"$step" "C where nothing is but musl" "$0" --step musl_root || failed=1
exit $failed
