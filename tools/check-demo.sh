#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Whether `make demo` can run here; asked before anything is installed. If not, one
# sentence says what is missing, and what can be tried instead.
set -euo pipefail

missing=()

system() {
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        (. /etc/os-release && echo "${ID:-linux} ${VERSION_ID:-}")
    else
        uname -s
    fi
}

if [ "$(system)" != "debian 12" ] || ! command -v apt-get >/dev/null; then
    missing+=("Debian 12 (this is $(system))")
elif [ "$(uname -m)" != x86_64 ]; then
    missing+=("an x86-64 processor (this is $(uname -m))")
fi
if [ "$(id -u)" -ne 0 ]; then
    missing+=("root")
elif [ "$(uname -s)" = Linux ]; then
    if ! unshare --mount --net --pid --fork true 2>/dev/null; then
        missing+=("the right to make namespaces and mounts")
    fi
    if [ ! -w /sys/kernel/mm/ksm/run ]; then
        missing+=("a kernel with KSM that may be switched on")
    fi
fi
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

list=${missing[0]}
for thing in "${missing[@]:1}"; do
    list+=" and $thing"
done
echo "make demo needs $list; the recorded guests of examples/ need neither root nor" \
    "Debian: pip install -e '.[cli]' && membuddies sharing examples/*.npy" >&2
exit 1
