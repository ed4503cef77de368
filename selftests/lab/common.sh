# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034 # what is set here is used elsewhere
#
# What the scripts of the lab share. Sourced, with LAB set to this folder.

ROOT=$(cd "$LAB/../.." && pwd)
BUILD=$ROOT/build/lab

# depmod is in a folder that is not in every user's path.
PATH=$PATH:/usr/sbin:/sbin

# The modes of files created here are those seen inside the lab.
umask 022

# Exit statuses of the lab itself; any other is that of the command in it.
readonly EXIT_EMULATOR=122	# QEMU ran what is not there any more: try again
readonly EXIT_KERNEL=123	# the kernel crashed or complained
readonly EXIT_TIMEOUT=124	# time-out, as timeout(1) has it
readonly EXIT_LAB=125		# the lab did not work

# What the kernel says when something is wrong, for grep -E.
COMPLAINTS='WARNING:|\bBUG\b|Oops|Kernel panic|general protection|KASAN|UBSAN:'
COMPLAINTS+='|KFENCE:|KCSAN:|possible .* (deadlock|locking)|possible .*lock.* dependency'
COMPLAINTS+='|inconsistent lock state|rcu:.*stall|detected stalls|rcu.*kthread starved'
COMPLAINTS+='|hung task|blocked for more than|soft lockup|hard LOCKUP|kmemleak: [0-9]'
COMPLAINTS+='|page allocation failure|Bad page|unable to handle|stack-protector'
# RCU says that "callback double-/use-after-free debug is enabled".
COMPLAINTS+='|refcount_t:|list_(add|del) corruption|[^/]use-after-free|Internal error'
COMPLAINTS+='|Initramfs unpacking failed|Unable to mount root|unchecked MSR access'

# Progress goes to stderr: stdout belongs to the command in the lab.
say()
{
	echo "lab: $*" >&2
}

die()
{
	say "$*"
	exit "$EXIT_LAB"
}

# Print the heading comment of a script, which is its manual.
usage()
{
	sed -n '/^# SPDX/d; 2,/^$/{ s/^# \{0,1\}//p; }' "$0"
}

# Kernels that build-kernel builds from the source of a series, or else stock ones.
is_built()
{
	[[ $1 == *-* ]]
}

series_of()
{
	echo "${1%%-*}"
}

check_kernel()
{
	case $1 in
	6.1|6.12|6.1-debug|6.12-debug|6.1-kcsan|6.12-kcsan) ;;
	'') die "no kernel named: --kernel 6.1 or --kernel 6.12" ;;
	*) die "unknown kernel '$1': 6.1 and 6.12 are known, with -debug and -kcsan" ;;
	esac
}
