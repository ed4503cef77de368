/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message buffers: the fixed set a port owns.
 */
#ifndef _HV_POSTMSG_BUFFER_H
#define _HV_POSTMSG_BUFFER_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/types.h>

#include <uapi/linux/hv_postmsg.h>

struct hvpm_port;

/**
 * struct hvpm_buffer - one guest message buffer ("Message Buffers")
 *
 * @arrival: link in a queue's arrivals, from push until the consumer sorts it
 * @fifo: link in a queue's FIFO, under the queue's lock; the two uses never
 *	overlap
 * @port: the port that owns the buffer, constant; kept by a buffer in use
 * @index: number of the buffer within its port, constant
 * @sint: SINT whose FIFO the buffer belongs to; written by the poster before
 *	the push
 * @message: header and payload as the receiver sees them; written by the
 *	poster before the push, @message.flags by the consumer
 */
struct hvpm_buffer {
	union {
		struct llist_node arrival;
		struct list_head fifo;
	};
	struct hvpm_port *port;
	u8 index;
	u8 sint;
	struct hv_postmsg_message message;
};

/**
 * struct hvpm_buffers - which buffers of a port are free
 *
 * @free: one bit a free buffer; any poster clears one, any consumer sets it
 * @count: buffers there are, 0 to HVPM_MAX_BUFFERS, constant
 * @high_water: most buffers in use at once
 */
struct hvpm_buffers {
	atomic_long_t free;
	unsigned int count;
	atomic_t high_water;
};

void hvpm_buffers_init(struct hvpm_buffers *buffers, unsigned int count);
int hvpm_buffers_take(struct hvpm_buffers *buffers);
void hvpm_buffers_give(struct hvpm_buffers *buffers, unsigned int index);
unsigned int hvpm_buffers_free(const struct hvpm_buffers *buffers);

/**
 * hvpm_buffers_mark - raise the mark of buffers in use
 * @buffers: the set
 * @free: those that were free before one was taken
 *
 * Context: any.
 */
static inline void hvpm_buffers_mark(struct hvpm_buffers *buffers,
				     unsigned long free)
{
	int used = buffers->count - hweight_long(free) + 1;
	int mark = atomic_read(&buffers->high_water);

	/* Each retry means that the mark has risen; it can do so count times. */
	while (used > mark)
		if (atomic_try_cmpxchg(&buffers->high_water, &mark, used))
			return;
}

/**
 * hvpm_buffers_any - is a buffer free?
 * @buffers: the set
 *
 * Context: any; a snapshot.
 * Return: true if so.
 */
static inline bool hvpm_buffers_any(const struct hvpm_buffers *buffers)
{
	return atomic_long_read(&buffers->free);
}

/**
 * hvpm_buffers_pass - note a buffer that was taken and given back at once
 * @buffers: the set
 *
 * Context: any.
 */
static inline void hvpm_buffers_pass(struct hvpm_buffers *buffers)
{
	/* Others may have taken the rest since one was seen. */
	hvpm_buffers_mark(buffers, atomic_long_read(&buffers->free) ?: 1);
}

#endif /* _HV_POSTMSG_BUFFER_H */
