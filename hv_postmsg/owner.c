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

static const struct mmu_notifier_ops owner_notifier_ops = {
	.release = owner_release,
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
	ret = mmu_notifier_register(&owner->notifier, mm);
	mmput(mm);
	return ret;
}

/**
 * hvpm_owner_unbind - undo hvpm_owner_bind()
 * @owner: the link
 *
 * Context: may sleep; not from the notifier.  On return no shutdown on behalf of
 *	the address space is under way.
 */
void hvpm_owner_unbind(struct hvpm_owner *owner)
{
	mmu_notifier_unregister(&owner->notifier, owner->notifier.mm);
}
