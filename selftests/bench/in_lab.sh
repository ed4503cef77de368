#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: in_lab.sh [--symbols] [CASE...]
#
# Run in the lab: count, then see that the module can go again. With --symbols also
# print the kernel's functions and its modules', packed.

cd "$(dirname "$0")" || exit
symbols=
if [ "${1-}" = --symbols ]; then
	symbols=1
	shift
fi
echo "release $(uname -r)"
./bench hv_postmsg.ko "$@" || exit
[ -z "$symbols" ] ||
	echo "kallsyms $(grep -i ' [tw] ' /proc/kallsyms | gzip | base64 | tr -d '\n')"
rmmod hv_postmsg
