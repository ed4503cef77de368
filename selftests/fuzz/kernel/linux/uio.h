/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A piece of user memory.
 */
#ifndef _FUZZ_LINUX_UIO_H
#define _FUZZ_LINUX_UIO_H

#include <linux/uaccess.h>

struct iov_iter {
	char __user *to;
	size_t count;
};

static inline size_t iov_iter_count(const struct iov_iter *iter)
{
	return iter->count;
}

static inline size_t copy_to_iter(const void *from, size_t size, struct iov_iter *iter)
{
	size -= copy_to_user(iter->to, from, size);
	iter->to += size;
	iter->count -= size;
	return size;
}

static inline void iov_iter_revert(struct iov_iter *iter, size_t size)
{
	iter->to -= size;
	iter->count += size;
}

#endif /* _FUZZ_LINUX_UIO_H */
