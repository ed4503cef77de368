/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_WAIT_H
#define _FUZZ_LINUX_WAIT_H

#include <linux/sched/signal.h>
#include <linux/spinlock.h>

/*
 * Wait queues.  Who sleeps has the program do something else: see
 * core_on_sleep().  If that wakes the sleeper it goes on, else a signal comes.
 * That what it does must wake the sleeper is for the program to know.
 */
struct wait_queue_entry {
	struct wait_queue_entry *next;
	bool woken;
};

typedef struct wait_queue_head {
	struct wait_queue_entry *first;
} wait_queue_head_t;

#define DECLARE_WAIT_QUEUE_HEAD(name)	wait_queue_head_t name

#define TASK_INTERRUPTIBLE	1
#define MAX_SCHEDULE_TIMEOUT	0

#define DEFINE_WAIT_FUNC(name, func)	struct wait_queue_entry name = {}

static inline void init_waitqueue_head(wait_queue_head_t *head)
{
	head->first = NULL;
}

void add_wait_queue(wait_queue_head_t *head, struct wait_queue_entry *entry);
void remove_wait_queue(wait_queue_head_t *head, struct wait_queue_entry *entry);
void shim_wake_up(wait_queue_head_t *head);
void wait_woken(struct wait_queue_entry *entry, unsigned int mode, long timeout);

#define wake_up_interruptible_poll(head, mask)	shim_wake_up(head)
#define wake_up_interruptible_all(head)		shim_wake_up(head)
#define wake_up_all(head)			shim_wake_up(head)

static inline bool wq_has_sleeper(const wait_queue_head_t *head)
{
	return head->first;
}

#define wait_event_interruptible(head, condition)			\
	({								\
		struct wait_queue_entry _entry = {};			\
		int _ret = 0;						\
									\
		might_sleep();						\
		add_wait_queue(&(head), &_entry);			\
		while (!(condition)) {					\
			if (signal_pending(current)) {			\
				_ret = -ERESTARTSYS;			\
				break;					\
			}						\
			wait_woken(&_entry, TASK_INTERRUPTIBLE,		\
				   MAX_SCHEDULE_TIMEOUT);		\
		}							\
		remove_wait_queue(&(head), &_entry);			\
		_ret;							\
	})

#endif /* _FUZZ_LINUX_WAIT_H */
