/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_WAIT_BIT_H
#define _FUZZ_LINUX_WAIT_BIT_H

#include <linux/wait.h>

/* Whoever waits so waits for workers, and they have run by then. */
#define wait_var_event(var, condition)	shim_check(condition)

static inline void wake_up_var(void *var)
{
}

#endif /* _FUZZ_LINUX_WAIT_BIT_H */
