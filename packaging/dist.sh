#!/bin/sh
# dist.sh FOLDER [TARGET...]: what users get who have no Rust compiler, in FOLDER: for each target a tarball with the library,
# and a gem that has it inside; a module for Go with the archives of all; recipes for vcpkg, Conan and Homebrew, which get
# the tarballs; a bill of materials, the notices of the libraries that are linked, and checksums.
#
# Two runs on one commit give the same bytes, in whatever folder without a space in its name: paths are left out, times are the commit's
# (SOURCE_DATE_EPOCH, where it is set), what is packed is in order, and everybody may read it, whoever checked it out.
#
# Exit status 77: something cannot be had here; the last line says what.
set -eu
: "${CARGO:=cargo}" "${MAKE_COMMAND:=make}" "${LIB_RUSTFLAGS=}" "${SOVERSION:=0}"
: "${VERSION:=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}"
unset MAKEFLAGS MFLAGS TAR_OPTIONS GZIP ZIPOPT
tree=$(pwd)
scripts=$tree/tests/scripts
work=$tree/build/dist
all='x86_64-linux-gnu aarch64-linux-gnu x86_64-linux-musl aarch64-linux-musl'

cannot() {
    echo "$*" >&2
    exit 77
}

[ $# -gt 0 ] || {
    echo "usage: dist.sh FOLDER [TARGET...]" >&2
    exit 2
}
case $tree in
    *[[:space:]]*)
        echo "dist: $tree has a space in its name, which the options of make and of Rust's compiler have not" >&2
        exit 2
        ;;
esac
mkdir -p "$1"
result=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || eval "set -- $all"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)}"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

# The triple of Rust's for a target.
triple_of() {
    echo "$1" | sed 's/-linux-/-unknown-linux-/'
}

# pack FILE FOLDER NAME...: a tarball of what is in FOLDER.
pack() {
    file=$1 folder=$2
    shift 2
    tar --sort=name --mode=a+rX,u+w,go-w --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
        -C "$folder" -cf - "$@" | gzip -9n >"$file"
}

# settle FOLDER: modes and times as in a tarball.
settle() {
    chmod -R a+rX,u+w,go-w "$1"
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# library TARGET: libsentinel.so and libsentinel.a, in build/dist/TARGET/lib. No path of this machine is left in them.
library() {
    target=$1
    triple=$(triple_of "$target")
    rust=$("$scripts/toolchain.sh" "$triple")
    compiler=$("$scripts/compiler.sh" "$triple")
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    variable=$(echo "$triple" | tr 'a-z-' 'A-Z_')
    flags="--remap-path-prefix=$tree=/libsentinel --remap-path-prefix=$cargo_home=/cargo"
    case $target in
        *-musl) flags="$flags -Ctarget-feature=-crt-static -Clink-self-contained=no -Lnative=$(dirname "$compiler")/../lib" ;;
    esac
    # shellcheck disable=SC2086
    env "CARGO_TARGET_${variable}_LINKER=$compiler" "CC_$(echo "$triple" | tr - _)=$compiler" \
        CFLAGS="-ffile-prefix-map=$tree=/libsentinel -ffile-prefix-map=$cargo_home=/cargo" RUSTFLAGS="$flags" \
        CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=target/dist SENTINEL_HEADER_CHECK=1 RUSTC="$rust/bin/rustc" \
        "$rust/bin/cargo" rustc --quiet --locked --release --lib --crate-type cdylib,staticlib --target "$triple" -- \
        $LIB_RUSTFLAGS
    mkdir -p "$work/$target/lib"
    built=target/dist/$triple/release
    tools=$(dirname "$compiler")
    "$tools/strip" --strip-unneeded -o "$work/$target/lib/libsentinel.so" "$built/libsentinel.so"
    # The unwinder that a compiler has for musl may be glibc's, which asks for what musl lacks: the archive brings its own.
    case $target in
        *-musl) unwinder=$tools/../lib/libunwind.a ;;
        *) unwinder= ;;
    esac
    CC=$compiler AR=$tools/ar NM=$tools/nm OBJCOPY=$tools/objcopy packaging/archive.sh "$built/libsentinel.a" \
        "$work/$target/lib/libsentinel.a" ${unwinder:+"$unwinder"}
    "$tools/strip" --strip-debug --enable-deterministic-archives "$work/$target/lib/libsentinel.a"
    ln -sf libsentinel.so "$work/$target/lib/libsentinel.so.$SOVERSION"
}

# tarball TARGET: as `make install` gives it, to be unpacked anywhere.
tarball() {
    target=$1
    name=libsentinel-$VERSION-$target
    stage=$work/$target/stage
    rm -rf "$stage"
    flags='-s -Wl,-z,relro,-z,now'
    case $target in
        # Where its users have it, and not where it was unpacked.
        *-musl) flags="$flags -Wl,-dynamic-linker,/lib/ld-musl-${target%%-*}.so.1" ;;
        *) ;;
    esac
    # What pkg-config says follows the folder in which its file is.
    # shellcheck disable=SC2016
    "$MAKE_COMMAND" --no-print-directory install DESTDIR="$stage/$name" PREFIX=/usr LIBDIR=/usr/lib INCLUDEDIR=/usr/include \
        SO="$work/$target/lib/libsentinel.so" A="$work/$target/lib/libsentinel.a" RELEASE="$work/$target/lib" \
        CC="$compiler" AR="$tools/ar" NM="$tools/nm" OBJCOPY="$tools/objcopy" \
        CFLAGS="-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffile-prefix-map=$tree=/libsentinel" \
        LDFLAGS="$flags" PROXY_RPATH='-Wl,-rpath,\$$ORIGIN/../lib' SOURCES= >/dev/null
    mv "$stage/$name/usr"/* "$stage/$name"
    rmdir "$stage/$name/usr"
    # shellcheck disable=SC2016
    sed -i -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's|^libdir=.*|libdir=${prefix}/lib|' \
        -e 's|^includedir=.*|includedir=${prefix}/include|' "$stage/$name/lib/pkgconfig/sentinel.pc"
    cp -r LICENSE "$work/THIRD-PARTY.txt" "$work/sentinel.cdx.json" docs "$stage/$name"
    # The oldest C library that has all that it asks for.
    case $target in
        *-musl) needs="it asks for musl's libc and nothing else" ;;
        *) needs="it asks for glibc $(LC_ALL=C readelf --version-info "$stage/$name/lib/libsentinel.so" |
            grep -o 'GLIBC_2\.[0-9]*' | sort -t . -k 2 -n | tail -n 1 | cut -d _ -f 2) or newer" ;;
    esac
    sed -e "s|@VERSION@|$VERSION|g" -e "s|@TARGET@|$target|g" -e "s|@NEEDS@|$needs|" packaging/tarball.md >"$stage/$name/README.md"
    pack "$result/$name.tar.gz" "$stage" "$name"
}

# extensions TARGET FOLDER: those of the Rubies of two Debians.
extensions() {
    gnu=$1
    case $1 in
        x86_64-linux-gnu) architecture=amd64 ;;
        aarch64-linux-gnu) architecture=arm64 ;;
        # No Ruby of Debian's is for musl: calls go through ffi.
        *) return 0 ;;
    esac
    compiler=$("$scripts/compiler.sh" "$(triple_of "$1")")
    for ruby in bookworm:3.1 trixie:3.3; do
        series=${ruby#*:}
        headers=$work/ruby-$series-$architecture
        reason=$("$scripts/debian.sh" unpack "$headers" "${ruby%:*}" "ruby$series-dev:$architecture") || cannot "$reason"
        mkdir -p "$2/$series.0"
        "$compiler" -shared -fPIC -O3 -s "-ffile-prefix-map=$tree=/libsentinel" -Iinclude \
            -I"$headers/usr/include/ruby-$series.0" -I"$headers/usr/include/$gnu/ruby-$series.0" \
            bindings/ruby/ext/sentinel_redis/fast_*.c -o "$2/$series.0/fast_ext.so"
    done
}

# gem TARGET: that for glibc has the name which every RubyGems knows; before 3.3.22 it takes no `-gnu` for its own.
gem() {
    target=$1
    platform=${target%-gnu}
    stage=$work/$target/gem
    rm -rf "$stage"
    mkdir -p "$stage"
    cp -r bindings/ruby/lib bindings/ruby/README.md bindings/ruby/sentinel_redis.gemspec LICENSE "$work/THIRD-PARTY.txt" \
        "$stage"
    mkdir "$stage/lib/sentinel_redis/bundled"
    cp "$work/$target/lib/libsentinel.so" "$stage/lib/sentinel_redis/bundled/libsentinel.so.$SOVERSION"
    extensions "$target" "$stage/lib/sentinel_redis/bundled"
    settle "$stage"
    (cd "$stage" && SENTINEL_GEM_PLATFORM=$platform command gem build --quiet sentinel_redis.gemspec \
        -o "$result/sentinel_redis-$VERSION-$platform.gem" >/dev/null)
}

# module TARGET...: the Go module as its proxy would give it: what is in it lies below MODULE@VERSION.
module() {
    stage=$work/go
    path=$(sed -n 's/^module //p' bindings/go/go.mod)@v$VERSION
    rm -rf "$stage"
    mkdir -p "$stage/$path/bundled"
    cp bindings/go/*.go bindings/go/*.h bindings/go/go.mod bindings/go/README.md LICENSE "$work/THIRD-PARTY.txt" "$stage/$path"
    rm -f "$stage/$path"/*_test.go
    cp bindings/go/bundled/bundled.go include/sentinel.h "$stage/$path/bundled"
    for target; do
        cp "$work/$target/lib/libsentinel.a" "$stage/$path/bundled/libsentinel-$target.a"
    done
    settle "$stage"
    rm -f "$result/sentinel-go-$VERSION.zip"
    (cd "$stage" && find "$path" -type f | sort | zip -q -X -9 "$result/sentinel-go-$VERSION.zip" -@)
}

# recipes TARGET...: for vcpkg, Conan and Homebrew, which get the tarballs for glibc, once both are made.
recipes() {
    for processor in x86_64 aarch64; do
        case " $* " in *" $processor-linux-gnu "*) ;; *) return 0 ;; esac
    done
    name=libsentinel-$VERSION-recipes
    packaging/recipes.sh "$result" "$work/recipes/$name"
    pack "$result/$name.tar.gz" "$work/recipes" "$name"
}

# tool NAME VERSION: one of cargo's, below build/tools.
tool() {
    [ -x "build/tools/bin/$1" ] ||
        "$CARGO" install --quiet --locked --root build/tools "$1@$2" ${3:+--features "$3"} >&2 ||
        cannot "$1 cannot be had"
}

# rust_source: the sources of the standard library of the Rust that compiles: this machine's, or rustup's in build/rustup.
rust_source() {
    sysroot=$("${RUSTC:-rustc}" --print sysroot)
    host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
    own=$tree/build/rustup/toolchains/$rust_version-$host
    source=lib/rustlib/src/rust/library
    [ -f "$sysroot/$source/Cargo.lock" ] || [ -f "$own/$source/Cargo.lock" ] ||
        RUSTUP_HOME=$tree/build/rustup rustup toolchain install "$rust_version" --profile minimal --no-self-update \
            --component rust-src >&2 || cannot "rust-src of $rust_version cannot be had"
    [ -f "$sysroot/$source/Cargo.lock" ] && own=$sysroot
    rm -rf "$work/rust"
    mkdir "$work/rust"
    cp -r "$own/$source" "$work/rust"
}

# bill FOLDER [OPTION...]: what cargo links for the package there.
bill() {
    folder=$1
    shift
    "$CARGO" cyclonedx --quiet --format json --spec-version 1.5 --target x86_64-unknown-linux-gnu \
        --override-filename sentinel.cdx --no-build-deps --manifest-path "$folder/Cargo.toml" "$@"
}

# notices FOLDER [OPTION...]: and under which licences.
notices() {
    folder=$1
    shift
    "$CARGO" fetch --quiet --locked --manifest-path "$folder/Cargo.toml"
    "$CARGO" about generate --offline --locked -m "$folder/Cargo.toml" -c packaging/about.toml "$@" packaging/about.hbs
}

# The libraries that are linked, Rust's standard library and its own among them, with what each is licensed under: as a list
# for programs, and as notices for people.
materials() {
    tool cargo-cyclonedx 0.5.9
    tool cargo-about 0.9.3 cli
    PATH=$tree/build/tools/bin:$PATH
    rust_version=$("${RUSTC:-rustc}" --version | sed 's/^rustc \([0-9.]*\).*/\1/')
    rust_source
    std=$work/rust/library/std
    bill "$tree"
    (
        export RUSTC_BOOTSTRAP=1 # its manifests are for no other
        "$CARGO" fetch --quiet --locked --manifest-path "$std/Cargo.toml"
        bill "$std" --features backtrace,panic-unwind
        notices "$std" --features backtrace,panic-unwind >"$work/std.txt"
    )
    # Without what differs from run to run.
    sed -i -e "s|file://$work/rust|file:///rust|g" "$std/sentinel.cdx.json"
    sed -e '/"serialNumber"/d' -e "s|\"timestamp\": \".*\"|\"timestamp\": \"$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)\"|" \
        -e "s|file://$tree|file:///libsentinel|g" sentinel.cdx.json >"$work/own.cdx.json"
    rm -f sentinel.cdx.json tests/lab/sentinel.cdx.json
    ruby packaging/bill.rb "$work/own.cdx.json" "$std/sentinel.cdx.json" "$rust_version" "$work/std.txt" \
        >"$work/sentinel.cdx.json"
    {
        echo "libsentinel contains code of the libraries below, and of the standard library of Rust and its libraries, which"
        echo "follow them; for musl also of LLVM's libunwind (Apache License 2.0 with LLVM's exception)."
        echo
        notices "$tree"
        echo "=============================================================================="
        echo "The standard library of Rust $rust_version, https://www.rust-lang.org"
        echo "Copyright (c) The Rust Project Developers (see https://thanks.rust-lang.org)"
        echo "MIT or Apache License 2.0; with its libraries:"
        echo
        cat "$work/std.txt"
    } >"$work/THIRD-PARTY.txt"
    cp "$work/sentinel.cdx.json" "$result/libsentinel-$VERSION.cdx.json"
    cp "$work/THIRD-PARTY.txt" "$result"
}

for program in zip gem; do
    command -v "$program" >/dev/null 2>&1 || cannot "$program is not installed"
done
mkdir -p "$work"
# All that is there afterwards is of this run.
rm -f "$result"/libsentinel-* "$result"/sentinel_redis-*.gem "$result"/sentinel-go-*.zip "$result/THIRD-PARTY.txt" "$result/SHA256SUMS"
"$MAKE_COMMAND" --no-print-directory man >/dev/null
materials
for target; do
    library "$target"
    tarball "$target"
    gem "$target"
done
module "$@"
recipes "$@"
cd "$result"
rm -f SHA256SUMS
sha256sum -- * >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" .
wc -c -- *
