// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owner: a partition must not outlive the process it serves just because somebody
 * else holds its file.
 */
#include <linux/sched/mm.h>

#include "owner.h"
#include "partition.h"

static void owner_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct hvpm_owner *owner =
		container_of(notifier, struct hvpm_owner, notifier);

	hvpm_partition_shutdown(owner->partition);
}

/* Behind all callbacks on behalf of the address space. */
static void owner_free(struct mmu_notifier *notifier)
{
	struct hvpm_owner *owner =
		container_of(notifier, struct hvpm_owner, notifier);

	hvpm_partition_unbound(owner->partition);
}

static const struct mmu_notifier_ops owner_notifier_ops = {
	.release = owner_release,
	.free_notifier = owner_free,
};

/**
 * hvpm_owner_bind - end a partition when an address space ends
 * @owner: the link
 * @partition: the partition
 * @mm: the address space; its memory is pinned by the caller
 *
 * Context: may sleep; takes mmap_lock.
 * Return: 0; -ESHUTDOWN the address space is gone already; -ENOMEM.
 */
int hvpm_owner_bind(struct hvpm_owner *owner, struct hvpm_partition *partition,
		    struct mm_struct *mm)
{
	int ret;

	owner->partition = partition;
	owner->notifier.ops = &owner_notifier_ops;

	if (!mmget_not_zero(mm))
		return -ESHUTDOWN;
	/* Once registered, the end of the address space can come at any time. */
	partition->owner = owner;
	ret = mmu_notifier_register(&owner->notifier, mm);
	if (ret)
		partition->owner = NULL;
	mmput(mm);
	return ret;
}

/**
 * hvpm_owner_unbind - undo hvpm_owner_bind()
 * @owner: the link
 *
 * Behind it comes hvpm_partition_unbound(), when no shutdown on behalf of the
 * address space is under way any more.  Nobody waits for that.
 *
 * Context: any but an interrupt; does not sleep.
 */
void hvpm_owner_unbind(struct hvpm_owner *owner)
{
	mmu_notifier_put(&owner->notifier);
}
