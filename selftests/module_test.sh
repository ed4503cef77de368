#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: module_test.sh
#
# Loading and unloading the module: when it is refused, what it leaves behind.
# Runs in the lab (busybox), with the module not loaded. TAP output.
#
# Expects beside itself: hv_postmsg.ko, hook_owner.ko, load_module, hold, kernel/*.

cd "$(dirname "$0")" || exit 1
here=$PWD
number=0
failed=0
skipped=
held=
ftrace=/proc/sys/kernel/ftrace_enabled
tracing=/sys/kernel/tracing

loaded()
{
	grep -q "^$1 " /proc/modules
}

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

# Start "hold $1"; its output is in held.log.
hold()
{
	./hold "$1" >held.log 2>&1 &
	held=$!
	for _ in $(seq 300); do
		! grep -q ready held.log || return 0
		[ -d /proc/$held ] || break
		sleep 0.1
	done
	cat held.log
	why "hold $1 did not start"
}

release()
{
	[ -z "$held" ] || {
		kill -9 $held
		wait $held
	} 2>/dev/null
	held=
}

# Wait until the module is not in use: files close after their process is gone.
unused()
{
	for _ in $(seq 300); do
		[ "$(cat /sys/module/hv_postmsg/refcnt)" != 0 ] || return 0
		sleep 0.1
	done
	why "the module is still in use by $(cat /sys/module/hv_postmsg/refcnt)"
}

# run NAME: run the function case_NAME, report, and clean up after it.
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
	echo nop >$tracing/current_tracer
	[ ! -d $tracing/events/kprobes ] || echo 0 >$tracing/events/kprobes/enable
	echo >$tracing/kprobe_events
	[ "$(cat $ftrace)" = 1 ] || echo 1 >$ftrace
	! loaded hook_owner || rmmod hook_owner
	if loaded hv_postmsg; then
		unused && unload
	fi
	loaded "$vendor" || modprobe "$vendor"
	echo "# $1: $(($(date +%s) - start)) s"
}

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

# --- refusals ---

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

# The functions of KVM that the module replaces, while it is loaded.
replaced()
{
	sed -n 's/^\(kvm_[a-z_]*\) \[kvm\].* I .*/\1/p' $tracing/enabled_functions
}

# Every function that it replaces, taken by another before.
case_load_refused_if_hooked_by_another()
{
	load || return
	functions=$(replaced)
	unload || return
	echo "$functions" | grep -q kvm_hv_hypercall ||
		why "no functions: $functions" || return
	for function in $functions; do
		dmesg -c >/dev/null
		./load_module hook_owner.ko function="$function" ||
			why "hook_owner does not load for $function" || return
		! ./load_module hv_postmsg.ko 2>/dev/null ||
			why "loaded in spite of $function" || return
		said
		[ "$(said | wc -l)" = 1 ] || why "not one line" || return
		said | grep -q "$function" || why "not a clear one" || return
		rmmod hook_owner
	done
	load && ./hold post
}

case_hooks_cannot_be_taken()
{
	load || return
	! ./load_module hook_owner.ko function=kvm_hv_hypercall 2>/dev/null ||
		why "taken" || return
	./hold post
}

# --- others who look at the same functions ---

case_function_tracer()
{
	echo kvm_hv_hypercall >$tracing/set_ftrace_filter
	echo function >$tracing/current_tracer || return
	load && ./hold post || return
	head -n 100 $tracing/trace | grep -q kvm_hv_hypercall || why "not traced" || return
	unload || return
	load || return
	echo nop >$tracing/current_tracer
	./hold post || return
	echo function >$tracing/current_tracer
	./hold post
	result=$?
	echo >$tracing/set_ftrace_filter
	return $result
}

case_kprobes()
{
	echo 'p:before kvm_hv_hypercall' >$tracing/kprobe_events || return
	echo 1 >$tracing/events/kprobes/enable
	load && ./hold post || return
	echo 'r:after kvm_hv_process_stimers' >>$tracing/kprobe_events ||
		why "no kretprobe while loaded" || return
	echo 1 >$tracing/events/kprobes/enable
	./hold post || return
	grep -q before: $tracing/trace || why "not traced" || return
	unload
	result=$?
	echo 0 >$tracing/events/kprobes/enable
	return $result
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
	before=$(unreclaimable)
	for _ in 1 2 3 4; do
		./hold churn || return
	done
	unused || return
	after=$(unreclaimable)
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

vendor=kvm_amd
loaded kvm_amd || vendor=kvm_intel
PATH=$PATH:$here

cases=$(sed -n 's/^case_\([a-z_]*\)()$/\1/p' module_test.sh)
echo "TAP version 13"
echo "1..$(echo "$cases" | wc -l)"
for name in $cases; do
	run "$name"
done
[ $failed = 0 ]
