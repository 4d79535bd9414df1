#!/bin/sh
# prefix.sh: the library as `make install` puts it, below build/prefix.
#
# `make test` does it once: a program of one language starts while another language's tests begin.
set -eu
: "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS
prefix=$(pwd)/build/prefix
mark=$prefix/of-run
[ "$(cat "$mark" 2>/dev/null)" != "${SENTINEL_TEST_RUN:-none}" ] || exit 0
"$MAKE_COMMAND" --no-print-directory install DESTDIR= PREFIX="$prefix" LIBDIR="$prefix/lib" INCLUDEDIR="$prefix/include" \
    MANDIR="$prefix/share/man" >/dev/null
echo "${SENTINEL_TEST_RUN:-}" >"$mark"
