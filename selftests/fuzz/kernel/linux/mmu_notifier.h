/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_MMU_NOTIFIER_H
#define _FUZZ_LINUX_MMU_NOTIFIER_H

#include <linux/sched/mm.h>
#include <linux/workqueue.h>

struct mmu_notifier;

struct mmu_notifier_ops {
	void (*release)(struct mmu_notifier *notifier, struct mm_struct *mm);
	void (*free_notifier)(struct mmu_notifier *notifier);
};

struct mmu_notifier {
	const struct mmu_notifier_ops *ops;
	struct mm_struct *mm;
	struct mmu_notifier *next;
	bool released;
	struct work_struct work;
};

int mmu_notifier_register(struct mmu_notifier *notifier, struct mm_struct *mm);
void mmu_notifier_put(struct mmu_notifier *notifier);

#endif /* _FUZZ_LINUX_MMU_NOTIFIER_H */
