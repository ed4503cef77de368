/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SCHED_MM_H
#define _FUZZ_LINUX_SCHED_MM_H

#include <linux/sched.h>

struct mmu_notifier;

/* An address space: its notifiers, until it ends. */
struct mm_struct {
	struct mmu_notifier *notifiers;
	bool ended;
	unsigned int users;
};

bool mmget_not_zero(struct mm_struct *mm);
void mmput(struct mm_struct *mm);

#endif /* _FUZZ_LINUX_SCHED_MM_H */
