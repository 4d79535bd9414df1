#!/bin/sh
# compile.sh examples FOLDER: the examples, against the .so of this tree.
# compile.sh shared|static SOURCE PROGRAM: one program, against the .so or the .a of this tree.
# compile.sh object SOURCE: compiled only, nothing kept.
# compile.sh libs SOURCE: prints the flags of the other libraries that it names.
set -eu
: "${CC:=cc}" "${CXX:=c++}" "${RELEASE:=target/release}" "${LIBS_PRIVATE:=-lutil -lrt -lpthread -lm -ldl}"

# Other libraries that a program names in its first comment ("libs: NAME..."), by pkg-config. Exit status 77: not here.
extra() {
    names=$(sed -n -e 's/.*libs: //p' -e '/\*\//q' "$1")
    [ -n "$names" ] || return 0
    # shellcheck disable=SC2086
    if ! pkg-config --cflags --libs $names 2>/dev/null; then
        echo "$1: skipped, for pkg-config does not know $names" >&2
        exit 77
    fi
}

compile() {
    libraries=$(extra "$1") || exit
    case $1 in
        *.cpp) language="$CXX -std=c++11 ${CXXFLAGS:--O1 -g}" ;;
        *) language="$CC -std=c11 ${CFLAGS:--O1 -g}" ;;
    esac
    # shellcheck disable=SC2086
    $language -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude "$@" $libraries ${LDFLAGS:-}
}

shared() {
    # A program asks for the library by its SONAME, which the build folder does not have: `make lib` sees to build/lib. A
    # library that was built otherwise has it in SONAME_DIR.
    mkdir -p "$(dirname "$2")"
    compile "$1" -o "$2" -Wl,--as-needed -L"$RELEASE" -Wl,-rpath,"${SONAME_DIR:-$(pwd)/build/lib}" -lsentinel
}

static() {
    mkdir -p "$(dirname "$2")"
    # shellcheck disable=SC2086
    compile "$1" -o "$2" "$RELEASE/libsentinel.a" $LIBS_PRIVATE
}

case $1 in
    examples)
        for source in examples-c/*.c; do
            (shared "$source" "$2/$(basename "$source" .c)") || [ $? = 77 ]
        done
        ;;
    shared) shared "$2" "$3" ;;
    static) static "$2" "$3" ;;
    object) compile "$2" -c -o /dev/null ;;
    libs) extra "$2" ;;
    *)
        echo "usage: compile.sh examples FOLDER | shared|static SOURCE PROGRAM | object|libs SOURCE" >&2
        exit 2
        ;;
esac
