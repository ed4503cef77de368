/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_RCUPDATE_H
#define _FUZZ_LINUX_RCUPDATE_H

#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/lockdep.h>
#include <linux/sched.h>

/*
 * A grace period ends as soon as it can: at once, unless the only thread reads.
 */
extern unsigned int shim_rcu_readers;

void rcu_read_lock(void);
void rcu_read_unlock(void);
#define rcu_read_lock_sched()		rcu_read_lock()
#define rcu_read_unlock_sched()		rcu_read_unlock()

void synchronize_rcu(void);
void rcu_barrier(void);
void call_rcu(struct rcu_head *head, rcu_callback_t func);
void shim_kfree_rcu(struct rcu_head *head, void *memory);

#define kfree_rcu(object, head)		shim_kfree_rcu(&(object)->head, (object))
#define kvfree_rcu(object, head)	kfree_rcu(object, head)

#define rcu_assign_pointer(at, value)	((at) = (value))
#define rcu_dereference_raw(at)		READ_ONCE(at)
#define rcu_dereference_check(at, held)					\
	({								\
		shim_check((held) || shim_rcu_readers);			\
		READ_ONCE(at);						\
	})
/* KCSAN looks at these, elsewhere. */
#define ASSERT_EXCLUSIVE_ACCESS(var)

#define rcu_read_lock_any_held()	(shim_rcu_readers > 0)
#define RCU_INIT_POINTER(at, value)	((at) = (value))
#define RCU_LOCKDEP_WARN(condition, text)	shim_check(!(condition))

#endif /* _FUZZ_LINUX_RCUPDATE_H */
