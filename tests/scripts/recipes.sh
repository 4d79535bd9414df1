#!/bin/sh
# recipes.sh [vcpkg] [conan] [homebrew]: the recipes of `make dist`, with the tarballs that it has made: each gives a library that a
# program is built against by pkg-config, and survives a kill -9 of the primary with.
#
# Conan is itself: pip gets it into build/tools. vcpkg and brew are where they are installed, vcpkg with its tree in VCPKG_ROOT;
# elsewhere tests/recipes does what they would do with such a recipe.
#
# Exit status 77 of a step: it cannot be had here; the last line says why.
set -eu
: "${VERSION:=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}" "${LAB:=target/debug/lab}" "${CC:=cc}"
unset MAKEFLAGS MFLAGS
scripts=$(dirname "$0")
tree=$(pwd)
result=$tree/build/dist/result
out=$tree/build/recipes
conan_version=2.34.0

cannot() {
    echo "$*" >&2
    exit 77
}

# survives NAME PKGCONFIG [OPTION...]: the example, built against what pkg-config knows in that folder.
survives() {
    name=$1
    PKG_CONFIG_PATH=$2
    PKG_CONFIG_LIBDIR=$2
    export PKG_CONFIG_PATH PKG_CONFIG_LIBDIR
    shift 2
    [ "$(pkg-config --modversion sentinel)" = "$VERSION" ]
    # shellcheck disable=SC2046
    "$CC" -std=c11 -Wall -Werror examples-c/failover.c -o "$out/programs/$name" $(pkg-config "$@" --cflags --libs sentinel) \
        -Wl,-rpath,"$(pkg-config --variable=libdir sentinel)"
    "$scripts/survives.sh" "$out/programs/$name.log" "$out/programs/$name"
}

# found FOLDER LINKAGE: what CMake finds there, by the program of tests/cmake.
found() {
    rm -rf "$out/cmake-$2"
    cmake -S "$out/recipes/conan/test_package" -B "$out/cmake-$2" -DCMAKE_PREFIX_PATH="$1" >/dev/null
    cmake --build "$out/cmake-$2" >/dev/null
    "$out/cmake-$2/test_package" "$VERSION"
}

vcpkg_step() {
    command -v cmake >/dev/null 2>&1 || cannot "cmake is not installed"
    case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac
    for linkage in static dynamic; do
        if [ -n "${VCPKG_ROOT:-}" ]; then
            triplet=$arch-linux
            [ $linkage = static ] || triplet=$arch-linux-dynamic
            # Where it would have been downloaded to.
            mkdir -p "$out/downloads"
            cp "$result"/*-linux-gnu.tar.gz "$out/downloads"
            "$VCPKG_ROOT/vcpkg" install libsentinel --triplet "$triplet" --host-triplet "$arch-linux" \
                --overlay-ports="$out/recipes/vcpkg" --overlay-triplets="$VCPKG_ROOT/triplets/community" \
                --downloads-root="$out/downloads" --x-install-root="$out/vcpkg-$linkage" \
                --x-buildtrees-root="$out/vcpkg-buildtrees" --x-packages-root="$out/vcpkg-packages" --binarysource=clear \
                --no-print-usage --enforce-port-checks
            installed=$out/vcpkg-$linkage/$triplet
        else
            installed=$out/vcpkg-$linkage
            cmake -DPORT_DIR="$out/recipes/vcpkg/libsentinel" -DDOWNLOADS="$result" -DPACKAGES="$installed" -DLINKAGE=$linkage \
                -P tests/recipes/vcpkg.cmake >/dev/null
            [ -s "$installed/share/libsentinel/copyright" ]
        fi
        case $linkage in
            static) other=libsentinel.so option=--static ;;
            *) other=libsentinel.a option='' ;;
        esac
        if [ -e "$installed/lib/$other" ]; then
            echo "$other is there too" >&2
            exit 1
        fi
        # shellcheck disable=SC2086
        survives "vcpkg-$linkage" "$installed/lib/pkgconfig" $option
        found "$installed" $linkage
    done
}

conan_step() {
    command -v cmake >/dev/null 2>&1 || cannot "cmake is not installed"
    conan=$tree/build/tools/conan-$conan_version/bin/conan
    [ -x "$conan" ] || {
        folder=${conan%/bin/conan}
        { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet "conan==$conan_version"; } >"$out/pip.log" 2>&1 ||
            cannot "Conan cannot be had: $(tail -n 1 "$out/pip.log")"
    }
    export CONAN_HOME="$out/conan-home"
    rm -rf "$CONAN_HOME"
    # By the names of the compilers: one that is called cc, as make has it, it does not know.
    env -u CC -u CXX "$conan" profile detect 2>/dev/null
    for shared in True False; do
        # Nothing is asked of any other place than that of the tarballs.
        "$conan" create "$out/recipes/conan" --no-remote -o "libsentinel/*:shared=$shared"
        "$conan" install --no-remote --requires="libsentinel/$VERSION" -o "libsentinel/*:shared=$shared" -g PkgConfigDeps \
            --output-folder="$out/conan-$shared"
        survives "conan-$shared" "$out/conan-$shared"
    done
    if "$conan" install --no-remote --requires="libsentinel/$VERSION" -s os=Windows >"$out/conan.refused" 2>&1; then
        echo "Conan takes it for Windows" >&2
        exit 1
    fi
    grep -q 'there is libsentinel for Linux' "$out/conan.refused"
}

homebrew_step() {
    command -v ruby >/dev/null 2>&1 || cannot "ruby is not installed"
    ruby -wc "$out/recipes/homebrew/libsentinel.rb" >/dev/null
    if command -v brew >/dev/null 2>&1; then
        brew install --formula "$out/recipes/homebrew/libsentinel.rb"
        brew test libsentinel
        prefix=$(brew --prefix libsentinel)
    else
        prefix=$out/homebrew
        rm -rf "$prefix" "$out/homebrew-test"
        mkdir -p "$out/homebrew-test"
        PKG_CONFIG_PATH="$prefix/lib/pkgconfig" LD_LIBRARY_PATH="$prefix/lib" ruby -w tests/recipes/formula.rb \
            "$out/recipes/homebrew/libsentinel.rb" "$result" "$prefix" "$out/homebrew-test"
    fi
    survives homebrew "$prefix/lib/pkgconfig"
}

case ${1:-} in
    --step)
        # In a process of its own: before `||` no command of it would end it.
        "$2_step" >"$out/$2.said" 2>&1 &
        wait $! || {
            status=$?
            cat "$out/$2.said"
            exit $status
        }
        grep -h '^summary' "$out/$2.said"
        exit
        ;;
esac
[ -f "$result/SHA256SUMS" ] || cannot "make dist has made nothing"
rm -rf "$out"
mkdir -p "$out/programs"
DIST_URL=file://$result packaging/recipes.sh "$result" "$out/recipes"
failed=0
[ $# -gt 0 ] || set -- vcpkg conan homebrew
for each; do
    "$scripts/step.sh" "recipe for $each" "$0" --step "$each" || failed=1
done
exit $failed
