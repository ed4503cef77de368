/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_ASM_BARRIER_H
#define _FUZZ_ASM_BARRIER_H

/* There is one thread. */
#undef barrier
#define barrier()		__asm__ __volatile__("" : : : "memory")
#define smp_mb()		barrier()
#define smp_rmb()		barrier()
#define smp_wmb()		barrier()
#define smp_mb__after_atomic()	barrier()

#define smp_store_release(at, value)					\
	do {								\
		*(at) = (value);					\
	} while (0)

#define smp_store_mb(var, value)					\
	do {								\
		(var) = (value);					\
		barrier();						\
	} while (0)

#define smp_load_acquire(at)	(*(at))

#endif /* _FUZZ_ASM_BARRIER_H */
