#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Becomes process 1 of one machine of the lab, in namespaces of its own (network,
# pid, uts, ipc, mount; made by the caller).
# usage: machine-init.sh HOSTNAME HOSTS_FILE READY_FILE [SOURCE=TARGET ...]
set -euo pipefail

hostname=$1 hosts_file=$2 ready_file=$3
shift 3

mount --make-rprivate /
hostname "$hostname"
mount --bind "$hosts_file" /etc/hosts
for pair in "$@"; do
    mount --bind "${pair%%=*}" "${pair#*=}"
done
mount -t tmpfs -o mode=0755 tmpfs /run
# libvirt would place its guests in control groups, which it cannot do here.
umount -R /sys/fs/cgroup 2>/dev/null || true

touch "$ready_file"
# Orphaned daemons become children of this process: ignoring SIGCHLD reaps them.
trap '' CHLD
exec sleep infinity
