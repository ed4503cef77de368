// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue: the consumer's side.
 */
#include "queue.h"

static void set_occupied(struct hvpm_queue *queue, unsigned int sint)
{
	unsigned long occupied = queue->occupied;

	if (list_empty(&queue->fifo[sint]))
		occupied &= ~BIT(sint);
	else
		occupied |= BIT(sint);
	/* Read by hvpm_queue_occupied() without the lock. */
	WRITE_ONCE(queue->occupied, occupied);
}

/**
 * hvpm_queue_init - make an empty queue
 * @queue: the queue
 */
void hvpm_queue_init(struct hvpm_queue *queue)
{
	unsigned int sint;

	init_llist_head(&queue->arrivals);
	atomic_set(&queue->length, 0);
	spin_lock_init(&queue->lock);
	queue->occupied = 0;
	for (sint = 0; sint < HVPM_SINT_COUNT; sint++)
		INIT_LIST_HEAD(&queue->fifo[sint]);
}

/**
 * hvpm_queue_sort - move the arrivals to the FIFOs
 * @queue: the queue
 *
 * Context: queue->lock held.
 */
void hvpm_queue_sort(struct hvpm_queue *queue)
{
	struct hvpm_buffer *buffer, *next;
	struct llist_node *arrivals;

	lockdep_assert_held(&queue->lock);

	if (llist_empty(&queue->arrivals))
		return;

	/*
	 * At no moment may the queue look empty.  llist_del_all() is a full
	 * barrier; pairs with hvpm_queue_occupied().
	 */
	WRITE_ONCE(queue->occupied, queue->occupied | HVPM_QUEUE_SORTING);
	arrivals = llist_reverse_order(llist_del_all(&queue->arrivals));
	llist_for_each_entry_safe(buffer, next, arrivals, arrival) {
		list_add_tail(&buffer->fifo, &queue->fifo[buffer->sint]);
		set_occupied(queue, buffer->sint);
	}
	WRITE_ONCE(queue->occupied, queue->occupied & ~HVPM_QUEUE_SORTING);
}

/**
 * hvpm_queue_pop - take the oldest sorted message of a SINT
 * @queue: the queue
 * @sint: the SINT
 *
 * Context: queue->lock held.
 * Return: the message, or NULL when the FIFO is empty.
 */
struct hvpm_buffer *hvpm_queue_pop(struct hvpm_queue *queue, unsigned int sint)
{
	struct hvpm_buffer *buffer;

	lockdep_assert_held(&queue->lock);

	buffer = list_first_entry_or_null(&queue->fifo[sint],
					  struct hvpm_buffer, fifo);
	if (!buffer)
		return NULL;
	list_del(&buffer->fifo);
	set_occupied(queue, sint);
	atomic_dec(&queue->length);
	return buffer;
}

/**
 * hvpm_queue_unpop - undo a pop
 * @queue: the queue
 * @buffer: what hvpm_queue_pop() returned last for its SINT
 *
 * Context: queue->lock held.
 */
void hvpm_queue_unpop(struct hvpm_queue *queue, struct hvpm_buffer *buffer)
{
	lockdep_assert_held(&queue->lock);

	atomic_inc(&queue->length);
	list_add(&buffer->fifo, &queue->fifo[buffer->sint]);
	set_occupied(queue, buffer->sint);
}

/**
 * hvpm_queue_remove - take out all messages, or all of one port
 * @queue: the queue
 * @port: the port, or NULL for all
 * @removed: list to which they are added by &hvpm_buffer.fifo, in order per SINT
 *
 * Context: queue->lock held.
 */
void hvpm_queue_remove(struct hvpm_queue *queue, const struct hvpm_port *port,
		       struct list_head *removed)
{
	struct hvpm_buffer *buffer, *next;
	unsigned int sint;

	lockdep_assert_held(&queue->lock);

	hvpm_queue_sort(queue);
	for (sint = 0; sint < HVPM_SINT_COUNT; sint++) {
		list_for_each_entry_safe(buffer, next, &queue->fifo[sint], fifo)
			if (!port || buffer->port == port) {
				list_move_tail(&buffer->fifo, removed);
				atomic_dec(&queue->length);
			}
		set_occupied(queue, sint);
	}
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/queue_kunit.c"
#endif
