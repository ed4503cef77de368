#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: in_lab.sh [--symbols] [CASE...]
#        in_lab.sh --scaling
#
# Run in the lab: count, then see that the module can go again. With --symbols also
# print the kernel's functions and its modules', packed, as --scaling does, which runs
# bench_scaling.

cd "$(dirname "$0")" || exit
symbols=
scaling=
case ${1-} in
--symbols)
	symbols=1
	shift
	;;
--scaling)
	symbols=1
	scaling=1
	;;
esac
# wanted CASE [CASE...]: is the first among the others, or are there none?
wanted()
{
	name=$1
	shift
	[ $# -gt 0 ] || return 0
	for other; do
		[ "$other" != "$name" ] || return 0
	done
	return 1
}

# Debian's QEMU, with nothing but what the case needs.
post_qemu()
{
	host-run /usr/bin/qemu-system-x86_64 -nodefaults -no-user-config -display none \
		-no-reboot -machine pc,accel=kvm -cpu host,hv-vpindex,hv-synic -m 32 \
		-device hyperv-testdev -debugcon stdio \
		-device isa-debug-exit,iobase=0xf4,iosize=1 -kernel /mnt/opt/bench_qemu
	# As the device makes it of what the guest writes when all is well.
	[ $? -eq 33 ]
}

echo "release $(uname -r)"
if [ "$scaling" ]; then
	insmod hv_postmsg.ko || exit
	./bench_scaling || exit
else
	if wanted post_qemu "$@"; then
		post_qemu || exit
	fi
	./bench hv_postmsg.ko "$@" || exit
fi
[ -z "$symbols" ] ||
	echo "kallsyms $(grep -i ' [tw] ' /proc/kallsyms | gzip | base64 | tr -d '\n')"
rmmod hv_postmsg
