/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_ATOMIC_H
#define _FUZZ_LINUX_ATOMIC_H

#include <linux/types.h>
#include <asm/barrier.h>

/* There is one thread. */

#define ATOMIC_INIT(value)	{ (value) }
#define ATOMIC64_INIT		ATOMIC_INIT

#define SHIM_ATOMIC(prefix, type, value)				\
static inline value prefix##_read(const type *v)			\
{									\
	return v->counter;						\
}									\
									\
static inline void prefix##_set(type *v, value i)			\
{									\
	v->counter = i;							\
}									\
									\
static inline void prefix##_inc(type *v)				\
{									\
	v->counter++;							\
}									\
									\
static inline void prefix##_dec(type *v)				\
{									\
	v->counter--;							\
}									\
									\
static inline void prefix##_sub(value i, type *v)			\
{									\
	v->counter -= i;						\
}									\
									\
static inline value prefix##_add_return(value i, type *v)		\
{									\
	return v->counter += i;						\
}									\
									\
static inline value prefix##_inc_return(type *v)			\
{									\
	return ++v->counter;						\
}									\
									\
static inline bool prefix##_dec_and_test(type *v)			\
{									\
	return !--v->counter;						\
}									\
									\
static inline bool prefix##_add_unless(type *v, value add, value unless) \
{									\
	if (v->counter == unless)					\
		return false;						\
	v->counter += add;						\
	return true;							\
}									\
									\
static inline bool prefix##_try_cmpxchg(type *v, value *old, value new)	\
{									\
	if (v->counter != *old) {					\
		*old = v->counter;					\
		return false;						\
	}								\
	v->counter = new;						\
	return true;							\
}									\
									\
static inline value prefix##_cmpxchg(type *v, value old, value new)	\
{									\
	value seen = v->counter;					\
									\
	if (seen == old)						\
		v->counter = new;					\
	return seen;							\
}

SHIM_ATOMIC(atomic, atomic_t, int)
SHIM_ATOMIC(atomic_long, atomic_long_t, long)
SHIM_ATOMIC(atomic64, atomic64_t, s64)

#define atomic_cmpxchg_relaxed		atomic_cmpxchg
#define atomic_cmpxchg_release		atomic_cmpxchg
#define atomic_long_try_cmpxchg_acquire	atomic_long_try_cmpxchg

static inline long atomic_long_fetch_or_release(long i, atomic_long_t *v)
{
	long old = v->counter;

	v->counter |= i;
	return old;
}

#define try_cmpxchg(at, old, new)					\
	({								\
		bool _same = *(at) == *(old);				\
									\
		if (_same)						\
			*(at) = (new);					\
		else							\
			*(old) = *(at);					\
		_same;							\
	})

#define xchg(at, new)							\
	({								\
		typeof(*(at)) _old = *(at);				\
									\
		*(at) = (new);						\
		_old;							\
	})

#endif /* _FUZZ_LINUX_ATOMIC_H */
