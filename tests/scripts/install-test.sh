#!/bin/sh
# install-test.sh files|symbols|archive|cmake|meson: `make install` and `make uninstall`, looked at from outside.
#
# files: the files installed are exactly those promised; a program found through pkg-config compiles, links dynamically,
# with the archive, and wholly statically, and runs each way; the SONAME is right; uninstall leaves nothing.
# symbols: the .so exports what tests/symbols.txt lists.
# archive: so does the .a, which is linked into one program with another library of Rust's, in either order, and by a linker
# that optimizes bitcode.
# cmake, meson: the programs of tests/cmake, through find_package and through Meson's dependency().
#
# Exit status 77: skipped, for the tool is not installed.
set -eu
: "${CC:=cc}" "${MAKE_COMMAND:=make}" "${LIBS_PRIVATE:=-lutil -lrt -lpthread -lm -ldl}"
unset MAKEFLAGS MFLAGS # nothing but the folders given below
: "${RELEASE:=target/release}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "install: $*" >&2
    exit 1
}

# make_with TARGET DESTDIR PREFIX
make_with() {
    "$MAKE_COMMAND" --no-print-directory "$1" DESTDIR="$2" PREFIX="$3" LIBDIR="$3/lib" INCLUDEDIR="$3/include" \
        MANDIR="$3/share/man" \
        >"$scratch/log" 2>&1 || fail "make $1: $(cat "$scratch/log")"
}

# run WHAT COMMAND...: its output only when it fails.
run() {
    what=$1
    shift
    "$@" >"$scratch/log" 2>&1 || fail "$what: $(cat "$scratch/log")"
}

need() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1 is not installed" >&2
        exit 77
    fi
}

# A symbol that was there is a promise; a new one becomes one by its line in the list.
symbols() {
    LC_ALL=C nm -D --defined-only "$RELEASE/libsentinel.so" | sed 's/.* //' | LC_ALL=C sort >"$scratch/exported"
    LC_ALL=C sort -c tests/symbols.txt || fail "tests/symbols.txt is not sorted"
    foreign=$(grep -v '^sentinel_' "$scratch/exported" || true)
    missing=$(LC_ALL=C comm -23 tests/symbols.txt "$scratch/exported")
    new=$(LC_ALL=C comm -13 tests/symbols.txt "$scratch/exported" | grep '^sentinel_' || true)
    [ -z "$foreign" ] || fail "symbols that are not the library's are exported:" "$foreign"
    [ -z "$missing" ] || fail "symbols are no longer exported, and programs that use them no longer start:" "$missing"
    [ -z "$new" ] || fail "new symbols; add them to tests/symbols.txt:" "$new"
}

# Each library of Rust's has the standard library inside.
archive() {
    need "${RUSTC:-rustc}"
    make_with install "$scratch/stage" /usr
    lib=$scratch/stage/usr/lib/libsentinel.a
    LC_ALL=C nm -g --defined-only "$lib" | sed -n 's/^[0-9a-f]* . //p' | LC_ALL=C sort | diff tests/symbols.txt - ||
        fail "the archive has other symbols than the shared object"
    cat >"$scratch/other.rs" <<'END'
#[unsafe(no_mangle)]
pub extern "C" fn caught() -> i32 {
    i32::from(std::panic::catch_unwind(|| panic!("on purpose")).is_err())
}
END
    run "rustc" "${RUSTC:-rustc}" --edition 2024 --crate-type staticlib "$scratch/other.rs" -o "$scratch/libother.a"
    cat >"$scratch/both.c" <<'END'
#include <sentinel.h>
int caught(void);

int main(void) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    int ok = sentinel_options_add_sentinel(options, "127.0.0.1", 1, NULL) == SENTINEL_OK &&
             sentinel_open(options, &sentinel, NULL) == SENTINEL_OK && caught() == 1;

    sentinel_free(sentinel);
    sentinel_options_free(options);
    return !ok;
}
END
    other=$scratch/libother.a
    # both COMPILER ARGUMENT...
    both() {
        # shellcheck disable=SC2086
        run "$*" "$@" -I"$scratch/stage/usr/include" -o "$scratch/both" $LIBS_PRIVATE
        run "$*: the program" "$scratch/both"
    }
    both "$CC" "$scratch/both.c" "$lib" "$other"
    both "$CC" "$scratch/both.c" "$other" "$lib"
    command -v clang >/dev/null 2>&1 || return 0
    # The other library has bitcode of rustc's LLVM, which clang's need not read.
    echo 'int caught(void) { return 1; }' >"$scratch/other.c"
    both clang -flto "$scratch/both.c" "$scratch/other.c" "$lib"
}

# The installed tree is moved away from where it was made for.
with_cmake() {
    need cmake
    make_with install "$scratch/stage" /usr
    mv "$scratch/stage/usr" "$scratch/moved"
    # configure FOLDER VERSION
    configure() {
        cmake -S tests/cmake -DCMAKE_PREFIX_PATH="$scratch/moved" -B "$1" -DWANTED="$2"
    }
    run "cmake" configure "$scratch/build" "$VERSION"
    run "cmake --build" cmake --build "$scratch/build"
    run "the shared program" "$scratch/build/shared" "$VERSION"
    run "the static program" "$scratch/build/static" "$VERSION"
    needed "$scratch/build/shared" NEEDED | grep -qx "libsentinel.so.$SOVERSION" || fail "shared: no SONAME asked for"
    if needed "$scratch/build/static" NEEDED | grep -q libsentinel; then
        fail "static: asks for the .so"
    fi
    # What is asked for, and with which it is not: versions, ranges, and components, of which there are none.
    for other in 99 "${VERSION%.*}.99" "0...<$VERSION" "0.0...0.0.9" "${VERSION%.*}.99...99" "$VERSION;COMPONENTS;tls"; do
        if configure "$scratch/other" "$other" >"$scratch/log" 2>&1; then
            fail "find_package takes $VERSION for $other"
        fi
    done
    tr -s ' \n' ' ' <"$scratch/log" | grep -q 'no component tls' || fail "cmake does not say what is wrong: $(cat "$scratch/log")"
    for other in "0.0...$VERSION" "$VERSION...<99" "0.0...99" "$VERSION;OPTIONAL_COMPONENTS;tls"; do
        run "find_package of $other" configure "$scratch/other" "$other"
    done
    rm "$scratch/moved/include/sentinel.h"
    if configure "$scratch/broken" "$VERSION" >"$scratch/log" 2>&1; then
        fail "find_package finds a library without its header"
    fi
    # CMake breaks its lines where they are full.
    tr -s ' \n' ' ' <"$scratch/log" | grep -q 'is not there' || fail "cmake does not say what is missing: $(cat "$scratch/log")"
}

with_meson() {
    need meson
    need ninja
    make_with install "" "$scratch/prefix"
    cp -r tests/meson "$scratch/source"
    cp tests/cmake/consumer.cpp tests/cmake/plain.c "$scratch/source"
    export PKG_CONFIG_PATH="$scratch/prefix/lib/pkgconfig"
    run "meson setup" meson setup -Dwanted="$VERSION" "$scratch/build" "$scratch/source"
    run "ninja" ninja -C "$scratch/build"
    run "the program" env LD_LIBRARY_PATH="$scratch/prefix/lib" "$scratch/build/consumer" "$VERSION"
}

needed() {
    LC_ALL=C readelf -d "$1" | sed -nE "s/.*\(($2)\).*\[(.*)\]/\2/p"
}

case ${1:-files} in
    files) ;;
    symbols | archive | cmake | meson)
        case $1 in
            symbols) symbols ;;
            archive) archive ;;
            cmake) with_cmake ;;
            meson) with_meson ;;
        esac
        exit 0
        ;;
    *)
        echo "usage: install-test.sh files|symbols|archive|cmake|meson" >&2
        exit 2
        ;;
esac

# What cannot be written into the files as it is, is refused, and nothing is installed.
for place in PREFIX=relative "PREFIX=/with space" 'LIBDIR=/a&b' 'INCLUDEDIR=/a|b' "BINDIR=/it's" 'MANDIR=' 'UNITDIR=/a"b'; do
    if "$MAKE_COMMAND" --no-print-directory install DESTDIR="$scratch/odd/" "$place" >"$scratch/log" 2>&1; then
        fail "make install takes $place"
    fi
    grep -q "${place%%=*} is \".*: it takes an absolute path" "$scratch/log" || fail "$place: $(cat "$scratch/log")"
    [ ! -e "$scratch/odd" ] || fail "$place: something was installed all the same"
done
# Others use it, whoever installs it.
umask 077
make_with install "$scratch/stage" /usr
umask 022
[ -z "$(find "$scratch/stage/usr" ! -type l ! -perm -444 ! -path "$scratch/stage/usr")" ] || fail "not for others to read: $(find "$scratch/stage/usr" ! -perm -444)"
[ -x "$scratch/stage/usr/bin/sentinel-proxy" ] && [ -n "$(find "$scratch/stage/usr/bin" -name sentinel-proxy -perm 755)" ] ||
    fail "not for others to run: $(ls -l "$scratch/stage/usr/bin")"
cat >"$scratch/wanted" <<END
./usr/bin/sentinel-proxy
./usr/include/sentinel.h
./usr/include/sentinel.hpp
./usr/include/sentinel/adapters/adapter.h
./usr/include/sentinel/adapters/asio.hpp
./usr/include/sentinel/adapters/glib.h
./usr/include/sentinel/adapters/libevent.h
./usr/include/sentinel/adapters/libuv.h
./usr/include/sentinel/adapters/sd-event.h
./usr/include/sentinel/async.hpp
./usr/include/sentinel/async_source.hpp
./usr/include/sentinel/client.hpp
./usr/include/sentinel/client_source.hpp
./usr/include/sentinel/command.hpp
./usr/include/sentinel/command_source.hpp
./usr/include/sentinel/config.hpp
./usr/include/sentinel/coroutine.hpp
./usr/include/sentinel/coroutine_source.hpp
./usr/include/sentinel/deployment.hpp
./usr/include/sentinel/deployment_source.hpp
./usr/include/sentinel/error.hpp
./usr/include/sentinel/error_source.hpp
./usr/include/sentinel/future.hpp
./usr/include/sentinel/options.hpp
./usr/include/sentinel/options_source.hpp
./usr/include/sentinel/reply.hpp
./usr/include/sentinel/reply_source.hpp
./usr/include/sentinel/result.hpp
./usr/include/sentinel/result_source.hpp
./usr/include/sentinel/scan.hpp
./usr/include/sentinel/scan_source.hpp
./usr/lib/cmake/sentinel/sentinel-config-version.cmake
./usr/lib/cmake/sentinel/sentinel-config.cmake
./usr/lib/libsentinel.a
./usr/lib/libsentinel.so
./usr/lib/libsentinel.so.$SOVERSION
./usr/lib/libsentinel.so.$VERSION
./usr/lib/pkgconfig/sentinel.pc
./usr/lib/systemd/system/sentinel-proxy.service
./usr/lib/sysusers.d/sentinel-proxy.conf
./usr/share/man/man1/sentinel-proxy.1
./usr/share/man/man3/libsentinel.3
./usr/share/man/man3/libsentinel-options.3
END
# One page a function.
sed 's|.*|./usr/share/man/man3/&.3|' tests/symbols.txt >>"$scratch/wanted"
LC_ALL=C sort -o "$scratch/wanted" "$scratch/wanted"
(cd "$scratch/stage" && find . ! -type d | LC_ALL=C sort) >"$scratch/found"
diff "$scratch/wanted" "$scratch/found" || fail "other files than promised"
if grep -n "$scratch\|@" "$scratch/stage/usr/lib/pkgconfig/sentinel.pc"; then
    fail "sentinel.pc names the staging folder, or has a mark left"
fi
if grep -rnE "$scratch|@[A-Z]" "$scratch/stage/usr/lib/cmake"; then
    fail "the CMake package names the staging folder, or has a mark left"
fi
if grep -nE '@[A-Z_]+@' "$scratch/stage/usr/share/man/man1/sentinel-proxy.1" \
    "$scratch/stage/usr/lib/systemd/system/sentinel-proxy.service"; then
    fail "the page of the proxy, or its unit, has a mark left"
fi
if needed "$scratch/stage/usr/bin/sentinel-proxy" 'RPATH|RUNPATH' | grep .; then
    fail "the proxy names a folder where the loader looks by itself"
fi
echo mine | tee "$scratch/stage/usr/include/sentinel/other.hpp" >"$scratch/stage/usr/include/sentinel/adapters/other.h"
make_with uninstall "$scratch/stage" /usr
rm "$scratch/stage/usr/include/sentinel/other.hpp" "$scratch/stage/usr/include/sentinel/adapters/other.h" || fail "uninstall removed what it had not installed"
[ -z "$(find "$scratch/stage" ! -type d)" ] || fail "uninstall left files behind"

# The kit, which is installed apart.
make_with install-lab "$scratch/kit" /usr
printf '%s\n' ./usr/bin/libsentinel-lab ./usr/share/man/man1/libsentinel-lab.1 >"$scratch/wanted"
(cd "$scratch/kit" && find . ! -type d | LC_ALL=C sort) >"$scratch/found"
diff "$scratch/wanted" "$scratch/found" || fail "install-lab: other files than promised"
if grep -n '@[A-Z]' "$scratch/kit/usr/share/man/man1/libsentinel-lab.1"; then
    fail "the page of the kit has a mark left"
fi
make_with uninstall-lab "$scratch/kit" /usr
[ -z "$(find "$scratch/kit" ! -type d)" ] || fail "uninstall-lab left files behind"

prefix=$scratch/prefix
make_with install "" "$prefix"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
[ "$(pkg-config --modversion sentinel)" = "$VERSION" ] || fail "sentinel.pc has another version"

[ "$("$prefix/bin/sentinel-proxy" --version)" = "sentinel-proxy $VERSION" ] || fail "the proxy does not find its library"

cat >"$scratch/app.c" <<'END'
#include <sentinel.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    /* Nothing listens there: opening works all the same, for it does no I/O. */
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    int ok = argc == 2 && strcmp(sentinel_version(), argv[1]) == 0 &&
             sentinel_options_add_sentinel(options, "127.0.0.1", 1, NULL) == SENTINEL_OK &&
             sentinel_open(options, &sentinel, NULL) == SENTINEL_OK && sentinel_close(sentinel, 1000) == SENTINEL_OK;
    sentinel_free(sentinel);
    sentinel_options_free(options);
    puts(ok ? "ok" : "failed");
    return ok ? 0 : 1;
}
END

# build NAME FLAG...: the flags of pkg-config are words to split.
build() {
    program=$scratch/$1
    shift
    "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror "$scratch/app.c" -o "$program" "$@" 2>"$scratch/log" ||
        fail "cannot link $program: $(cat "$scratch/log")"
}
# shellcheck disable=SC2046
build dynamic $(pkg-config --cflags --libs sentinel)
# shellcheck disable=SC2046
build archive $(pkg-config --static --cflags --libs sentinel | sed 's/-lsentinel/-l:libsentinel.a/')
# shellcheck disable=SC2046
build static -static $(pkg-config --static --cflags --libs sentinel)

[ "$(needed "$prefix/lib/libsentinel.so" SONAME)" = "libsentinel.so.$SOVERSION" ] || fail "wrong SONAME"
LC_ALL=C readelf -d "$prefix/lib/libsentinel.so" | grep -q NODELETE || fail "the .so can be unloaded (no NODELETE)"
needed "$scratch/dynamic" NEEDED | grep -qx "libsentinel.so.$SOVERSION" || fail "dynamic: does not ask for the SONAME"
if needed "$scratch/archive" NEEDED | grep -q libsentinel; then
    fail "archive: asks for the .so"
fi
LD_LIBRARY_PATH="$prefix/lib" "$scratch/dynamic" "$VERSION" >"$scratch/log" || fail "dynamic: failed to run"
"$scratch/archive" "$VERSION" >"$scratch/log" || fail "archive: failed to run"
"$scratch/static" "$VERSION" >"$scratch/log" || fail "static: failed to run"
