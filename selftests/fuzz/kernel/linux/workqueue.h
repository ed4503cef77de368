/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_WORKQUEUE_H
#define _FUZZ_LINUX_WORKQUEUE_H

#include <linux/rcupdate.h>

/* Work waits until the program runs it: see core_run_work(). */
struct work_struct {
	void (*func)(struct work_struct *work);
	struct work_struct *next;
	bool queued;
};

struct workqueue_struct;

struct rcu_work {
	struct work_struct work;
	struct rcu_head rcu;
};

#define WQ_UNBOUND	2

#define INIT_WORK(item, function)					\
	do {								\
		(item)->func = (function);				\
		(item)->queued = false;					\
	} while (0)

#define INIT_RCU_WORK(item, function)	INIT_WORK(&(item)->work, function)

static inline struct rcu_work *to_rcu_work(struct work_struct *work)
{
	return (struct rcu_work *)work;
}

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags,
					 int max_active);
void destroy_workqueue(struct workqueue_struct *queue);
bool queue_work(struct workqueue_struct *queue, struct work_struct *work);
bool queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work);

#endif /* _FUZZ_LINUX_WORKQUEUE_H */
