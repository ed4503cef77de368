// SPDX-License-Identifier: GPL-2.0-only
/*
 * hv_postmsg: HvCallPostMessage answered inside KVM.
 */
#include <linux/module.h>

#include "device.h"
#include "kvm/hooks.h"
#include "partition.h"

static int __init hv_postmsg_init(void)
{
	int ret;

	ret = hvpm_partition_setup();
	if (ret)
		return ret;
	ret = hvpm_hooks_install();
	if (ret)
		goto out_partition;
	ret = hvpm_device_register();
	if (ret)
		goto out_hooks;
	return 0;

out_hooks:
	hvpm_hooks_remove();
out_partition:
	hvpm_partition_cleanup();
	return ret;
}

static void __exit hv_postmsg_exit(void)
{
	/* Every file holds the module: there is no partition any more. */
	hvpm_device_unregister();
	hvpm_hooks_remove();
	/* The last that waits for somebody in this module's code. */
	hvpm_partition_cleanup();
}

module_init(hv_postmsg_init);
module_exit(hv_postmsg_exit);

MODULE_AUTHOR("The hv_postmsg founders");
MODULE_DESCRIPTION("HvCallPostMessage answered inside KVM");
MODULE_VERSION("1.0.0");
MODULE_LICENSE("GPL");
