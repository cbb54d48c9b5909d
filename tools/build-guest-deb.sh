#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Packs what guest_kmod/ built into a Debian package for guests' images: the tracer,
# the module for each kernel that it was built for, and its source for DKMS, which
# builds it for any other kernel. Prints where the package lies.
set -euo pipefail

cd "$(dirname "$0")/.."
BUILD=$PWD/build/guest
NAME=membuddies-guest
SOURCES=(Kbuild membuddies.c membuddies_compat.h membuddies_stream.h xxh3_4096.h dkms.conf)

fail() {
    echo "build-guest-deb: $*" >&2
    exit 1
}

version=$(sed -n 's/^version = //p' setup.cfg)
grep --quiet "^PACKAGE_VERSION=\"$version\"$" guest_kmod/dkms.conf \
    || fail "guest_kmod/dkms.conf must name version $version, as setup.cfg does"
architecture=$(dpkg --print-architecture)
[ -x "$BUILD/membuddies-trace" ] || fail "nothing is built: make -C guest_kmod"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

install -D "$BUILD/membuddies-trace" "$root/usr/sbin/membuddies-trace"
for module in "$BUILD"/*/membuddies.ko; do
    if [ -e "$module" ]; then
        kernel=$(basename "$(dirname "$module")")
        target=$root/usr/lib/membuddies/$kernel/membuddies.ko
        install -D --mode 0644 "$module" "$target"
        strip --strip-debug "$target"
    fi
done
for source in "${SOURCES[@]}"; do
    install -D --mode 0644 "guest_kmod/$source" "$root/usr/src/membuddies-$version/$source"
done

install -d "$root/usr/share/doc/$NAME" "$root/DEBIAN"
cat > "$root/usr/share/doc/$NAME/copyright" <<'END'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: Memory Buddies for OpenStack Nova contributors
License: GPL-2.0-only or MIT
 On Debian systems the text of the GNU General Public License, version 2, is in
 /usr/share/common-licenses/GPL-2; that of the MIT license is at
 https://spdx.org/licenses/MIT.html.
END
cat > "$root/DEBIAN/control" <<END
Package: $NAME
Version: $version
Architecture: $architecture
Maintainer: Memory Buddies for OpenStack Nova <membuddies@localhost>
Section: kernel
Priority: optional
Depends: qemu-guest-agent
Suggests: dkms
Installed-Size: $(du --summarize --block-size 1024 "$root/usr" | cut -f 1)
Description: lets the host of this guest ask for hashes of its memory
 A kernel module and a program that loads it, takes a sample of hashes of the
 memory's pages, and removes it. The host's agent runs the program by the QEMU
 guest agent. No content of memory leaves the guest.
END
cat > "$root/DEBIAN/postinst" <<END
#!/bin/sh
set -e
if [ "\$1" = configure ] && [ -x /usr/lib/dkms/common.postinst ]; then
    /usr/lib/dkms/common.postinst membuddies $version "" "" "\$2"
fi
END
cat > "$root/DEBIAN/prerm" <<END
#!/bin/sh
set -e
if [ "\$1" != failed-upgrade ] && command -v dkms > /dev/null; then
    dkms remove -m membuddies -v $version --all > /dev/null || true
fi
END
chmod 0755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"

mkdir -p dist
package=$PWD/dist/${NAME}_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" > /dev/null
echo "$package"
