#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: in_lab.sh [CASE...]
#
# Run in the lab: count, then see that the module can go again.

cd "$(dirname "$0")" || exit
echo "release $(uname -r)"
./bench hv_postmsg.ko "$@" || exit
rmmod hv_postmsg
