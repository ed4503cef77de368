#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: in_lab.sh SECONDS [SEED]
#
# Run in the lab: load, stress, unload, and look for leaks where the kernel can.

kmemleak=/sys/kernel/debug/kmemleak

cd "$(dirname "$0")" || exit

# What nothing points at any more, and what was seen so twice: a pointer may be on
# its way from one place to another.
no_leaks()
{
	[ -e $kmemleak ] || return 0
	# Younger than that, it is no leak yet.
	sleep 6
	echo scan >$kmemleak && echo scan >$kmemleak || return
	if grep '' $kmemleak; then
		echo "FAILED: leaks, $1"
		return 1
	fi
}

unload()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(cat /sys/module/hv_postmsg/refcnt)" != 0 ] || break
		sleep 1
	done
	rmmod hv_postmsg
}

insmod ./hv_postmsg.ko || exit
./stress "$@" || exit
no_leaks "the module loaded" || exit
unload || { echo "FAILED: the module does not unload"; exit 1; }
no_leaks "the module unloaded" || exit
echo "unloaded"
