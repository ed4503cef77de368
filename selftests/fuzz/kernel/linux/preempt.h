/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_PREEMPT_H
#define _FUZZ_LINUX_PREEMPT_H

/* There is one thread. */
static inline void preempt_disable(void)
{
}

static inline void preempt_enable(void)
{
}

#endif /* _FUZZ_LINUX_PREEMPT_H */
