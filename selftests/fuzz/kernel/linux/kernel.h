/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_KERNEL_H
#define _FUZZ_LINUX_KERNEL_H

#include_next <linux/kernel.h>
#include <linux/err.h>
#undef synchronize_rcu

/* There is one thread. */
#define data_race(expression)	(expression)

#endif /* _FUZZ_LINUX_KERNEL_H */
