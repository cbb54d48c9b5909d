#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Process 1 of a guest: loads the drivers that were given, starts the QEMU guest
# agent, anew when it ends, and stays. The file /run/block names commands that the
# agent is then forbidden.

/bin/busybox mkdir -p /applets /proc /sys /dev /run /tmp
/bin/busybox --install -s /applets
export PATH=/applets:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

for driver in /drivers/*; do
    insmod "$driver" 2>/dev/null
done

while true; do
    block=
    [ ! -e /run/block ] || read -r block < /run/block
    for port in /sys/class/virtio-ports/*; do
        read -r name < "$port/name"
        if [ "$name" = org.qemu.guest_agent.0 ]; then
            qemu-ga --statedir=/run --method=virtio-serial --path="/dev/${port##*/}" \
                ${block:+"--block-rpcs=$block"}
        fi
    done 2>/dev/console
    sleep 0.1
done
