/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SRCU_H
#define _FUZZ_LINUX_SRCU_H

#include <linux/rcupdate.h>

/* Callbacks run, from a worker, when there is no reader. */
struct srcu_struct {
	unsigned int readers;
};

#define DEFINE_STATIC_SRCU(name)	static struct srcu_struct name

static inline int srcu_read_lock(struct srcu_struct *srcu)
{
	srcu->readers++;
	return 0;
}

static inline void srcu_read_unlock(struct srcu_struct *srcu, int idx)
{
	shim_check(srcu->readers);
	srcu->readers--;
}

static inline bool srcu_read_lock_held(const struct srcu_struct *srcu)
{
	return srcu->readers;
}

#define srcu_dereference(at, srcu)					\
	({								\
		shim_check((srcu)->readers);				\
		READ_ONCE(at);						\
	})

static inline void synchronize_srcu(struct srcu_struct *srcu)
{
	might_sleep();
	shim_check(!srcu->readers);
}

static inline void synchronize_rcu_tasks(void)
{
	might_sleep();
}

void call_srcu(struct srcu_struct *srcu, struct rcu_head *head,
	       rcu_callback_t func);

#endif /* _FUZZ_LINUX_SRCU_H */
