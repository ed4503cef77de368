#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Run in the lab under -icount: the figures without the module, then with it.
set -e
/opt/cost unloaded
insmod /opt/hv_postmsg.ko
/opt/cost loaded
rmmod hv_postmsg
