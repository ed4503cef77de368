/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_PERCPU_H
#define _FUZZ_LINUX_PERCPU_H

#include <linux/slab.h>

/* There is one CPU. */
#define alloc_percpu_gfp(type, flags)	((type *)kzalloc(sizeof(type), flags))
#define free_percpu(memory)		kfree(memory)
#define this_cpu_inc(at)		((at)++)
#define per_cpu_ptr(memory, cpu)	(memory)
#define for_each_possible_cpu(cpu)	for ((cpu) = 0; (cpu) < 1; (cpu)++)

#endif /* _FUZZ_LINUX_PERCPU_H */
