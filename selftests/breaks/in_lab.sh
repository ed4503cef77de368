#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: in_lab.sh
#
# What selftests/breaks/run has the lab do: one job after the other, each with a
# module of its own. Runs in the lab (busybox), with all programs beside this
# file. A line of the file "jobs" is
#	NUMBER MODULE SECONDS PROGRAM [ARGUMENT...]
#
# For each job it prints, and nothing that a test prints looks like one of these:
#	begin NUMBER
#	ok|not ok NUMBER TEXT		the test, which took SECONDS at most
#	complaint NUMBER TEXT		only if the kernel had something to say
#	unloaded NUMBER
# and at last "end". With a module that cannot be unloaded it stops.

cd "$(dirname "$0")" || exit 1
log=/tmp/log

# What the TAP in $log says of a program that has ended with status $1.
judge()
{
	awk -v status="$1" -v number="$number" -v limit="$limit" '
	/^not ok [0-9]+ / {
		sub(/^not ok [0-9]+ (- )?/, "")
		bad = bad (bad ? ", " : "") $0
	}
	/^ok [0-9]+ .*# SKIP|^1\.\.0 # SKIP/ {
		sub(/.*# SKIP */, "")
		skip = $0
	}
	/^ok [0-9]+ / { good++ }
	END {
		if (bad)
			print "not ok " number " not ok: " bad
		else if (status == 137 || status == 143)
			print "not ok " number " time-out: " limit " s"
		else if (skip)
			print "ok " number " # SKIP " skip
		else if (status != 0)
			print "not ok " number " died: exit status " status
		else if (!good)
			print "not ok " number " nothing ran"
		else
			print "ok " number
	}' $log
}

loaded()
{
	grep -q "^hv_postmsg " /proc/modules
}

# Files close after their process is gone.
unload()
{
	for _ in $(seq 20); do
		loaded || return 0
		[ "$(cat /sys/module/hv_postmsg/refcnt)" = 0 ] && break
		sleep 0.5
	done
	rmmod hv_postmsg
}

dmesg -c >/dev/null
while read -r number module limit program arguments; do
	echo "begin $number"
	cp "modules/$module.ko" hv_postmsg.ko
	[ ! -e "modules/$module.sites" ] || cp "modules/$module.sites" hv_postmsg.sites
	start=$(date +%s)
	# The scripts load it themselves.
	if [ "${program%.sh}" = "$program" ] && ! insmod hv_postmsg.ko 2>$log; then
		echo "not ok $number does not load: $(cat $log)"
		continue
	fi
	# shellcheck disable=SC2086 # a word is an argument
	timeout -s KILL "$limit" "./$program" $arguments >$log 2>&1 </dev/null
	status=$?
	# Cases are processes, too; what is left would hold the module.
	killall -q -9 "$program" hold bpf_owner
	# And so are others who use the functions that it hooks.
	rmmod probe_owner 2>/dev/null
	echo nop >/sys/kernel/tracing/current_tracer
	sed 's/^/# /' $log
	echo "# $(($(date +%s) - start)) s"
	judge $status
	unload || {
		echo "stuck $number"
		break
	}
	dmesg -c >$log
	! complaint=$(grep -m 1 -E -f complaints $log) ||
		echo "complaint $number $complaint"
	echo "unloaded $number"
done <./jobs
echo end
