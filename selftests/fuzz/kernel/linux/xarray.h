/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_XARRAY_H
#define _FUZZ_LINUX_XARRAY_H

#include <linux/bug.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

/* As many entries as any program of the fuzzer has vCPUs. */
#define SHIM_XARRAY	8

struct xarray {
	void *entry[SHIM_XARRAY];
	/* Each entry costs memory, which may be lacking. */
	void *node[SHIM_XARRAY];
};

#define XA_FLAGS_ACCOUNT	1

static inline void xa_init_flags(struct xarray *xa, gfp_t flags)
{
	memset(xa, 0, sizeof(*xa));
}

static inline void *xa_load(struct xarray *xa, unsigned long index)
{
	return index < SHIM_XARRAY ? xa->entry[index] : NULL;
}

static inline int xa_insert(struct xarray *xa, unsigned long index, void *entry,
			    gfp_t flags)
{
	shim_check(index < SHIM_XARRAY);
	if (xa->entry[index])
		return -EBUSY;
	xa->node[index] = kzalloc(1, flags);
	if (!xa->node[index])
		return -ENOMEM;
	xa->entry[index] = entry;
	return 0;
}

static inline void xa_destroy(struct xarray *xa)
{
	unsigned int i;

	for (i = 0; i < SHIM_XARRAY; i++)
		kfree(xa->node[i]);
}

/* The first entry from @index on, which becomes its. */
static inline void *shim_xa_find(struct xarray *xa, unsigned long *index,
				 unsigned long last)
{
	for (; *index < SHIM_XARRAY && *index <= last; ++*index)
		if (xa->entry[*index])
			return xa->entry[*index];
	return NULL;
}

#define xa_for_each_range(xa, index, value, first, last)		\
	for ((index) = (first),						\
	     (value) = shim_xa_find(xa, &(index), last);		\
	     (value);							\
	     (index)++, (value) = shim_xa_find(xa, &(index), last))

#define xa_for_each(xa, index, value)					\
	xa_for_each_range(xa, index, value, 0, SHIM_XARRAY)

#endif /* _FUZZ_LINUX_XARRAY_H */
