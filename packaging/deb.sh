#!/bin/sh
# deb.sh FOLDER: libsentinel0, libsentinel-dev, libsentinel-bin and libsentinel-lab for Debian and its kin, in FOLDER.
# Needs dpkg-dev and no network.
#
# The packages are parts of what `make install` and `make install-lab` give. A symbol that packaging/debian/libsentinel0.symbols lists and
# the library has no longer is an error; new ones are taken at this version.
set -eu
: "${MAKE_COMMAND:=make}"
unset MAKEFLAGS MFLAGS
if ! command -v dpkg-gencontrol >/dev/null 2>&1; then
    echo "dpkg-dev is not installed" >&2
    exit 77
fi
mkdir -p "$1"
result=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
upstream=$(dpkg-parsechangelog -l "$here/debian/changelog" -S Version | sed 's/-[^-]*$//')
if [ "$upstream" != "$VERSION" ]; then
    echo "packaging/debian/changelog is about $upstream, Cargo.toml about $VERSION" >&2
    exit 1
fi

# flags NAME: those that Debian compiles with, of which all that harden.
flags() {
    DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get "$1"
}

for target in install install-lab; do
    CFLAGS="$(flags CFLAGS) $(flags CPPFLAGS)" LDFLAGS=$(flags LDFLAGS) "$MAKE_COMMAND" --no-print-directory "$target" DESTDIR="$work/stage" PREFIX=/usr LIBDIR="/usr/lib/$triplet" \
        INCLUDEDIR=/usr/include UNITDIR=/usr/lib/systemd/system SYSUSERSDIR=/usr/lib/sysusers.d >/dev/null
done
# Where the tools of Debian look for the source package.
cp -r "$here/debian" "$work/debian"
cd "$work"

# move PACKAGE PATH...: paths below /usr, out of the stage.
move() {
    root=$work/$1
    shift
    for path in "$@"; do
        mkdir -p "$root/usr/$(dirname "$path")"
        mv "stage/usr/$path" "$root/usr/$path"
    done
}
# The link is the one programs need at run time; the version behind it is what it points to.
move libsentinel0 "lib/$triplet/libsentinel.so.$SOVERSION" "lib/$triplet/libsentinel.so.$VERSION"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "libsentinel0/usr/lib/$triplet/libsentinel.so.$VERSION"
chmod 644 "libsentinel0/usr/lib/$triplet/libsentinel.so.$VERSION"
move libsentinel-dev include "lib/$triplet/libsentinel.so" "lib/$triplet/libsentinel.a" \
    "lib/$triplet/pkgconfig" "lib/$triplet/cmake"
strip --strip-debug --enable-deterministic-archives "libsentinel-dev/usr/lib/$triplet/libsentinel.a"
move libsentinel-lab bin/libsentinel-lab share/man/man1/libsentinel-lab.1
strip --strip-unneeded --remove-section=.comment --remove-section=.note libsentinel-lab/usr/bin/libsentinel-lab
gzip -9n libsentinel-lab/usr/share/man/man1/libsentinel-lab.1
move libsentinel-bin bin/sentinel-proxy share/man/man1/sentinel-proxy.1 lib/systemd/system/sentinel-proxy.service \
    lib/sysusers.d/sentinel-proxy.conf
strip --strip-unneeded --remove-section=.comment --remove-section=.note libsentinel-bin/usr/bin/sentinel-proxy
gzip -9n libsentinel-bin/usr/share/man/man1/sentinel-proxy.1
if [ -d stage/usr/share/man/man3 ]; then
    move libsentinel-dev share/man/man3
    find libsentinel-dev/usr/share/man -type f -exec gzip -9n {} +
    # A page that stands for another is a link in the compressed tree as well.
    find libsentinel-dev/usr/share/man -type l | while read -r link; do
        ln -s "$(readlink "$link").gz" "$link.gz"
        rm "$link"
    done
fi
left=$(find stage ! -type d)
if [ -n "$left" ]; then
    echo "installed, and in no package: $left" >&2
    exit 1
fi

mkdir -p libsentinel0/DEBIAN libsentinel-dev/DEBIAN libsentinel-bin/DEBIAN libsentinel-lab/DEBIAN
dpkg-gensymbols -plibsentinel0 -v"$VERSION" -Plibsentinel0 -Idebian/libsentinel0.symbols \
    -Olibsentinel0/DEBIAN/symbols -c2
# For tools that read no symbols files.
echo "libsentinel $SOVERSION libsentinel0 (>= $VERSION)" >libsentinel0/DEBIAN/shlibs
echo "activate-noawait ldconfig" >libsentinel0/DEBIAN/triggers
dpkg-shlibdeps -Slibsentinel0 -Tlibsentinel0.substvars "libsentinel0/usr/lib/$triplet/libsentinel.so.$VERSION"
: >libsentinel-dev.substvars
dpkg-shlibdeps -Tlibsentinel-lab.substvars libsentinel-lab/usr/bin/libsentinel-lab
dpkg-shlibdeps -Slibsentinel0 -Tlibsentinel-bin.substvars libsentinel-bin/usr/bin/sentinel-proxy
for script in postinst prerm postrm; do
    install -m 755 "debian/libsentinel-bin.$script" "libsentinel-bin/DEBIAN/$script"
done
for package in libsentinel0 libsentinel-dev libsentinel-bin libsentinel-lab; do
    docs=$package/usr/share/doc/$package
    mkdir -p "$docs"
    cp debian/copyright "$docs"
    gzip -9n <debian/changelog >"$docs/changelog.Debian.gz"
    chmod 644 "$docs"/*
    # What lintian asks of a package that is new in Debian's own archive.
    mkdir -p "$package/usr/share/lintian/overrides"
    echo "$package: initial-upload-closes-no-bugs" >"$package/usr/share/lintian/overrides/$package"
    dpkg-gencontrol -p"$package" -P"$package" -T"$package.substvars"
    (cd "$package" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group --build "$package" "$result" >/dev/null
done
rm -f debian/files
ls "$result"/libsentinel*_"$VERSION"-*.deb
