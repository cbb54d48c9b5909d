#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Process 1 of a guest: fills memory that no other guest has, says so, and stays.
# Kernel command line: private_mb=N (default 8), churn_mb_per_minute=N (default 0).

# The base's own programs in /bin are content here, not for use.
/bin/busybox mkdir -p /applets
/bin/busybox --install -s /applets
export PATH=/applets
mkdir -p /proc /private
mount -t proc proc /proc
mount -t tmpfs -o size=100% tmpfs /private

private_mb=8
churn_mb_per_minute=0
read -r command_line < /proc/cmdline
for word in $command_line; do
    case $word in
        private_mb=*) private_mb=${word#*=} ;;
        churn_mb_per_minute=*) churn_mb_per_minute=${word#*=} ;;
    esac
done

dd if=/dev/urandom of=/private/data bs=1M count="$private_mb" 2>/dev/null
echo "guest ready"

if [ "$churn_mb_per_minute" -eq 0 ]; then
    while true; do
        sleep 3600
    done
fi
written_mb=0
while true; do
    dd if=/dev/urandom of=/private/data bs=1M count=1 conv=notrunc \
        seek=$((written_mb % private_mb)) 2>/dev/null
    written_mb=$((written_mb + 1))
    sleep $((60 / churn_mb_per_minute))
done
