#!/bin/sh
# archive.sh IN OUT [ARCHIVE...]: libsentinel.a as programs are to have it, from what rustc has made of it and what that needs
# of the archives: one object, of which only the functions of sentinel.h are seen. So it may be linked beside another library
# that was written in Rust, and has its standard library inside as well. The bitcode for rustc's own LLVM is left out: another,
# asked for -flto, would read it and fail.
#
# CC links; AR, NM and OBJCOPY are of its processor.
set -eu
: "${CC:=cc}" "${AR:=ar}" "${NM:=nm}" "${OBJCOPY:=objcopy}"
in=$1 out=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# First of all: the other tools ask the LLVM of this machine too.
"$OBJCOPY" --remove-section=.llvmbc --remove-section=.llvmcmd "$in" "$work/in.a"
"$NM" -g --defined-only "$work/in.a" 2>"$work/errors" | sed -n 's/^[0-9a-f]* T \(sentinel_[a-z0-9_]*\)$/-Wl,-u,\1/p' >"$work/functions"
[ -s "$work/functions" ] || {
    cat "$work/errors" >&2
    echo "archive: $in has no function of ours" >&2
    exit 1
}
# The words of CC are words.
# shellcheck disable=SC2086
$CC -r -nostdlib -Wl,--gc-sections -Wl,--force-group-allocation "@$work/functions" "$work/in.a" "$@" -o "$work/libsentinel.o"
"$OBJCOPY" --wildcard --keep-global-symbol='sentinel_*' "$work/libsentinel.o"
rm -f "$out"
"$AR" rcsD "$out" "$work/libsentinel.o"
