/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queue: messages on their way to one receiver.
 *
 * Producers and the consumer meet like this:
 *
 *	             push        sort, pop, unpop, remove
 *	push         no lock     no lock
 *	the others   no lock     queue.lock
 *
 * A push is one llist_add(): lock-free, from any thread, in the order in which
 * the additions take effect.  The consumer takes all arrivals at once and sorts
 * them, oldest first, to the tail of the FIFO of their SINT.
 */
#ifndef _HV_POSTMSG_QUEUE_H
#define _HV_POSTMSG_QUEUE_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>

#include "buffer.h"
#include "limits.h"

/* Set in &hvpm_queue.occupied while arrivals are on their way to the FIFOs. */
#define HVPM_QUEUE_SORTING	BIT(HVPM_SINT_COUNT)

/**
 * struct hvpm_queue - a receiver's messages: one FIFO per SINT
 *
 * @arrivals: pushed and not yet sorted, newest first
 * @length: messages in it, to compare queues by: a push counts just before it adds
 * @lock: the consumer side: @occupied, @fifo and the buffers in it.  A leaf
 * @occupied: bitmap of the FIFOs that are not empty, and HVPM_QUEUE_SORTING;
 *	written under @lock, read by hvpm_queue_occupied() without
 * @fifo: per SINT, oldest first; an endpoint uses only the first
 */
struct hvpm_queue {
	struct llist_head arrivals;
	atomic_t length;
	/* The consumer's side.  Inside of everything. */
	spinlock_t lock;
	unsigned long occupied;
	struct list_head fifo[HVPM_SINT_COUNT];
};

void hvpm_queue_init(struct hvpm_queue *queue);
void hvpm_queue_sort(struct hvpm_queue *queue);
struct hvpm_buffer *hvpm_queue_pop(struct hvpm_queue *queue, unsigned int sint);
void hvpm_queue_unpop(struct hvpm_queue *queue, struct hvpm_buffer *buffer);
void hvpm_queue_remove(struct hvpm_queue *queue, const struct hvpm_port *port,
		       struct list_head *removed);

/**
 * hvpm_queue_push - add a message
 * @queue: the queue
 * @buffer: the message, filled
 *
 * Orders the buffer's contents before its visibility to the consumer, and is a
 * full barrier before the caller's kick.
 *
 * Context: any; takes no lock.
 */
static inline void hvpm_queue_push(struct hvpm_queue *queue,
				   struct hvpm_buffer *buffer)
{
	atomic_inc(&queue->length);
	llist_add(&buffer->arrival, &queue->arrivals);
}

/**
 * hvpm_queue_occupied - for which SINTs is something queued?
 * @queue: the queue
 *
 * A message that was pushed before the call and is taken out by nobody is seen, as
 * one of its SINT or as HVPM_QUEUE_SORTING.
 *
 * Context: any; takes no lock.
 * Return: bitmap of SINTs; HVPM_QUEUE_SORTING: there may be others.
 */
static inline unsigned long hvpm_queue_occupied(const struct hvpm_queue *queue)
{
	if (!llist_empty(&queue->arrivals))
		return HVPM_QUEUE_SORTING;
	/*
	 * Pairs with hvpm_queue_sort(), which sets a bit before it takes the
	 * arrivals away.
	 */
	smp_rmb();
	return READ_ONCE(queue->occupied);
}

/**
 * hvpm_queue_empty - is nothing queued?
 * @queue: the queue
 *
 * Context: as hvpm_queue_occupied().
 * Return: true when there is neither an arrival nor a sorted message.
 */
static inline bool hvpm_queue_empty(const struct hvpm_queue *queue)
{
	return !hvpm_queue_occupied(queue);
}

/**
 * hvpm_queue_length - how many messages are queued?
 * @queue: the queue
 *
 * Context: any; takes no lock.
 * Return: their number, which may change at any time.
 */
static inline int hvpm_queue_length(const struct hvpm_queue *queue)
{
	return atomic_read(&queue->length);
}

#endif /* _HV_POSTMSG_QUEUE_H */
