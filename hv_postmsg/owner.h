/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owner: the address space that a partition lives and dies with.
 */
#ifndef _HV_POSTMSG_OWNER_H
#define _HV_POSTMSG_OWNER_H

#include <linux/mmu_notifier.h>

struct hvpm_partition;

/**
 * struct hvpm_owner - link between a partition and an address space
 *
 * @notifier: tells of the address space's end; its memory is used until
 *	hvpm_partition_unbound()
 * @partition: what ends with it, constant
 */
struct hvpm_owner {
	struct mmu_notifier notifier;
	struct hvpm_partition *partition;
};

int hvpm_owner_bind(struct hvpm_owner *owner, struct hvpm_partition *partition,
		    struct mm_struct *mm);
void hvpm_owner_unbind(struct hvpm_owner *owner);

#endif /* _HV_POSTMSG_OWNER_H */
