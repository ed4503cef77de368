/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SPINLOCK_H
#define _FUZZ_LINUX_SPINLOCK_H

#include <linux/bug.h>
#include <linux/lockdep.h>
#include <linux/types.h>

/*
 * A lock that only knows whether it is held: a thread that is alone can take it
 * twice, forget it or sleep with it.
 */
typedef struct {
	bool held;
} spinlock_t;

/* Spinlocks that are held; they make an RCU reader, too. */
extern unsigned int shim_spinlocks;

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->held = false;
}

static inline void spin_lock(spinlock_t *lock)
{
	shim_check(!lock->held);
	lock->held = true;
	shim_spinlocks++;
}

static inline void spin_unlock(spinlock_t *lock)
{
	shim_check(lock->held);
	lock->held = false;
	shim_spinlocks--;
}

#endif /* _FUZZ_LINUX_SPINLOCK_H */
