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

/* Hyper-V's page, whatever the kernel's is. */
#define HV_PAGE_BYTES		4096

/* Message types with the top bit set are the hypervisor's own. */
#define HYPERVISOR_TYPE		0x80000000u

/**
 * hvpm_post_check_call - check control word and address of the input block
 * @control: hypercall input value
 * @gpa: guest physical address of the input block
 *
 * The call is simple: in the control word nothing but the call code may be set,
 * not even the fast bit, for the block does not fit into registers.
 *
 * Context: any.
 * Return: HV_STATUS_SUCCESS, _INVALID_HYPERCALL_INPUT, _INVALID_ALIGNMENT.
 */
enum hvpm_status hvpm_post_check_call(u64 control, u64 gpa)
{
	const unsigned int size = sizeof(struct hvpm_post_input);

	if (control != HVPM_CALL_POST_MESSAGE)
		return HVPM_STATUS_INVALID_HYPERCALL_INPUT;
	if (gpa % 8 || gpa % HV_PAGE_BYTES > HV_PAGE_BYTES - size)
		return HVPM_STATUS_INVALID_ALIGNMENT;
	return HVPM_STATUS_SUCCESS;
}

static enum hvpm_status check_message(const struct hvpm_partition *from,
				      const struct hvpm_post_input *input)
{
	if (!input->message_type || input->message_type & HYPERVISOR_TYPE)
		return HVPM_STATUS_INVALID_PARAMETER;
	if (input->payload_size > HV_POSTMSG_PAYLOAD_MAX)
		return HVPM_STATUS_INVALID_PARAMETER;
	if (from->flags & HV_POSTMSG_PARTITION_STRICT_RESERVED &&
	    input->reserved)
		return HVPM_STATUS_INVALID_PARAMETER;
	return HVPM_STATUS_SUCCESS;
}

static void fill_buffer(struct hvpm_buffer *buffer,
			const struct hvpm_post_input *input)
{
	struct hv_postmsg_message *message = &buffer->message;

	message->type = input->message_type;
	message->payload_size = input->payload_size;
	message->flags = 0;
	message->reserved = 0;
	message->port_id = buffer->port->id;
	memcpy(message->payload, input->payload, input->payload_size);

	/* Before the push, so that no delivery is counted ahead of its post. */
	this_cpu_inc(buffer->port->partition->counters->posted);
	atomic64_inc(&buffer->port->posted);
}

static enum hvpm_status post_to_endpoint(struct hvpm_port *port,
					 const struct hvpm_post_input *input)
{
	struct hvpm_endpoint *endpoint = port->endpoint;
	struct hvpm_buffer *buffer;
	enum hvpm_status status;

	/*
	 * Not by way of a reservation that is given back: that wakes posters, and
	 * one who waits for a buffer of this port would wake itself for ever.
	 */
	if (!READ_ONCE(endpoint->closed) && !hvpm_buffers_free(&port->buffers))
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;
	status = hvpm_endpoint_reserve(endpoint);
	if (status)
		return status;
	buffer = hvpm_port_take_buffer(port);
	if (!buffer) {
		hvpm_endpoint_cancel(endpoint);
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;
	}

	fill_buffer(buffer, input);
	/* A reader is given all of the payload field. */
	memset(buffer->message.payload + input->payload_size, 0,
	       HV_POSTMSG_PAYLOAD_MAX - input->payload_size);
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
static struct hvpm_vp *find_any_vp(struct hvpm_port *port,
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
				   const struct hvpm_post_input *input)
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

	fill_buffer(buffer, input);
	hvpm_vp_post(vp, buffer);
	return HVPM_STATUS_SUCCESS;
}

static enum hvpm_status post_to_port(struct hvpm_port *port,
				     const struct hvpm_post_input *input,
				     bool waiting)
{
	enum hvpm_status status;

	/*
	 * Whoever clears one of these waits for a grace period before acting on
	 * it, so what was seen here stays true until the message is queued.
	 */
	if (!READ_ONCE(port->alive) || !READ_ONCE(port->partition->active) ||
	    port->type != HV_POSTMSG_PORT_MESSAGE)
		status = HVPM_STATUS_INVALID_PORT_ID;
	else if (port->endpoint)
		status = post_to_endpoint(port, input);
	else
		status = post_to_vp(port, input);

	/* A post that waits for a buffer is not refused. */
	if (status && !(waiting && status == HVPM_STATUS_INSUFFICIENT_BUFFERS))
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
	struct hvpm_connection *connection;
	struct hvpm_port *port;
	enum hvpm_status status;

	status = check_message(from, input);
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
	status = post_to_port(port, input, waiting || ask);
	if (status == HVPM_STATUS_INSUFFICIENT_BUFFERS && ask) {
		WRITE_ONCE(port->starved, true);
		/* Pairs with the barriers in hvpm_port_wake_posters(). */
		smp_mb();
		status = post_to_port(port, input, waiting);
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
	WRITE_ONCE(from->starved, true);
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
