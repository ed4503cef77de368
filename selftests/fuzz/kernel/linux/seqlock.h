/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_SEQLOCK_H
#define _FUZZ_LINUX_SEQLOCK_H

#include <linux/atomic.h>

/* The latch of a latched tree: see linux/rbtree_latch.h, which is the kernel's. */
typedef struct {
	unsigned int sequence;
} seqcount_latch_t;

static inline void seqcount_latch_init(seqcount_latch_t *latch)
{
	latch->sequence = 0;
}

static inline unsigned int
raw_read_seqcount_latch(const seqcount_latch_t *latch)
{
	return latch->sequence;
}

static inline int
raw_read_seqcount_latch_retry(const seqcount_latch_t *latch, unsigned int seq)
{
	return latch->sequence != seq;
}

static inline void raw_write_seqcount_latch(seqcount_latch_t *latch)
{
	latch->sequence++;
}

#endif /* _FUZZ_LINUX_SEQLOCK_H */
