#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The demo, run inside the lab (see selftests/demo/run): loads the module, plays
# the acts, unloads it. The exit status is 0 only if all of that went well.

set -u
# shellcheck disable=SC3040 # busybox has it
set -o pipefail

failed=''

# Play a part: $1 is its name, the rest the command.
play()
{
	name=$1
	shift
	start=$(cut -d . -f 1 /proc/uptime)
	# The library of the guests tells its random seed, which nothing uses.
	if "$@" 2>&1 | grep -v '^Random seed:'; then
		echo "$name: passed after $(($(cut -d . -f 1 /proc/uptime) - start)) s"
	else
		echo "$name: FAILED"
		failed="$failed, $name"
	fi
}

echo "loading hv_postmsg into $(uname -r)"
insmod /opt/demo/hv_postmsg.ko || exit 1

play control /opt/demo/messages 0
play 'act 1' /opt/demo/messages 1
play 'act 2' /opt/demo/messages 2
play 'act 3' /opt/vmbus/vmbus.sh

echo "unloading hv_postmsg"
if ! rmmod hv_postmsg || [ -e /sys/module/hv_postmsg ]; then
	failed="$failed, rmmod"
fi
[ -z "$failed" ] || echo "failed: ${failed#, }"
[ -z "$failed" ]
