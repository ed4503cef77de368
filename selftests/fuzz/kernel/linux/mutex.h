/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_MUTEX_H
#define _FUZZ_LINUX_MUTEX_H

#include <linux/lockdep.h>
#include <linux/sched.h>
#include <linux/types.h>

/* As a spinlock, but its holder may sleep. */
struct mutex {
	bool held;
};

extern unsigned int shim_mutexes;

#define DEFINE_MUTEX(name)	struct mutex name

static inline void mutex_init(struct mutex *mutex)
{
	mutex->held = false;
}

static inline bool mutex_trylock(struct mutex *mutex)
{
	if (mutex->held)
		return false;
	mutex->held = true;
	shim_mutexes++;
	return true;
}

static inline void mutex_lock(struct mutex *mutex)
{
	might_sleep();
	shim_check(mutex_trylock(mutex));
}

static inline int mutex_lock_interruptible(struct mutex *mutex)
{
	mutex_lock(mutex);
	return 0;
}

static inline void mutex_unlock(struct mutex *mutex)
{
	shim_check(mutex->held);
	mutex->held = false;
	shim_mutexes--;
}

#endif /* _FUZZ_LINUX_MUTEX_H */
