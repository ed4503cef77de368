// SPDX-License-Identifier: GPL-2.0-only
/*
 * Message buffers: take, give back, account.
 */
#include <linux/bitops.h>
#include <linux/bug.h>

#include "buffer.h"
#include "limits.h"

/**
 * hvpm_buffers_init - make all buffers free
 * @buffers: the set
 * @count: how many there are, at most HVPM_MAX_BUFFERS
 */
void hvpm_buffers_init(struct hvpm_buffers *buffers, unsigned int count)
{
	unsigned long mask = count ? GENMASK(count - 1, 0) : 0;

	buffers->count = count;
	atomic_long_set(&buffers->free, mask);
	atomic_set(&buffers->high_water, 0);
}

/**
 * hvpm_buffers_take - take a free buffer
 * @buffers: the set
 *
 * A failed compare-and-exchange means that another poster or consumer made
 * progress, so the loop is lock-free.
 *
 * Context: any.
 * Return: the buffer's index, or -1 when none is free.
 */
int hvpm_buffers_take(struct hvpm_buffers *buffers)
{
	long free = atomic_long_read(&buffers->free);
	int index;

	do {
		if (!free)
			return -1;
		index = __ffs(free);
		/* Acquire: pairs with the release in hvpm_buffers_give(). */
	} while (!atomic_long_try_cmpxchg_acquire(&buffers->free, &free,
						  free & ~BIT(index)));

	hvpm_buffers_mark(buffers, free);
	return index;
}

/**
 * hvpm_buffers_give - give a buffer back
 * @buffers: the set
 * @index: what hvpm_buffers_take() returned
 *
 * Context: any.
 */
void hvpm_buffers_give(struct hvpm_buffers *buffers, unsigned int index)
{
	long old;

	/*
	 * Release: the consumer's reads of the buffer are over before the next
	 * poster, who takes it in hvpm_buffers_take(), writes to it.
	 */
	old = atomic_long_fetch_or_release(BIT(index), &buffers->free);
	WARN_ON_ONCE(old & BIT(index));
}

/**
 * hvpm_buffers_free - count the free buffers
 * @buffers: the set
 *
 * Context: any; a snapshot.
 * Return: the number of free buffers.
 */
unsigned int hvpm_buffers_free(const struct hvpm_buffers *buffers)
{
	return hweight_long(atomic_long_read(&buffers->free));
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/buffer_kunit.c"
#endif
