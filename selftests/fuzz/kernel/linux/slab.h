/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SLAB_H
#define _FUZZ_LINUX_SLAB_H

#include <linux/types.h>

#define GFP_KERNEL_ACCOUNT	GFP_KERNEL

void *shim_alloc(size_t size);
void kfree(const void *memory);

#define kvfree(memory)		kfree(memory)

#define kzalloc(size, flags)	shim_alloc(size)
#define kvzalloc(size, flags)	shim_alloc(size)

#define struct_size(object, member, count)				\
	(sizeof(*(object)) + sizeof(*(object)->member) * (count))

#endif /* _FUZZ_LINUX_SLAB_H */
