// SPDX-License-Identifier: GPL-2.0-only
/*
 * HvCallPostMessage: the checks, in their order, and the way into the queue.
 *
 * The specification leaves the order open; here it is: control word, alignment
 * and page of the input block, message type and size, connection, port, target
 * VP, buffer.  What comes before, privilege level and privileges, is checked
 * where the call is taken from the guest.
 */
#include <linux/bug.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "connection.h"
#include "endpoint.h"
#include "partition.h"
#include "port.h"
#include "post.h"
#include "vp.h"

/* Message types with the top bit set are the hypervisor's own. */
#define HYPERVISOR_TYPE		0x80000000u

static enum hvpm_status check_message(const struct hvpm_partition *from,
				      const struct hvpm_post_head *head)
{
	if (!head->message_type || head->message_type & HYPERVISOR_TYPE)
		return HVPM_STATUS_INVALID_PARAMETER;
	if (head->payload_size > HV_POSTMSG_PAYLOAD_MAX)
		return HVPM_STATUS_INVALID_PARAMETER;
	if (from->flags & HV_POSTMSG_PARTITION_STRICT_RESERVED &&
	    head->reserved)
		return HVPM_STATUS_INVALID_PARAMETER;
	return HVPM_STATUS_SUCCESS;
}

/* False, and the buffer is free again, if the payload cannot be reached. */
static bool fill_buffer(struct hvpm_buffer *buffer, const struct hvpm_post *post)
{
	struct hv_postmsg_message *message = &buffer->message;
	const struct hvpm_post_head *head = &post->head;
	struct hvpm_vp *own = post->own;

	if (post->payload) {
		memcpy(message->payload, post->payload, head->payload_size);
	} else if (!own->ops->read_payload(own, message->payload,
					   head->payload_size)) {
		hvpm_port_give_buffer(buffer);
		return false;
	}
	message->type = head->message_type;
	message->payload_size = head->payload_size;
	message->flags = 0;
	message->reserved = 0;
	message->port_id = buffer->port->id;

	/* Before the push, so that no delivery is counted ahead of its post. */
	this_cpu_inc(buffer->port->partition->counters->posted);
	atomic64_inc(&buffer->port->posted);
	return true;
}

static enum hvpm_status post_to_endpoint(struct hvpm_port *port,
					 const struct hvpm_post *post)
{
	struct hvpm_endpoint *endpoint = port->endpoint;
	struct hvpm_buffer *buffer;
	enum hvpm_status status;
	u32 size;

	/*
	 * Not by way of a reservation that is given back: that wakes posters, and
	 * one who waits for a buffer of this port would wake itself for ever.
	 */
	if (!READ_ONCE(endpoint->closed) && !hvpm_buffers_any(&port->buffers))
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;
	status = hvpm_endpoint_reserve(endpoint);
	if (status)
		return status;
	buffer = hvpm_port_take_buffer(port);
	if (!buffer) {
		hvpm_endpoint_cancel(endpoint);
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;
	}

	if (!fill_buffer(buffer, post)) {
		hvpm_endpoint_cancel(endpoint);
		return HVPM_OUT_OF_REACH;
	}
	/* A reader is given all of the payload field. */
	size = post->head.payload_size;
	memset(buffer->message.payload + size, 0, HV_POSTMSG_PAYLOAD_MAX - size);
	hvpm_endpoint_post(endpoint, buffer);
	return HVPM_STATUS_SUCCESS;
}

static bool vp_available(struct hvpm_vp *vp)
{
	return vp->ops->state(vp) == HVPM_STATUS_SUCCESS;
}

static bool queues_less(const struct hvpm_vp *vp, const struct hvpm_vp *other)
{
	return hvpm_queue_length(&vp->queue) < hvpm_queue_length(&other->queue);
}

/*
 * Find an available VP with an empty queue between two slots; note in @busy the
 * first available one with the least queued, if it has less than the one noted.
 */
static struct hvpm_vp *find_idle_vp(struct hvpm_partition *partition,
				    unsigned long first, unsigned long last,
				    struct hvpm_vp **busy)
{
	unsigned long slot;
	struct hvpm_vp *vp;

	xa_for_each_range(&partition->vps, slot, vp, first, last) {
		if (!vp_available(vp))
			continue;
		if (hvpm_queue_empty(&vp->queue))
			return vp;
		if (!*busy || queues_less(vp, *busy))
			*busy = vp;
	}
	return NULL;
}

/*
 * Find an available VP with an empty queue, beginning with the preferred one
 * and then behind the last one chosen; if all have something queued, the one that
 * has the least, the first in that order.  So a VP that never comes for its
 * messages does not collect the buffers of the port.
 */
static noinline struct hvpm_vp *find_any_vp(struct hvpm_port *port,
					    enum hvpm_status *status)
{
	struct hvpm_partition *partition = port->partition;
	unsigned long start = atomic_read(&port->next_vp);
	u32 preferred = READ_ONCE(port->preferred_vp);
	struct hvpm_vp *vp, *busy = NULL;

	if (preferred != HV_POSTMSG_ANY_VP) {
		vp = partition->ops->find_vp(partition, preferred, status);
		if (vp && vp_available(vp)) {
			if (hvpm_queue_empty(&vp->queue))
				return vp;
			busy = vp;
		}
	}

	vp = find_idle_vp(partition, start, ULONG_MAX, &busy);
	if (!vp && start)
		vp = find_idle_vp(partition, 0, start - 1, &busy);
	vp = vp ?: busy;
	if (!vp) {
		partition->ops->find_vp(partition, HV_POSTMSG_ANY_VP, status);
		return NULL;
	}

	/* Two posters that race here choose the same VP twice: no harm. */
	atomic_set(&port->next_vp, vp->slot + 1);
	return vp;
}

static struct hvpm_vp *find_target(struct hvpm_port *port,
				   enum hvpm_status *status)
{
	struct hvpm_partition *partition = port->partition;
	struct hvpm_vp *vp;

	if (port->target_vp == HV_POSTMSG_ANY_VP)
		return find_any_vp(port, status);

	vp = partition->ops->find_vp(partition, port->target_vp, status);
	if (!vp)
		return NULL;
	*status = vp->ops->state(vp);
	return *status ? NULL : vp;
}

static enum hvpm_status post_to_vp(struct hvpm_port *port,
				   const struct hvpm_post *post)
{
	enum hvpm_status status = HVPM_STATUS_SUCCESS;
	struct hvpm_buffer *buffer;
	struct hvpm_vp *vp;

	vp = find_target(port, &status);
	if (!vp)
		return status;
	buffer = hvpm_port_take_buffer(port);
	if (!buffer)
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;

	if (!fill_buffer(buffer, post))
		return HVPM_OUT_OF_REACH;
	hvpm_vp_post(vp, buffer);
	return HVPM_STATUS_SUCCESS;
}

/*
 * Whoever clears one of these waits for a grace period before acting on it, so what
 * was seen here stays true until the message is queued, or in its slot.
 */
static bool accepts_messages(const struct hvpm_port *port)
{
	return READ_ONCE(port->alive) && READ_ONCE(port->partition->active) &&
	       port->type == HV_POSTMSG_PORT_MESSAGE;
}

static enum hvpm_status post_to_port(struct hvpm_port *port,
				     const struct hvpm_post *post, bool waiting)
{
	enum hvpm_status status;

	if (!accepts_messages(port))
		status = HVPM_STATUS_INVALID_PORT_ID;
	else if (port->endpoint)
		status = post_to_endpoint(port, post);
	else
		status = post_to_vp(port, post);

	/* A post that waits for a buffer is not refused. */
	if (status && status != HVPM_OUT_OF_REACH &&
	    !(waiting && status == HVPM_STATUS_INSUFFICIENT_BUFFERS))
		hvpm_port_count_refusal(port, status);
	return status;
}

/*
 * @waiting: a post that finds no buffer is tried again and not counted as refused.
 * @ask: one that finds none asks for a wake-up when the port has room again, and
 * tries once more: either that try sees the room, or who makes it sees the flag.
 */
static enum hvpm_status try_post(struct hvpm_partition *from,
				 const struct hvpm_post_input *input,
				 bool waiting, bool ask)
{
	const struct hvpm_post post = {
		.head = input->head,
		.payload = input->payload,
	};
	struct hvpm_connection *connection;
	struct hvpm_port *port;
	enum hvpm_status status;

	status = check_message(from, &input->head);
	if (status)
		return status;

	/*
	 * Bits 31:24 of a connection ID are reserved: such an ID is unknown.
	 * Behind the same ID there may soon be another port, so that what is asked
	 * and what is tried has to come of one lookup.
	 */
	rcu_read_lock();
	connection = hvpm_connection_find(from, input->connection_id);
	if (!connection || READ_ONCE(from->dead)) {
		rcu_read_unlock();
		return HVPM_STATUS_INVALID_CONNECTION_ID;
	}
	port = connection->port;
	status = post_to_port(port, &post, waiting || ask);
	if (status == HVPM_STATUS_INSUFFICIENT_BUFFERS && ask) {
		WRITE_ONCE(from->asked, true);
		/* Behind that; pairs with xchg() in hvpm_port_wake_posters(). */
		smp_store_release(&port->starved, true);
		/* Before the try; pairs with smp_mb() there. */
		smp_mb();
		status = post_to_port(port, &post, waiting);
	}
	rcu_read_unlock();
	return status;
}

/**
 * hvpm_post - post a message
 * @from: the partition that posts
 * @input: private copy of the input block
 *
 * Context: any thread; does not sleep; takes no lock, allocates nothing.
 * Return: the call's HV_STATUS.  The caller counts it: hvpm_post_count().
 */
enum hvpm_status hvpm_post(struct hvpm_partition *from,
			   const struct hvpm_post_input *input)
{
	return try_post(from, input, false, false);
}

/* A VP mostly posts to where it did last.  What was deleted since is not looked at. */
static struct hvpm_connection *find_again(struct hvpm_vp *own, u32 id)
{
	unsigned long drops;

	/* Before the lookup; pairs with the release in drop_connection(). */
	drops = smp_load_acquire(&own->partition->connection_drops);
	if (own->last_drops != drops || !own->last || own->last->id != id) {
		own->last = hvpm_connection_find(own->partition, id);
		own->last_drops = drops;
	}
	return own->last;
}

/*
 * The short way: a VP that posts to itself and has nothing queued for that SINT fills
 * its slot at once.  The message needs a buffer all the same, but for no longer than
 * anybody can see.  What others push meanwhile comes behind it: the VP looks at its
 * queue before it next enters the guest.  Whatever is not so is left to the long way.
 */
static bool post_to_itself(struct hvpm_vp *own, struct hvpm_port *port,
			   const struct hvpm_post_head *head)
{
	struct hvpm_partition *partition = own->partition;

	if (!accepts_messages(port) || port->partition != partition ||
	    port->endpoint)
		return false;
	if (hvpm_queue_occupied(&own->queue) &
	    (HVPM_QUEUE_SORTING | BIT(port->sint)))
		return false;
	if (!hvpm_buffers_any(&port->buffers))
		return false;
	if (!own->ops->write_own(own, port, head))
		return false;

	hvpm_buffers_pass(&port->buffers);
	this_cpu_inc(partition->counters->posted);
	atomic64_inc(&port->posted);
	this_cpu_inc(partition->counters->delivered);
	atomic64_inc(&port->delivered);
	return true;
}

/**
 * hvpm_post_by_vp - post a message whose payload the VP still has
 * @post: the post; on the thread of the VP that makes it
 *
 * What is wrong with the head, the connection or the port is found before the payload
 * is copied, and that is copied once: to its slot, or to its buffer.
 *
 * Context: under RCU, page faults disabled.
 * Return: as hvpm_post(); HVPM_OUT_OF_REACH: the payload is, and nothing was
 *	posted or counted.  For a moment a buffer, and room, may have been taken.
 */
enum hvpm_status hvpm_post_by_vp(const struct hvpm_post *post)
{
	struct hvpm_partition *from = post->own->partition;
	struct hvpm_connection *connection;
	enum hvpm_status status;

	status = check_message(from, &post->head);
	if (status)
		return status;
	connection = find_again(post->own, post->head.connection_id);
	if (!connection || READ_ONCE(from->dead))
		return HVPM_STATUS_INVALID_CONNECTION_ID;
	if (post_to_itself(post->own, connection->port, &post->head))
		return HVPM_STATUS_SUCCESS;
	return post_to_port(connection->port, post, false);
}

/**
 * hvpm_post_count - account the outcome of a post
 * @from: the partition that posted
 * @status: what it got
 *
 * Context: any.
 */
void hvpm_post_count(struct hvpm_partition *from, enum hvpm_status status)
{
	if (WARN_ON_ONCE(status >= HV_POSTMSG_STATUS_COUNT))
		return;
	this_cpu_inc(from->counters->status[status]);
}

/*
 * If a post that does not wait is refused, POLLOUT is off until something is freed.
 * That is said before the last try, so that what is freed behind it takes it back.
 * If that try was not refused somebody may have seen it and sleep.
 */
static enum hvpm_status post_at_once(struct hvpm_partition *from,
				     const struct hvpm_post_input *input)
{
	enum hvpm_status status = try_post(from, input, true, false);

	if (status != HVPM_STATUS_INSUFFICIENT_BUFFERS)
		return status;
	/*
	 * Before the look at what may be deleted meanwhile: that erases first, takes it
	 * back then, by hvpm_partition_wake_posters(), with a lock released in between.
	 */
	smp_store_mb(from->starved, true);
	status = try_post(from, input, false, true);
	if (status != HVPM_STATUS_INSUFFICIENT_BUFFERS)
		hvpm_partition_wake_posters(from);
	return status;
}

static enum hvpm_status post_when_there_is_room(struct hvpm_partition *from,
						const struct hvpm_post_input *input,
						int *ret)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	enum hvpm_status status = try_post(from, input, true, false);

	if (status != HVPM_STATUS_INSUFFICIENT_BUFFERS)
		return status;
	add_wait_queue(&from->post_wait, &wait);
	for (;;) {
		status = try_post(from, input, true, true);
		if (status != HVPM_STATUS_INSUFFICIENT_BUFFERS)
			break;
		if (signal_pending(current)) {
			*ret = -ERESTARTSYS;
			break;
		}
		wait_woken(&wait, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT);
	}
	remove_wait_queue(&from->post_wait, &wait);
	return status;
}

/**
 * hvpm_post_wait - post from the host, waiting for a buffer
 * @from: the partition to post as
 * @input: the message
 * @nonblock: rather return HV_STATUS_INSUFFICIENT_BUFFERS
 * @status: where the call's HV_STATUS goes
 *
 * Context: may sleep.
 * Return: 0; -ESHUTDOWN the partition is dead; -ERESTARTSYS a signal came,
 *	nothing was posted.
 */
int hvpm_post_wait(struct hvpm_partition *from,
		   const struct hvpm_post_input *input, bool nonblock,
		   enum hvpm_status *status)
{
	int ret = 0;

	might_sleep();

	if (nonblock)
		*status = post_at_once(from, input);
	else
		*status = post_when_there_is_room(from, input, &ret);

	/* A dead partition has no connections any more: do not blame the ID. */
	if (READ_ONCE(from->dead) && *status)
		return -ESHUTDOWN;
	if (!ret)
		hvpm_post_count(from, *status);
	return ret;
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/post_kunit.c"
#endif
