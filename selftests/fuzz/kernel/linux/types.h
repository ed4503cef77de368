/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_TYPES_H
#define _FUZZ_LINUX_TYPES_H

#include_next <linux/types.h>
#include <sys/types.h>

#define __percpu
#define __rcu
#define __iomem
#define __uninitialized

typedef struct {
	s64 counter;
} atomic64_t;

#define U32_MAX	((u32)~0u)

typedef unsigned int __poll_t;

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

typedef void (*rcu_callback_t)(struct rcu_head *head);

#endif /* _FUZZ_LINUX_TYPES_H */
