/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SCHED_H
#define _FUZZ_LINUX_SCHED_H

#include <linux/bug.h>
#include <linux/types.h>

struct mm_struct;

struct task_struct {
	struct mm_struct *mm;
};

extern struct task_struct shim_task;

#define current		(&shim_task)

void might_sleep(void);

static inline void cond_resched(void)
{
	might_sleep();
}

#endif /* _FUZZ_LINUX_SCHED_H */
