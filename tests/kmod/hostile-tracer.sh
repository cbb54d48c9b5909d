#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Stands where the tracer should, and answers as /run/behaviour says.

[ "$1" != --remove ] || exec rm -f /run/membuddies/sample
mkdir -p /run/membuddies
read -r behaviour < /run/behaviour
case $behaviour in
    never) exec sleep 1000 ;;
    exit=*) exit "${behaviour#exit=}" ;;
    killed) kill -KILL $$ ;;
    huge) exec truncate -s 1G /run/membuddies/sample ;;
    endless) exec ln -sf /dev/zero /run/membuddies/sample ;;
    garbage) exec dd if=/dev/urandom of=/run/membuddies/sample bs=1000 count=1 ;;
    nothing) exec rm -f /run/membuddies/sample ;;
    talkative) exec yes ;;
    given) exec cp /run/given /run/membuddies/sample ;;
esac
