#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: tracer_test.sh [CASE...]
#
# Others who use the functions that the module hooks: live patches, probes, tracers.
# Whoever comes second shares them or is refused; nobody is broken silently, so
# whoever is there sees his calls, and posts arrive. Runs in the lab (busybox), with
# the module not loaded. TAP output.
#
# Expects beside itself: cases.sh, hv_postmsg.ko, load_module, hold, bpf_owner,
# patch_owner.ko, probe_owner.ko.

cd "$(dirname "$0")" || exit 1
# A word of a list is a function.
# shellcheck disable=SC2086
# shellcheck source=selftests/cases.sh
. ./cases.sh

livepatch=/sys/kernel/livepatch/patch_owner

# What the module hooks: called directly by the call site, as a BPF trampoline is,
# whom there is but one of; as one who may redirect, whom there is but one of, and not
# beside the former; and as one who looks.
direct="kvm_hv_hypercall"
replaced="kvm_hv_process_stimers kvm_hv_set_msr_common kvm_vcpu_block kvm_vcpu_halt
	kvm_vcpu_reset"
observed="kvm_apic_set_eoi_accelerated kvm_hv_synic_send_eoi"
functions=$(echo $replaced $observed $direct)

# --- users: attach_USER FUNCTION..., counts_USER, detach_USER ---

# What a USER's functions share: those that it is attached to, and how often it has
# seen each of them called, as "N,N,...".
attached=

# Is there such a tracer?
tracer_there()
{
	grep -qw "$1" $tracing/available_tracers || skip "this kernel has no tracer $1"
	[ -z "$skipped" ]
}

attach_tracer()
{
	tracer=$1
	shift
	echo "$*" >$tracing/set_ftrace_filter
	echo "$tracer" >$tracing/current_tracer
}

attach_function()
{
	tracer_there function || return
	attach_tracer function "$@"
}

attach_graph()
{
	tracer_there function_graph || return
	attach_tracer function_graph "$@"
}

# Lines of the trace, " NAME [kvm] <-CALLER" or " NAME [kvm]()", by name.
counts_tracer()
{
	awk -v names="$attached" '
	BEGIN { n = split(names, name) }
	{
		for (i = 1; i <= n; i++)
			if ($0 ~ "[ |]" name[i] "( \\[kvm\\])?( <-|\\(\\))")
				count[i]++
	}
	END {
		for (i = 1; i <= n; i++)
			printf("%s%d", i == 1 ? "" : ",", count[i])
		print ""
	}' $tracing/trace
}

counts_function()
{
	counts_tracer
}

counts_graph()
{
	counts_tracer
}

detach_function()
{
	echo nop >$tracing/current_tracer
	echo >$tracing/set_ftrace_filter
}

detach_graph()
{
	detach_function
}

# A module that counts; $1 is "MODULE PARAMETERS".
attach_module()
{
	./load_module ${1%% *}.ko "${1#* }" 2>error
}

attach_probe()
{
	how=$1
	shift
	attach_module "probe_owner how=$how functions=$(echo "$*" | tr ' ' ',')"
}

attach_kprobe()
{
	attach_probe kprobe "$@"
}

attach_kprobe_post()
{
	attach_probe kprobe_post "$@"
}

attach_kretprobe()
{
	attach_probe kretprobe "$@"
}

# Such as a live patch is.
attach_hook()
{
	attach_probe hook "$@"
}

# Not all kernels have them.
attach_fprobe()
{
	attach_probe "${fprobe:-fprobe}" "$@" && return
	! grep -q "not supported" error || skip "this kernel has no fprobes"
	false
}

counts_probe_owner()
{
	cat /sys/module/probe_owner/parameters/calls
}

detach_probe_owner()
{
	rmmod probe_owner
}

for user in kprobe kprobe_post kretprobe fprobe hook; do
	eval "counts_$user() { counts_probe_owner; }"
	eval "detach_$user() { detach_probe_owner; }"
done

# A live patch is in force, or gone, only when all tasks have come along.
attach_patch()
{
	attach_module "patch_owner function=$1" || return
	for _ in $(seq 600); do
		[ "$(cat $livepatch/transition)" = 1 ] || return 0
		sleep 0.1
	done
	why "the live patch does not come into force"
}

counts_patch()
{
	cat /sys/module/patch_owner/parameters/calls
}

detach_patch()
{
	echo 0 >$livepatch/enabled
	for _ in $(seq 600); do
		[ -d $livepatch ] || break
		sleep 0.1
	done
	unused patch_owner && rmmod patch_owner
}

bpf=

attach_bpf()
{
	how=$1
	shift
	[ -e /sys/kernel/btf/kvm ] || {
		skip "this kernel has no types of its modules, which BPF needs"
		return 1
	}
	rm -f bpf.in
	mkfifo bpf.in
	./bpf_owner "$how" "$@" <bpf.in >bpf.log 2>&1 &
	bpf=$!
	exec 7>bpf.in
	held=$bpf
	wait_for bpf.log ready
	result=$?
	held=
	return $result
}

attach_fentry()
{
	attach_bpf fentry "$@"
}

attach_fexit()
{
	attach_bpf fexit "$@"
}

counts_bpf()
{
	lines=$(wc -l <bpf.log)
	echo >&7
	for _ in $(seq 100); do
		[ "$(wc -l <bpf.log)" -le "$lines" ] || break
		sleep 0.1
	done
	tail -n 1 bpf.log
}

detach_bpf()
{
	exec 7>&-
	wait $bpf
	bpf=
}

for user in fentry fexit; do
	eval "counts_$user() { counts_bpf; }"
	eval "detach_$user() { detach_bpf; }"
done

clean_up()
{
	[ -z "$bpf" ] || detach_bpf
	detach_function
	[ ! -d $livepatch ] || detach_patch
	for module in probe_owner patch_owner; do
		! loaded $module || rmmod $module
	done
}

# --- what is tried ---

# Attach a user to functions, or say why it is not possible.
attach()
{
	user=$1
	shift
	attached=$*
	"attach_$user" "$@" && return
	[ -z "$skipped" ] || return
	cat error bpf.log 2>/dev/null | sed 's/^/# /'
	why "$user cannot be attached to $*"
}

# sees USER HOW: run "hold HOW"; does the user see each function called?
sees()
{
	before=$("counts_$1")
	./hold "$2" || why "hold $2 fails beside $1" || return
	after=$("counts_$1")
	unseen=$(echo "$before,$after" | awk -F, -v names="$attached" \
		-v never=kvm_apic_set_eoi_accelerated '{
		n = split(names, name, " ")
		for (i = 1; i <= n; i++)
			if (name[i] != never && $(NF / 2 + i) + 0 <= $i + 0)
				print name[i]
	}')
	[ -z "$unseen" ] || why "hold $2: $1 does not see" $unseen
}

# Is the load refused, and does one line say so, with the function?
load_refused()
{
	dmesg -c >/dev/null
	! ./load_module hv_postmsg.ko 2>error || why "loaded in spite of $1" || return
	grep -q "busy" error || why "not by EBUSY: $(cat error)" || return
	said
	[ "$(said | wc -l)" = 1 ] || why "not one line" || return
	said | grep -q "$1" || why "not a clear one"
}

# shares USER [FUNCTION...]: it and the module in both orders, each for itself
# before, behind and at the same time.
shares()
{
	user=$1
	shift
	[ $# -gt 0 ] || set -- $functions

	attach "$user" "$@" || return
	sees "$user" plain || return
	load && sees "$user" all && unload || return
	sees "$user" plain || return
	load || return
	"detach_$user"
	./hold all || why "posts do not arrive behind $user" || return

	attach "$user" "$@" || return
	sees "$user" all && sees "$user" plain && unload || return
	sees "$user" plain || return
	"detach_$user"
	./hold plain
}

# excludes USER FUNCTION...: the module or the user has each of them.
excludes()
{
	user=$1
	shift
	for function in "$@"; do
		attach "$user" "$function" || return
		load_refused "$function" || return
		sees "$user" plain || return
		"detach_$user"
	done
	load || return
	for function in "$@"; do
		! "attach_$user" "$function" ||
			why "$user takes $function away" || return
		[ -z "$bpf" ] || detach_bpf 2>>bpf.log
		cat error bpf.log 2>/dev/null | grep -q "busy" ||
			why "not by EBUSY: $(cat error bpf.log)" || return
	done
	./hold all && unload
}

# A user that cannot be had here is a skipped case.
share()
{
	shares "$@" || [ -n "$skipped" ]
}

# One who may redirect shares where the module observes.
exclude()
{
	excludes "$1" $direct $replaced && shares "$1" $observed ||
		[ -n "$skipped" ]
}

# A BPF program, where the module is not called directly.
share_bpf()
{
	shares "$1" $replaced $observed && excludes "$1" $direct ||
		[ -n "$skipped" ]
}

# Words, sorted, on one line.
sorted()
{
	printf '%s\n' "$@" | sort | tr '\n' ' '
}

# Otherwise the cases below would be about other functions.
case_functions_are_known()
{
	load || return
	list=$tracing/enabled_functions
	found=$(awk '$2 == "[kvm]" {
		for (i = 4; i <= NF && $i !~ /[a-z]/; i++)
			if ($i == "D")
				print $1
	}' $list)
	[ "$(sorted $found)" = "$(sorted $direct)" ] ||
		why "called directly:" $found || return
	found=$(sed -n 's/^\(kvm_[a-z_]*\) \[kvm\] ([0-9]*) *I .*/\1/p' $list)
	[ "$(sorted $found)" = "$(sorted $replaced)" ] ||
		why "replaced:" $found || return
	found=$(sed -n 's/^\(kvm_[a-z_]*\) \[kvm\] .*/\1/p' $list)
	[ "$(sorted $found)" = "$(sorted $functions)" ] || why "hooked:" $found
}

# --- those who share ---

case_function_tracer()
{
	share function
}

case_function_graph_tracer()
{
	share graph
}

case_kprobe()
{
	share kprobe
}

case_kretprobe()
{
	share kretprobe
}

case_fprobe()
{
	share fprobe
}

case_fprobe_return()
{
	fprobe=fprobe_return
	share fprobe
	result=$?
	fprobe=
	return $result
}

case_bpf_fentry()
{
	share_bpf fentry
}

case_bpf_fexit()
{
	share_bpf fexit
}

# All that can be had, on top of each other.  What fexit is not attached to comes last
# in the list, whose order is that of all counts.
case_all_who_share()
{
	attach function $functions && attach kretprobe $functions || return
	load || return
	[ ! -e /sys/kernel/btf/kvm ] || {
		attach fexit $replaced $observed && sees fexit all || return
	}
	sees function all && sees kretprobe all && unload || return
	sees function plain && sees kretprobe plain
}

# --- those who do not ---

case_live_patch()
{
	excludes patch $direct $replaced || return
	# That patch is one of a single function.
	for function in $observed; do
		shares patch "$function" || return
	done
}

case_kprobe_that_may_redirect()
{
	exclude kprobe_post
}

case_hook_that_may_redirect()
{
	exclude hook
}

run_cases tracer_test.sh "$@"
