#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: run_tests.sh [TEST...]
#
# Run the selftests and add up their cases. Runs in the lab (busybox), with the
# module not loaded and all programs beside this file. Without arguments, the
# tests named in the file "tests".
#
# Prints one TAP stream, whose cases are named TEST: CASE, and at the end
#	N passed, N failed, N skipped
# A test that dies, is killed for its time or does not run all of the cases it
# has announced counts as a failed case; so does a skip without a reason.
#
# PATIENCE=N in the environment makes all time limits N times as long, FEWER=N lets
# the tests do an Nth of what they do very often. On a kernel that looks for leaks, the
# last cases are that it finds none.

cd "$(dirname "$0")" || exit 1
counts=/tmp/counts
kmemleak=/sys/kernel/debug/kmemleak
gcov=/sys/kernel/debug/gcov

# Seconds a test may take, all of its cases together.
limit()
{
	case $1 in
	module_test.sh|tracer_test.sh|order_test|endpoint_test|timer_test|limits_test)
		seconds=600 ;;
	*) seconds=400 ;;
	esac
	echo $((seconds * ${PATIENCE:-1}))
}

# Rename and number the cases in the TAP of test $1, count them in $counts.
# The last line of its input is "exit STATUS".
collect()
{
	awk -v test="$1" -v limit="$2" -v counts=$counts '
	BEGIN {
		getline line < counts
		close(counts)
		split(line, count)
		number = count[1] + count[2] + count[3]
		seen = bad = 0
		plan = -1
	}

	function verdict(which, text) {
		count[which]++
		number++
		print (which == 2 ? "not ok " : "ok ") number " " test ": " text
		fflush()
	}

	/^1\.\.[0-9]+/ && plan < 0 {
		plan = substr($1, 4) + 0
		if (plan == 0 && /# SKIP ./) {
			sub(/^1\.\.0 */, "")
			verdict(3, $0)
		}
		next
	}
	/^TAP version/ { next }
	/^Random seed: / { next }
	/^(ok|not ok) [0-9]+ / {
		seen++
		good = $1 == "ok"
		text = $0
		sub(/^(not )?ok [0-9]+ (- )?/, "", text)
		sub(/^global\./, "", text)
		if (!good) {
			bad = 1
			verdict(2, text)
		} else if (text ~ /# SKIP/) {
			reason = text
			sub(/.*# SKIP */, "", reason)
			if (reason == "" || reason == "unknown") {
				print "# skipped without a reason"
				verdict(2, text)
			} else {
				verdict(3, text)
			}
		} else {
			verdict(1, text)
		}
		next
	}
	/^exit [0-9]+$/ {
		status = $2
		next
	}
	{
		print
		fflush()
	}

	END {
		if (status == 143 || status == 137)
			verdict(2, "ended within " limit " s")
		else if (plan < 0)
			verdict(2, "ran (exit status " status ")")
		else if (seen != plan)
			verdict(2, "ran all of its cases (" seen " of " plan ", exit status " status ")")
		else if (status != 0 && status != 4 && !bad)
			verdict(2, "exited with 0 (exit status " status ")")
		print count[1] + 0, count[2] + 0, count[3] + 0 > counts
	}'
}

# One named case of this script: case TEXT COMMAND...
case_of_ours()
{
	text=$1
	shift
	{
		echo "1..1"
		if "$@" 2>&1; then
			echo "ok 1 $text"
		else
			echo "not ok 1 $text"
		fi
		echo "exit 0"
	} | collect module 0
}

run()
{
	seconds=$(limit "$1")
	echo "# $1"
	{
		timeout -s KILL "$seconds" ./"$1" 2>&1
		echo "exit $?"
		# Cases are processes, too; what is left would hold the module.
		killall -q -9 "$1"
	} | collect "$1" "$seconds"
}

load()
{
	insmod ./hv_postmsg.ko
}

unload()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(cat /sys/module/hv_postmsg/refcnt)" != 0 ] || break
		sleep 1
	done
	rmmod hv_postmsg
}

not_loaded()
{
	[ ! -d /sys/module/hv_postmsg ]
}

# What nothing points at any more, and what was seen so twice: a pointer may be on
# its way from one place to another.
no_leaks()
{
	# Younger than that, it is no leak yet.
	sleep 6
	echo scan >$kmemleak && echo scan >$kmemleak || return
	! grep '' $kmemleak
}

# What was run of a module that counts it, for coverage/run: a line for each file.
# The kernel keeps it when the module is unloaded.
tell_coverage()
{
	[ -d $gcov ] || return
	find $gcov -name '*.gcda' | while read -r file; do
		echo "# gcda ${file#$gcov} $(gzip -c <"$file" | base64 | tr -d '\n')"
	done
}

echo "TAP version 13"
echo "0 0 0" >$counts
# shellcheck disable=SC2046 # a word is a test
[ $# -gt 0 ] || set -- $(cat tests)

# First the scripts, which load it by themselves, then all the others.
programs=
for test in "$@"; do
	case $test in
	*.sh) run "$test" ;;
	*) programs="$programs $test" ;;
	esac
done
if [ -n "$programs" ]; then
	case_of_ours "loads" load
	for test in $programs; do
		run "$test"
	done
	[ ! -e $kmemleak ] || case_of_ours "leaks nothing" no_leaks
	case_of_ours "unloads after all" unload
else
	case_of_ours "is not loaded after all" not_loaded
fi
[ ! -e $kmemleak ] || case_of_ours "leaks nothing as it is unloaded" no_leaks
tell_coverage

read -r passed failed skipped <$counts
echo "1..$((passed + failed + skipped))"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
