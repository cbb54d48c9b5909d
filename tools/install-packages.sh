#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the project's tests and its demo stand on:
# only those that are missing, and without starting any service of theirs.
# Asks the network for nothing when everything is there.
#
# usage: install-packages.sh [guest | restore]
# "guest" installs what building and testing the guests' kernel module needs.
# "restore" only takes back what an installation that was killed left behind.
set -euo pipefail

PACKAGES=(
    # What an OpenStack control plane and a compute host run.
    rabbitmq-server mariadb-server memcached
    libvirt-daemon-system libvirt-clients libvirt-dev
    qemu-system-x86 qemu-utils
    iproute2 openssh-client openssh-server
    # What the guests are made of.
    busybox-static linux-image-cloud-amd64
    # What building the virtual environment and linting need.
    gcc pkg-config python3-venv python3-dev shellcheck
    # What reviews our units and DevStack's plugin asks for.
    systemd lsb-release openssl
)
GUEST_PACKAGES=(
    # Debian 12's kernel, and that of Debian 13, which Debian 12's updates bring.
    linux-headers-cloud-amd64
    linux-image-6.12-cloud-amd64 linux-headers-6.12-cloud-amd64
    gcc make libc6-dev sparse dkms kmod
    # What runs in the guests.
    busybox-static qemu-guest-agent
)
POLICY=/usr/sbin/policy-rc.d
POLICY_SAVED=$POLICY.membuddies-saved
POLICY_MARK="# membuddies: no service starts while its package is installed"

fail() {
    echo "install-packages: $*" >&2
    exit 1
}

is_installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        is_installed "$package" || echo "$package"
    done
}

is_policy_ours() {
    grep --quiet --no-messages --fixed-strings "$POLICY_MARK" "$POLICY"
}

# policy-rc.d is Debian's way to say which services may start; 101 means none.
forbid_services() {
    if [ -e "$POLICY" ] && ! is_policy_ours; then
        mv "$POLICY" "$POLICY_SAVED"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" > "$POLICY"
    chmod 0755 "$POLICY"
}

allow_services() {
    if is_policy_ours; then
        rm "$POLICY"
    fi
    if [ -e "$POLICY_SAVED" ]; then
        mv "$POLICY_SAVED" "$POLICY"
    fi
}

if [ "${1:-}" = restore ]; then
    allow_services
    exit 0
fi
if [ "${1:-}" = guest ]; then
    PACKAGES=("${GUEST_PACKAGES[@]}")
fi
command -v dpkg-query >/dev/null \
    || fail "needs Debian 12 (dpkg-query was not found)"
mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
[ "$(id -u)" -eq 0 ] || fail "must be run as root to install: ${missing[*]}"

echo "installing Debian packages: ${missing[*]}"
trap allow_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
forbid_services
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet --quiet
apt-get install --quiet --quiet --yes --no-install-recommends "${missing[@]}"
