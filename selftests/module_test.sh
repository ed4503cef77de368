#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: module_test.sh [CASE...]
#
# Loading and unloading the module: when it is refused, what it leaves behind.
# Runs in the lab (busybox), with the module not loaded. TAP output.
#
# Expects beside itself: cases.sh, hv_postmsg.ko, load_module, hold, kernel/*.

cd "$(dirname "$0")" || exit 1
# shellcheck source=selftests/cases.sh
. ./cases.sh

# --- loading ---

case_load_and_unload()
{
	load || return
	loaded hv_postmsg || why "not in /proc/modules" || return
	[ -c /dev/hv_postmsg ] || why "no /dev/hv_postmsg" || return
	./hold post || return
	unload || return
	[ ! -e /dev/hv_postmsg ] || why "/dev/hv_postmsg is still there"
}

case_says_nothing_when_all_is_well()
{
	load && ./hold post && unload || return
	[ -z "$(said)" ] || why "it said something"
}

# Until udev makes it the group's, only root opens it.
case_device_mode()
{
	load || return
	mode=$(stat -c %a /dev/hv_postmsg)
	[ "$mode" = 660 ] || why "mode $mode" || return
	owner=$(stat -c %u:%g /dev/hv_postmsg)
	[ "$owner" = 0:0 ] || why "owner $owner" || return
	! su nobody -s /bin/sh -c ': </dev/hv_postmsg' 2>/dev/null ||
		why "nobody can open it"
}

case_second_load_refused()
{
	load || return
	! ./load_module hv_postmsg.ko 2>/dev/null || why "loaded twice" || return
	./hold post
}

case_load_and_unload_often()
{
	for _ in $(seq 6); do
		load && unload || return
	done
	load && ./hold post
}

# --- in use ---

case_unload_refused_by_host_partition()
{
	load && hold host || return
	! rmmod hv_postmsg 2>/dev/null || why "unloaded in use" || return
	release
	unused && unload
}

case_unload_refused_by_vm()
{
	load && hold vm || return
	! rmmod hv_postmsg 2>/dev/null || why "unloaded in use" || return
	release
	unused && unload
}

case_unload_refused_by_halted_vm()
{
	load && hold halted || return
	! rmmod hv_postmsg 2>/dev/null || why "unloaded in use" || return
	release
	unused && unload
}

case_unload_refused_by_open_device()
{
	load || return
	exec 9</dev/hv_postmsg
	! rmmod hv_postmsg 2>/dev/null || why "unloaded in use" || {
		exec 9<&-
		return 1
	}
	exec 9<&-
	unload
}

# A VP that went to sleep in HLT while it was attached must not return into
# nothing.
case_unload_with_detached_vm_halted()
{
	load && hold detached && unused && unload || return
	sleep 1
	[ -d /proc/$held ] || why "the VM has died" || return
	load && ./hold post || return
	release
	unload
}

# A VM that is not attached runs on, and its VMM sees every post, whatever the
# module does.
case_load_and_unload_beside_running_vm()
{
	hold posting || return
	for _ in $(seq 5); do
		load || return
		sleep 0.1
		unload || return
	done
	before=$(tail -n 1 held.log)
	load && sleep 3 || return
	[ -d /proc/$held ] || why "the VM has died" || return
	[ "$(tail -n 1 held.log)" != "$before" ] || why "it stands still at $before"
}

# --- asleep in a hooked function ---

# start_unload: rmmod, in the background, with all but the waiting done.
start_unload()
{
	rmmod hv_postmsg &
	unloading=$!
	for _ in $(seq 300); do
		grep -q '\[kvm\]' $tracing/enabled_functions || break
		sleep 0.1
	done
	sleep 2
}

# unload_behind HOW: "hold HOW" sleeps in the module until it is told to go on; rmmod
# waits for that, and no shorter.
unload_behind()
{
	load && hold "$1" && unused || return
	start_unload
	loaded hv_postmsg || why "unloaded under somebody who sleeps there" || return
	[ ! -e /dev/hv_postmsg ] || why "it can still be used" || return
	kill -USR1 $held
	wait_for held.log answered || why "the VM has died" || return
	wait $unloading || why "the module does not unload" || return
	! loaded hv_postmsg || why "still loaded" || return
	[ -d /proc/$held ] || why "the VM has died" || return
	release
	load && ./hold post
}

case_unload_waits_for_sleeping_call()
{
	unload_behind fault-call
}

case_unload_waits_for_sleeping_delivery()
{
	unload_behind fault-slot
}

# Otherwise the administrator could wait for a VMM for ever.
case_unload_behind_killed_vmm()
{
	load && hold fault-call && unused || return
	start_unload
	loaded hv_postmsg || why "unloaded under somebody who sleeps there" || return
	release
	wait $unloading || why "the module does not unload" || return
	load && ./hold post
}

# One who sleeps in KVM's own part of a hooked function is not waited for, and goes
# on where the module was.
case_unload_beside_sleeper_never_attached()
{
	load && hold fault-alone && unload || return
	load && ./hold post && unload || return
	kill -USR1 $held
	wait_for held.log answered || why "the VM has died" || return
	load && ./hold post
}

# --- refusals ---

case_kvm_stays_loaded()
{
	load || return
	! rmmod kvm 2>/dev/null || why "KVM unloaded" || return
	rmmod "$vendor" || why "$vendor does not unload" || return
	! rmmod kvm 2>/dev/null || why "KVM unloaded without $vendor" || return
	modprobe "$vendor" || why "$vendor does not load" || return
	./hold all
}

# A VM that was attached keeps it a moment longer than its process lives.
unload_vendor()
{
	unused "$vendor" && rmmod "$vendor" || why "$vendor does not unload"
}

# The hooks are in kvm: who comes behind has them, too, and can be taken away again.
case_vendor_module_reloaded_meanwhile()
{
	load && ./hold all || return
	for _ in 1 2 3; do
		unload_vendor && modprobe "$vendor" && ./hold all || return
	done
	unload_vendor && unused && unload || return
	load && modprobe "$vendor" && ./hold all && unused && unload || return
	./hold plain && unload_vendor || return
	rmmod kvm || why "KVM is still held" || return
	modprobe "$vendor" && load && ./hold all
}

case_load_refused_without_kvm()
{
	rmmod "$vendor" && rmmod kvm || why "KVM does not unload" || return
	! ./load_module hv_postmsg.ko 2>/dev/null
	result=$?
	modprobe "$vendor"
	[ $result = 0 ] || why "loaded without KVM" || return
	load && ./hold post
}

case_load_refused_with_ftrace_disabled()
{
	echo 0 >$ftrace
	! ./load_module hv_postmsg.ko 2>/dev/null || why "loaded" || return
	said
	[ "$(said | wc -l)" = 1 ] || why "not one line" || return
	said | grep -q ftrace_enabled || why "not a clear one" || return
	[ ! -e /dev/hv_postmsg ] || why "/dev/hv_postmsg is there" || return
	echo 1 >$ftrace
	load && ./hold post
}

# Otherwise the hooks would be gone without a word.
case_ftrace_stays_enabled()
{
	load || return
	! echo 0 2>/dev/null >$ftrace || why "disabled while loaded" || return
	[ "$(cat $ftrace)" = 1 ] || why "now $(cat $ftrace)" || return
	./hold post && unload || return
	echo 0 >$ftrace || why "cannot be disabled any more"
}

# --- what is left ---

unreclaimable()
{
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	sed -n 's/^SUnreclaim: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

# What a round uses of anything is more than the figure moves by itself.
case_memory_given_back()
{
	if [ -e /sys/kernel/debug/kmemleak ]; then
		skip "a kernel with KASAN keeps freed memory back, and looks for leaks itself"
		return
	fi
	load || return
	./hold churn && ./hold churn && unused || return
	# 6.1 lets what is freed behind RCU lie for five seconds.
	sleep 6
	before=$(unreclaimable)
	for _ in 1 2 3 4; do
		./hold churn || return
	done
	unused || return
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		after=$(unreclaimable)
		[ $((after - before)) -ge 128 ] || break
	done
	echo "# unreclaimable slab: $before kB before, $after kB after"
	[ $((after - before)) -lt 128 ] || why "memory is lost"
}

# Nothing of its own in the slab, and nothing of it in the kernel.
case_nothing_left_after_unload()
{
	load || return
	./hold churn && unused && unload || return
	! grep -e hvpm -e hv_postmsg /proc/slabinfo || why "slab caches" || return
	! grep -q hv_postmsg /proc/kallsyms || why "symbols" || return
	! grep hv_postmsg $tracing/enabled_functions || why "hooks" || return
	[ ! -e /sys/class/misc/hv_postmsg ] || why "device"
}

# What a status of the kernel's own tests means.
result_of()
{
	case $1 in
	0) echo pass ;;
	4) echo skip ;;
	137|143) echo "does not end" ;;
	*) echo "fail ($1)" ;;
	esac
}

# Run tests of the kernel's own; status and output go to files in the folder $1. In
# the output, what differs from run to run is struck out: addresses, processes,
# and times.
run_kernel_tests()
{
	folder=$1
	shift
	mkdir -p "$folder"
	for test in "$@"; do
		timeout -s KILL $((100 * ${PATIENCE:-1})) "./kernel/$test" >log 2>&1
		echo $? >"$folder/$test.status"
		sed -e 's/\([pt]id\)=[0-9]*/\1=N/g' -e 's/0x[0-9a-f]\{6,\}/ADDRESS/g' \
			-e 's/[0-9]\{5,\}/N/g' log >"$folder/$test.output"
	done
}

# Print both results of the test $1, in the try $2; false if they differ.
compare_kernel_test()
{
	if cmp -s "without/$1.status" "with/$1.status" &&
	   cmp -s "without/$1.output" "with/$1.output"; then
		same=same
	else
		same=different
	fi
	[ "$2" = 1 ] || same="$same, try $2"
	echo "# $1: without the module: $(result_of "$(cat "without/$1.status")")," \
		"with: $(result_of "$(cat "with/$1.status")") ($same)"
	[ "${same%%,*}" = same ]
}

# The kernel's own tests of KVM's Hyper-V interface end as without the module.
# Some take times, and fail now and then for the emulation: what differs is run
# again, both ways.
case_kernel_tests_unchanged()
{
	differ=$(ls kernel)
	for try in $(seq 10); do
		tests=$differ
		# shellcheck disable=SC2086 # a word is a test
		run_kernel_tests without $tests && load &&
			run_kernel_tests with $tests && unload || return
		differ=
		for test in $tests; do
			compare_kernel_test "$test" "$try" || differ="$differ $test"
		done
		[ -n "$differ" ] || return 0
	done
	for test in $differ; do
		sed "s/^/# $test without: /" "without/$test.output"
		sed "s/^/# $test with: /" "with/$test.output"
	done
	why "the module makes a difference to$differ"
}

run_cases module_test.sh "$@"
