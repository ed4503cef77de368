#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Act 3 of the demo, run inside the lab (started with --host-root, --cpus 1 and at
# least 1536 MiB; hv_postmsg loaded): an unmodified Debian kernel boots as a guest of
# unmodified Debian QEMU. When it runs, vmbus_host attaches the module to its VM
# and answers its VMBus handshake: once with the guest's newest protocol, once
# more with 4.1, which goes over another connection.
#
# With the argument --bridge the module stays out and QEMU's own VMBus bridge
# answers: the control experiment, in which the same counting must find that every
# post reached QEMU.
#
# With the argument --crash the guest has Hyper-V's timers too, whose messages
# share the slot with VMBus, and does not unload its driver but panics: its Unload
# then goes out with interrupts off, from another VP than the one its messages go
# to. (Unloading the driver under such timers crashes a 6.12 guest, with QEMU's own
# bridge and no module as well: a last timer message finds the timers freed.)
#
# How "post-message exits seen by QEMU: none" is established, over the whole
# life of the VM:
#  - KVM's tracepoints, limited to QEMU's threads. KVM notes each
#    HvCallPostMessage when it begins (kvm_hv_hypercall, code 0x5c) and when its
#    result is set (kvm_hv_hypercall_done); KVM_RUN notes its return to QEMU
#    with KVM_EXIT_HYPERV (kvm_userspace_exit). A call that QEMU saw has the
#    second between the first two on its vCPU's thread. KVM_EXIT_HYPERV is also
#    the exit that tells QEMU of a write to SCONTROL, SIEFP or SIMP, so those
#    writes (kvm_msr) are counted too: exits = register writes + posts seen by
#    QEMU must hold, and no trace entry may be lost.
#  - The module's statistics: every post KVM noted was answered by the module,
#    none passed on.
#  - QEMU's own trace of its bridge, which would have taken these messages.

# shellcheck disable=SC3045 # busybox has read -t
# shellcheck disable=SC2015 # what fails in "a && b || fail" is a or b
set -u

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=/tmp/vmbus
TRACE=/sys/kernel/tracing/instances/vmbus
CONSOLE=$WORK/console.log

bridge='' crash='' timers='' panic=5 expected=5.2,4.1 sessions=2
case ${1-} in
'') ;;
--bridge) bridge=1 ;;
--crash) crash=1 timers=,hv-stimer panic=0 expected=5.2 sessions=1 ;;
*) echo "usage: $0 [--bridge|--crash]" >&2; exit 2 ;;
esac

host=''

say()
{
	echo "act 3: $*"
}

# What is left of the guest and of the host's program says why.
fail()
{
	say "FAILED: $*"
	for log in console.log host.log qemu.log; do
		[ -s "$WORK/$log" ] || continue
		echo "--- the end of $log"
		tail -n 30 "$WORK/$log" | tr -d '\r'
	done
	if [ -e "$WORK/pid" ] && [ ! -e "$WORK/status" ]; then
		echo "--- where QEMU's threads are, and the guest's last exits"
		for task in "/proc/$(cat "$WORK/pid")"/task/*; do
			cat "$task/comm" "$task/stat" "$task/stack"
		done
		echo 1 > "$TRACE/events/kvm/enable"
		sleep 2
		tail -n 40 "$TRACE/trace"
	fi
	finish
	exit 1
}

finish()
{
	[ -z "$host" ] || kill -9 "$host" 2>/dev/null
	[ ! -e "$WORK/pid" ] || [ -e "$WORK/status" ] || kill -9 "$(cat "$WORK/pid")" 2>/dev/null
	wait
	[ ! -d "$TRACE" ] || rmdir "$TRACE"
}

# Wait for the guest's next word on its line: it must be $1 within $2 seconds.
expect()
{
	if ! read -r -t "$2" word <&3; then
		fail "the guest does not answer '$1' within $2 s"
	fi
	[ "$word" != gone ] || fail "QEMU ended"
	[ "$word" = "$1" ] || fail "the guest says '$word' instead of '$1'"
}

# Tell the guest.
tell()
{
	echo "$1" > "$WORK/line.in"
}

# Show what has come to a log since the last time.
shown_console=0 shown_host=0
show()
{
	sed -n "$((shown_host + 1)),\$s/^/  vmbus_host: /p" "$WORK/host.log"
	shown_host=$(wc -l < "$WORK/host.log")
	sed -n "$((shown_console + 1)),\$s/^/  guest: /p" "$CONSOLE" | tr -d '\r'
	shown_console=$(wc -l < "$CONSOLE")
}

# The value of $2 in the line of statistics of $1.
stat_of()
{
	sed -n "s/^stats: $1 .*\b$2=\([0-9]*\).*/\1/p" "$WORK/host.log"
}

[ -x /host/usr/bin/qemu-system-x86_64 ] ||
	{ say "no QEMU: start the lab with --host-root, and install qemu-system-x86"; exit 1; }
[ -n "$bridge" ] || [ -c /dev/hv_postmsg ] ||
	{ say "no /dev/hv_postmsg: is the module loaded?"; exit 1; }

rm -rf "$WORK"
mkdir -p "$WORK"
: > "$WORK/host.log"

#
# Trace. The clock is a counter: entries of all CPUs in one true order.
#
synic='ecx == 0x40000080 || ecx == 0x40000082 || ecx == 0x40000083'
mkdir "$TRACE" || fail "no trace instance"
{
	echo counter > "$TRACE/trace_clock" &&
	echo 1 > "$TRACE/options/event-fork" &&
	echo 'code == 0x5c' > "$TRACE/events/kvm/kvm_hv_hypercall/filter" &&
	echo 'reason == 27 && errno >= 0' > "$TRACE/events/kvm/kvm_userspace_exit/filter" &&
	echo "write == 1 && exception == 0 && ($synic)" > "$TRACE/events/kvm/kvm_msr/filter" &&
	for event in kvm_hv_hypercall kvm_hv_hypercall_done kvm_userspace_exit kvm_msr; do
		echo 1 > "$TRACE/events/kvm/$event/enable" || exit 1
	done
} || fail "the trace cannot be set up"

say "$(host-run qemu-system-x86_64 --version | head -n 1) boots an unmodified Debian kernel"
# Without XSAVE, whose layout nested emulation gets wrong: the guest would warn.
# With the timers' frequencies, which emulation is too slow to measure.
features=hv-relaxed,hv-vpindex,hv-synic,hv-time,hv-runtime,hv-frequencies

# Start QEMU. Its guest says "ready" on its line, or the line says "gone".
boot()
{
	rm -f "$WORK/pid" "$WORK/status" "$WORK"/line.* "$CONSOLE" "$WORK/qemu-trace.log"
	: > "$CONSOLE"
	mkfifo "$WORK/line.in" "$WORK/line.out"
	exec 3<> "$WORK/line.out"
	(
		# Traced from its first instruction on, with all threads it makes.
		# shellcheck disable=SC2016 # the inner shell expands these
		sh -c 'echo $$ > "$1/set_event_pid" && echo $$ > "$2/pid" &&
			shift 2 && exec "$@"' \
		sh "$TRACE" "$WORK" host-run qemu-system-x86_64 \
			-nodefaults -no-user-config -display none -no-reboot \
			-machine pc -accel kvm -smp 2 -m 256 \
			-cpu "host,-xsave,kvm=off,$features$timers" \
			-device vmbus-bridge -trace 'vmbus_*' -D "$WORK/qemu-trace.log" \
			-kernel "/mnt$HERE/vmlinuz" -initrd "/mnt$HERE/initrd" \
			-append "console=ttyS0,115200 quiet nokaslr panic=$panic" \
			-chardev "file,id=console,path=$CONSOLE" -serial chardev:console \
			-chardev "pipe,id=line,path=$WORK/line" -serial chardev:line \
			< /dev/null > "$WORK/qemu.log" 2>&1
		echo $? > "$WORK/status"
		echo gone > "$WORK/line.out"
	) &
}

#
# The nested SVM of QEMU 7.2's emulation can deliver an injected interrupt twice
# when it leaves a CPU of the lab in the wrong moment, and if that is while the
# guest has interrupts off it may hang: in a lab of two CPUs seen in many boots, in
# a lab of one (--cpus 1) in none. A guest that does not boot, which nothing has
# been attached to yet, is given two more chances.
#
start=$(cut -d . -f 1 /proc/uptime)
boot
try=1
until read -r -t 120 word <&3 && [ "$word" = ready ]; do
	[ ! -e "$WORK/status" ] || fail "QEMU ended"
	[ "$try" -lt 3 ] || fail "the guest did not boot in $try tries of 120 s"
	try=$((try + 1))
	say "the guest does not boot; try $try"
	kill -9 "$(cat "$WORK/pid")"
	wait
	echo > "$TRACE/trace"
	boot
done
qemu=$(cat "$WORK/pid")
show
say "the guest runs after $(($(cut -d . -f 1 /proc/uptime) - start)) s, in process $qemu"

if [ -z "$bridge" ]; then
	"$HERE/vmbus_host" "$qemu" > "$WORK/host.log" 2>&1 &
	host=$!
	tries=0
	until grep -q '^attached' "$WORK/host.log"; do
		kill -0 "$host" 2>/dev/null || fail "vmbus_host does not attach"
		tries=$((tries + 1))
		[ "$tries" -le 300 ] || fail "vmbus_host does not attach in time"
		sleep 0.1
	done
	show
fi

load()
{
	say "the guest loads its hv_vmbus${1:+ with $1}"
	if [ -n "$bridge" ]; then
		# QEMU has no device to offer.
		tell "load 1 $1"
		expect failed 90
	else
		tell "load 60 $1"
		expect ok 120
	fi
	show
}

unload()
{
	say "the guest unloads it"
	tell unload
	expect ok 60
	show
}

load ''
if [ -z "$crash" ]; then
	unload
	load max_version=0x40001
	unload
else
	say "the guest crashes"
	tell crash
	# It stays so, and the module can still be asked.
	tries=0
	until grep -q 'end Kernel panic' "$CONSOLE"; do
		tries=$((tries + 1))
		[ "$tries" -le 600 ] || fail "the guest does not crash to the end"
		sleep 0.1
	done
fi
if [ -z "$bridge" ]; then
	kill -TERM "$host"
	# Not holding our stdout, which a reader may want to see the end of.
	{ sleep 60; kill -9 "$host"; } > /dev/null 2>&1 &
	watchdog=$!
	wait "$host" || fail "vmbus_host ended with status $?"
	kill "$watchdog"
	host=
fi
show
if [ -n "$crash" ]; then
	kill -TERM "$qemu"
else
	tell off
fi
tries=0
until [ -e "$WORK/status" ]; do
	tries=$((tries + 1))
	[ "$tries" -le 600 ] || fail "QEMU does not end"
	sleep 0.1
done
status=$(cat "$WORK/status")
[ "$status" = 0 ] || fail "QEMU ended with status $status"

#
# Count.
#
echo 0 > "$TRACE/tracing_on"
cat "$TRACE/trace" > "$WORK/trace"
lost=$(cat "$TRACE"/per_cpu/cpu*/stats |
	awk '/^(overrun|commit overrun|dropped events):/ { n += $NF } END { print n + 0 }')
awk '
	!match($0, /-[0-9]+ +\[/) || /^#/ { next }
	{ thread = substr($0, RSTART + 1, RLENGTH - 2) + 0 }
	/ kvm_hv_hypercall: / { posts++; under_way[thread] = 1 }
	/ kvm_hv_hypercall_done: / { under_way[thread] = 0 }
	/ kvm_userspace_exit: / {
		exits++
		if (under_way[thread])
			seen++
		under_way[thread] = 0
	}
	/ kvm_msr: / { writes++ }
	END { print posts + 0, exits + 0, writes + 0, seen + 0 }
' "$WORK/trace" > "$WORK/counts"
read -r posts exits writes user_exits < "$WORK/counts"
messages=$(grep -c vmbus_recv_message "$WORK/qemu-trace.log" 2>/dev/null)
say "KVM saw $posts HvCallPostMessage, and $exits exits with KVM_EXIT_HYPERV:" \
	"$writes for SynIC registers, $user_exits for posts"
say "QEMU's own bridge saw ${messages:=0} messages"

console=$WORK/guest.log
tr -d '\r' < "$CONSOLE" > "$console"
version=$(sed -n 's/.*hv_vmbus: Vmbus version:\([0-9.]*\)$/\1/p' "$console" | tr '\n' ',')
version=${version%,}
[ -n "$version" ] || fail "no VMBus version in the guest's log"
complaints='WARNING:|BUG:|Oops|hv_vmbus: .*([Uu]nable|[Ff]ail|did not)'
[ -n "$crash" ] || complaints="$complaints|panic|Call Trace"
! grep -E "$complaints" "$console" || fail "the guest's kernel complains"
# Bits of its warnings, oopses and bad pages: those of its quiet boot as well.
tainted=$(sed -n 's/^init: tainted \([0-9]*\)$/\1/p' "$console" | tail -n 1)
[ $((${tainted:-512} & (512 | 128 | 32))) -eq 0 ] ||
	fail "the guest's kernel complained: tainted '$tainted'"
[ "$lost" -eq 0 ] || fail "$lost trace entries were lost"
[ "$exits" -eq $((writes + user_exits)) ] || fail "exits do not add up"
[ "$posts" -gt 0 ] || fail "no post was traced"

if [ -n "$bridge" ]; then
	say "control: version=$version posts=$posts user_exits=$user_exits qemu_messages=$messages"
	# The bridge itself knows connection 1 only, and no protocol from 5.0 on.
	[ "$user_exits" -eq "$posts" ] && [ "$messages" -gt 0 ] ||
		fail "QEMU answers, so every post must have reached it"
	finish
	exit 0
fi

device=$(sed -n 's,^init: /sys/bus/vmbus/devices/\([^:]*\):.*,\1,p' "$console" | sort -u)
devices=$(grep -c '^init: /sys/bus/vmbus/devices/' "$console")
unloads=$(grep -c '^init: hv_vmbus is unloaded, 0 device' "$console")
offered=$(sed -n 's/^host: Offer Channel, device \([^ ]*\) .*/\1/p' "$WORK/host.log" | sort -u)
offers=$(grep -c '^host: Offer Channel' "$WORK/host.log")
answers=$(grep -c '^host: Unload Response' "$WORK/host.log")

[ "$version" = "$expected" ] || fail "the guest negotiated $version, not $expected"
for way in guest-to-host host-to-guest; do
	[ "$(stat_of $way refused) $(stat_of $way passed)" = '0 0' ] ||
		fail "$way: posts were refused or passed on"
	[ "$(stat_of $way posted)" -gt 0 ] &&
	[ "$(stat_of $way delivered)" = "$(stat_of $way posted)" ] ||
		fail "$way: not all that was posted was delivered"
	[ "$(stat_of $way queued) $(stat_of $way freed) $(stat_of $way faults)" = '0 0 0' ] ||
		fail "$way: messages were left over"
done
[ "$(stat_of guest-to-host posted)" -eq "$posts" ] ||
	fail "KVM saw $posts posts, the module $(stat_of guest-to-host posted)"
[ "$device" = "$offered" ] && [ "$devices" -eq "$offers" ] && [ "$offers" -eq "$sessions" ] ||
	fail "device $offered was offered $offers times, the guest has '$device' $devices times"
[ -n "$crash" ] || [ "$unloads" -eq "$sessions" ] ||
	fail "the guest unloaded $unloads times"
[ "$answers" -eq "$sessions" ] || fail "$answers Unload Responses"
[ -z "$timers" ] || grep -q '^init: CPU 0 has timer Hyper-V' "$console" ||
	fail "the guest does not use Hyper-V's timers"
[ "$user_exits" -eq 0 ] && [ "$messages" -eq 0 ] || fail "QEMU saw posts"

finish
say "version=$version device=$device offers=$offers unload=$answers posts=$posts" \
	"user_exits=$user_exits"
