// SPDX-License-Identifier: GPL-2.0-only
/*
 * VP: queue a message for it, scan its queue, empty it.
 */
#include <linux/bitops.h>
#include <linux/percpu.h>

#include "partition.h"
#include "port.h"
#include "slot.h"
#include "vp.h"

/**
 * hvpm_vp_init - make a VP with an empty queue
 * @vp: the VP
 * @ops: how to reach it
 * @partition: its partition
 * @slot: its number there, below &hvpm_partition.vp_limit
 */
void hvpm_vp_init(struct hvpm_vp *vp, const struct hvpm_vp_ops *ops,
		  struct hvpm_partition *partition, unsigned int slot)
{
	vp->ops = ops;
	vp->partition = partition;
	vp->slot = slot;
	vp->resets = 0;
	vp->behind = 0;
	vp->last = NULL;
	vp->last_drops = 0;
	hvpm_queue_init(&vp->queue);
}

/**
 * hvpm_vp_post - queue a message for a VP and make it look
 * @vp: the VP
 * @buffer: the message
 *
 * Context: under RCU, any thread; takes no lock.
 */
void hvpm_vp_post(struct hvpm_vp *vp, struct hvpm_buffer *buffer)
{
	unsigned long *queued = vp->partition->queued;

	hvpm_queue_push(&vp->queue, buffer);
	/*
	 * The push is a full barrier, so the bit is looked at behind it; pairs
	 * with the barrier in vp_settle(), which looks at the queue behind
	 * clearing the bit.
	 */
	if (!test_bit(vp->slot, queued))
		set_bit(vp->slot, queued);
	vp->ops->kick(vp);
}

/* Leave the partition's bitmap if nothing is queued any more. */
static void vp_settle(struct hvpm_vp *vp)
{
	unsigned long *queued = vp->partition->queued;

	if (!hvpm_queue_empty(&vp->queue))
		return;
	clear_bit(vp->slot, queued);
	/* Pairs with the push in hvpm_vp_post(). */
	smp_mb__after_atomic();
	if (!llist_empty(&vp->queue.arrivals))
		set_bit(vp->slot, queued);
}

static void vp_deliver(struct hvpm_vp *vp, unsigned int sint)
{
	struct hvpm_queue *queue = &vp->queue;
	struct hvpm_buffer *buffer;
	unsigned int resets;
	bool more, keep;
	u32 type;
	int ret;

	ret = hvpm_slot_claim(vp, sint, &type);
	if (ret < 0)
		this_cpu_inc(vp->partition->counters->faults);
	if (!ret && type == HVPM_TIMER_EXPIRED)
		__set_bit(sint, &vp->behind);
	if (ret <= 0)
		return;

	spin_lock(&queue->lock);
	buffer = hvpm_queue_pop(queue, sint);
	more = queue->occupied & BIT(sint);
	resets = vp->resets;
	spin_unlock(&queue->lock);
	/* Deleted with its port since the queue was sorted. */
	if (!buffer)
		return;

	/*
	 * Out of the queue and not in the slot yet: writing may sleep, so the
	 * lock is not held.  Whoever empties the queue meanwhile leaves this
	 * message to us.
	 */
	if (more || vp->ops->timer_waits(vp, sint))
		buffer->message.flags = HVPM_MESSAGE_PENDING;
	else
		buffer->message.flags = 0;
	ret = vp->ops->write_message(vp, sint, &buffer->message);
	if (ret) {
		this_cpu_inc(vp->partition->counters->faults);
		spin_lock(&queue->lock);
		keep = READ_ONCE(buffer->port->alive) && resets == vp->resets;
		if (keep)
			hvpm_queue_unpop(queue, buffer);
		spin_unlock(&queue->lock);
		if (!keep)
			hvpm_port_free_buffer(buffer);
		return;
	}

	this_cpu_inc(vp->partition->counters->delivered);
	atomic64_inc(&buffer->port->delivered);
	hvpm_port_give_buffer(buffer);
	hvpm_slot_interrupt(vp, sint);
}

/* With the SynIC or the SIM page disabled everything stays where it is. */
static void vp_deliver_some(struct hvpm_vp *vp, unsigned long sints)
{
	unsigned int sint;

	if (!sints || vp->ops->state(vp) != HVPM_STATUS_SUCCESS)
		return;
	for_each_set_bit(sint, &sints, HVPM_SINT_COUNT)
		vp_deliver(vp, sint);
}

/**
 * hvpm_vp_scan - deliver what fits into the VP's message slots
 * @vp: the VP, on whose thread the call is made
 *
 * One message per SINT at most: a second finds the slot full, and the first has
 * told the guest by MessagePending to ask for it.  With the SynIC or the SIM
 * page disabled, or a slot that cannot be accessed, everything stays queued for
 * the next trigger ("SynIC Message Delivery").
 *
 * Context: the VP's thread; may sleep; takes queue.lock.
 */
void hvpm_vp_scan(struct hvpm_vp *vp)
{
	struct hvpm_queue *queue = &vp->queue;
	unsigned long occupied;

	spin_lock(&queue->lock);
	hvpm_queue_sort(queue);
	occupied = queue->occupied;
	spin_unlock(&queue->lock);

	vp_deliver_some(vp, occupied);

	spin_lock(&queue->lock);
	vp_settle(vp);
	spin_unlock(&queue->lock);
}

/**
 * hvpm_vp_scan_behind - deliver where a timer's message was last in the slot
 * @vp: the VP, on whose thread the call is made
 *
 * To be called before a run of KVM's timers, which hvpm_vp_scan() follows.  KVM
 * tries a timer's message again and again if its interrupt cannot be raised,
 * because the SINT is masked or the local APIC disabled, and it tries first.  So
 * that the queue gets its turn, timers and queue take turns where both wait.
 *
 * Context: the VP's thread; may sleep; takes queue.lock.
 */
void hvpm_vp_scan_behind(struct hvpm_vp *vp)
{
	unsigned long sints = vp->behind & READ_ONCE(vp->queue.occupied);

	vp->behind = 0;
	vp_deliver_some(vp, sints);
}

/**
 * hvpm_vp_reset - empty the VP's queues, buffers back to their ports
 * @vp: the VP
 *
 * Context: may sleep; takes queue.lock.
 */
void hvpm_vp_reset(struct hvpm_vp *vp)
{
	LIST_HEAD(removed);

	/* At once, or what is popped in between could come back behind the reset. */
	spin_lock(&vp->queue.lock);
	vp->resets++;
	hvpm_queue_remove(&vp->queue, NULL, &removed);
	spin_unlock(&vp->queue.lock);
	hvpm_port_free_list(&removed);
}

/**
 * hvpm_vp_kick_queued - make every VP with something queued scan its queue
 * @partition: the partition
 *
 * The guest may write EOM on any VP for a slot of another one.
 *
 * Context: any thread.
 */
void hvpm_vp_kick_queued(struct hvpm_partition *partition)
{
	unsigned long word, queued;
	unsigned int bit;
	struct hvpm_vp *vp;

	rcu_read_lock();
	for (word = 0; word < BITS_TO_LONGS(partition->vp_limit); word++) {
		/* Others set and clear bits: one look at all that are in it. */
		queued = READ_ONCE(partition->queued[word]);
		for_each_set_bit(bit, &queued, BITS_PER_LONG) {
			vp = xa_load(&partition->vps,
				     word * BITS_PER_LONG + bit);
			if (vp)
				vp->ops->kick(vp);
		}
	}
	rcu_read_unlock();
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/vp_kunit.c"
#endif
