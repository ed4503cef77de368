/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SCHED_SIGNAL_H
#define _FUZZ_LINUX_SCHED_SIGNAL_H

#include <linux/sched.h>

#define ERESTARTSYS	512

/* A sleeper that is not woken finds a signal. */
extern bool shim_signal;

static inline bool signal_pending(struct task_struct *task)
{
	return shim_signal;
}

#endif /* _FUZZ_LINUX_SCHED_SIGNAL_H */
