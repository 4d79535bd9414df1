#!/bin/sh
# install-test.sh: `make install` and `make uninstall`, looked at from outside.
#
# The files installed are exactly those promised; a program found through pkg-config compiles, links dynamically, with
# the archive, and wholly statically, and runs each way; the SONAME is right; uninstall leaves nothing.
set -eu
: "${CC:=cc}" "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS # nothing but the folders given below
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "install: $*" >&2
    exit 1
}

# make_with TARGET DESTDIR PREFIX
make_with() {
    "$MAKE_COMMAND" --no-print-directory "$1" DESTDIR="$2" PREFIX="$3" LIBDIR="$3/lib" INCLUDEDIR="$3/include" \
        >"$scratch/log" 2>&1 || fail "make $1: $(cat "$scratch/log")"
}

make_with install "$scratch/stage" /usr
cat >"$scratch/wanted" <<END
./usr/include/sentinel.h
./usr/lib/libsentinel.a
./usr/lib/libsentinel.so
./usr/lib/libsentinel.so.$SOVERSION
./usr/lib/libsentinel.so.$VERSION
./usr/lib/pkgconfig/sentinel.pc
END
(cd "$scratch/stage" && find . ! -type d | sort) >"$scratch/found"
diff "$scratch/wanted" "$scratch/found" || fail "other files than promised"
if grep -n "$scratch\|@" "$scratch/stage/usr/lib/pkgconfig/sentinel.pc"; then
    fail "sentinel.pc names the staging folder, or has a mark left"
fi
make_with uninstall "$scratch/stage" /usr
[ -z "$(find "$scratch/stage" ! -type d)" ] || fail "uninstall left files behind"

prefix=$scratch/prefix
make_with install "" "$prefix"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
[ "$(pkg-config --modversion sentinel)" = "$VERSION" ] || fail "sentinel.pc has another version"

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

needed() {
    LC_ALL=C readelf -d "$1" | sed -n "s/.*($2).*\[\(.*\)\]/\1/p"
}
[ "$(needed "$prefix/lib/libsentinel.so" SONAME)" = "libsentinel.so.$SOVERSION" ] || fail "wrong SONAME"
LC_ALL=C readelf -d "$prefix/lib/libsentinel.so" | grep -q NODELETE || fail "the .so can be unloaded (no NODELETE)"
needed "$scratch/dynamic" NEEDED | grep -qx "libsentinel.so.$SOVERSION" || fail "dynamic: does not ask for the SONAME"
if needed "$scratch/archive" NEEDED | grep -q libsentinel; then
    fail "archive: asks for the .so"
fi
LD_LIBRARY_PATH="$prefix/lib" "$scratch/dynamic" "$VERSION" >"$scratch/log" || fail "dynamic: failed to run"
"$scratch/archive" "$VERSION" >"$scratch/log" || fail "archive: failed to run"
"$scratch/static" "$VERSION" >"$scratch/log" || fail "static: failed to run"
