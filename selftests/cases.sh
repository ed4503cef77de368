# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh disable=SC2034,SC2120 # others use what is here
#
# For module_test.sh and tracer_test.sh, whose cases are functions case_NAME():
# what they do with the module and with those who use it, and what runs them.
#
# Runs in the lab (busybox), in a folder with hv_postmsg.ko, load_module and hold.

number=0
failed=0
skipped=
held=
ftrace=/proc/sys/kernel/ftrace_enabled
tracing=/sys/kernel/tracing
PATH=$PATH:$PWD

loaded()
{
	grep -q "^$1 " /proc/modules
}

vendor=kvm_amd
loaded kvm_amd || vendor=kvm_intel

# Why a case failed; the case ends.
why()
{
	echo "# $*"
	return 1
}

# The case cannot be shown here, and why; the case ends.
skip()
{
	skipped=" # SKIP $*"
}

load()
{
	./load_module hv_postmsg.ko || why "the module does not load"
}

unload()
{
	rmmod hv_postmsg || why "the module does not unload"
}

# What the module, and not the kernel about it, has said since dmesg -c.
said()
{
	dmesg | grep 'hv_postmsg: ' | grep -v -e 'taints kernel' -e 'module verification'
}

# wait_for FILE WORD: until the process $held has written the word.
wait_for()
{
	for _ in $(seq 300); do
		! grep -q "$2" "$1" || return 0
		[ -d /proc/$held ] || break
		sleep 0.1
	done
	cat "$1"
	return 1
}

# Start "hold $1"; its output is in held.log.
hold()
{
	./hold "$1" >held.log 2>&1 &
	held=$!
	wait_for held.log ready || why "hold $1 did not start"
}

release()
{
	[ -z "$held" ] || {
		kill -9 $held
		wait $held
	} 2>/dev/null
	held=
}

# Wait until a module is not in use: files close after their process is gone.
unused()
{
	module=${1:-hv_postmsg}
	for _ in $(seq 300); do
		[ "$(cat "/sys/module/$module/refcnt")" != 0 ] || return 0
		sleep 0.1
	done
	why "$module is still in use by $(cat "/sys/module/$module/refcnt")"
}

# run NAME: run the function case_NAME, report, and clean up after it; also what
# clean_up() does, if there is one.
run()
{
	number=$((number + 1))
	start=$(date +%s)
	skipped=
	dmesg -c >/dev/null
	if "case_$1"; then
		echo "ok $number $1$skipped"
	else
		said | sed 's/^/# /'
		echo "not ok $number $1"
		failed=$((failed + 1))
	fi
	release
	! type clean_up >/dev/null 2>&1 || clean_up
	[ "$(cat $ftrace)" = 1 ] || echo 1 >$ftrace
	if loaded hv_postmsg; then
		unused && unload
	fi
	loaded "$vendor" || modprobe "$vendor"
	echo "# $1: $(($(date +%s) - start)) s"
}

# run_cases FILE [CASE...]: all cases of the file, or those named.
run_cases()
{
	cases=$(sed -n 's/^case_\([a-z_]*\)()$/\1/p' "$1")
	shift
	# shellcheck disable=SC2086 # a word is a case
	[ $# -gt 0 ] || set -- $cases
	echo "TAP version 13"
	echo "1..$#"
	for name in "$@"; do
		run "$name"
	done
	[ $failed = 0 ]
}
