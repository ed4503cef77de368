// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host partition.
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "host.h"
#include "owner.h"
#include "partition.h"

/**
 * struct hvpm_host - a host partition
 *
 * @partition: the partition
 * @owner: the process that created it
 */
struct hvpm_host {
	struct hvpm_partition partition;
	struct hvpm_owner owner;
};

#define to_host(ptr)	container_of((ptr), struct hvpm_host, partition)

static void host_withdraw(struct hvpm_partition *partition)
{
	/* No VP calls on behalf of a host partition. */
}

static void host_free(struct hvpm_partition *partition)
{
	hvpm_partition_uninit(partition);
	kfree(to_host(partition));
}

static const struct hvpm_partition_ops host_ops = {
	.withdraw = host_withdraw,
	.free = host_free,
};

/**
 * hvpm_host_create - create a partition of the calling process
 *
 * Context: may sleep.
 * Return: the partition, with one reference for the caller; -ENOMEM.
 */
struct hvpm_partition *hvpm_host_create(void)
{
	struct hvpm_host *host;
	int ret;

	host = kzalloc(sizeof(*host), GFP_KERNEL_ACCOUNT);
	if (!host)
		return ERR_PTR(-ENOMEM);
	ret = hvpm_partition_init(&host->partition, &host_ops, 0, 1);
	if (ret)
		goto out_free;
	ret = hvpm_owner_bind(&host->owner, &host->partition, current->mm);
	if (ret)
		goto out_uninit;
	return &host->partition;

out_uninit:
	hvpm_partition_uninit(&host->partition);
out_free:
	kfree(host);
	return ERR_PTR(ret);
}
