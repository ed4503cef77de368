// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port: create, delete, buffers.
 *
 * A port dies in two phases.  hvpm_port_kill() clears @alive; one RCU grace
 * period later no poster can be pushing a message of it, and hvpm_port_bury()
 * takes what is queued back out.  A message that is being written to a slot or
 * read from an endpoint at that moment is finished by whoever does so.  The
 * memory goes with the last reference: peers' connections, port files and
 * buffers in use hold one each.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "connection.h"
#include "endpoint.h"
#include "limits.h"
#include "partition.h"
#include "port.h"
#include "queue.h"
#include "vp.h"

#define to_port(ptr)	rb_entry((ptr), struct hvpm_port, node)

static int compare_ids(const void *key, const struct rb_node *node)
{
	u32 id = *(const u32 *)key;

	if (id == to_port(node)->id)
		return 0;
	return id < to_port(node)->id ? -1 : 1;
}

static int compare_ports(struct rb_node *new, const struct rb_node *node)
{
	return compare_ids(&to_port(new)->id, node);
}

static bool spec_valid(const struct hvpm_port_spec *spec)
{
	if (spec->id > HV_POSTMSG_ID_MAX)
		return false;
	if (spec->endpoint) {
		if (spec->sint || spec->target_vp)
			return false;
	} else if (!spec->sint || spec->sint >= HVPM_SINT_COUNT) {
		return false;
	}

	switch (spec->type) {
	case HV_POSTMSG_PORT_MESSAGE:
		return spec->buffers <= HVPM_MAX_BUFFERS;
	case HV_POSTMSG_PORT_EVENT:
		return !spec->buffers;
	default:
		return false;
	}
}

static unsigned int buffer_count(const struct hvpm_port_spec *spec)
{
	if (spec->type != HV_POSTMSG_PORT_MESSAGE)
		return 0;
	return spec->buffers ?: HVPM_DEFAULT_BUFFERS;
}

/* How many of them can be queued for VPs; an endpoint has its depth. */
static unsigned int vp_buffer_count(const struct hvpm_port_spec *spec)
{
	return spec->endpoint ? 0 : buffer_count(spec);
}

static void release_room(struct hvpm_partition *partition,
			 unsigned int vp_buffers)
{
	atomic_sub(vp_buffers, &partition->vp_buffer_count);
	atomic_dec(&partition->port_count);
}

static bool reserve_room(struct hvpm_partition *partition,
			 unsigned int vp_buffers)
{
	if (!atomic_add_unless(&partition->port_count, 1, HVPM_MAX_PORTS))
		return false;
	if (atomic_add_return(vp_buffers, &partition->vp_buffer_count) <=
	    HVPM_MAX_VP_BUFFERS)
		return true;
	release_room(partition, vp_buffers);
	return false;
}

static struct hvpm_port *alloc_port(struct hvpm_partition *partition,
				    const struct hvpm_port_spec *spec)
{
	unsigned int count = buffer_count(spec), i;
	struct hvpm_port *port;

	port = kvzalloc(struct_size(port, buffer, count), GFP_KERNEL_ACCOUNT);
	if (!port)
		return NULL;

	refcount_set(&port->usage, 1);
	refcount_set(&port->uses, 1);
	port->id = spec->id;
	port->type = spec->type;
	port->sint = spec->sint;
	port->target_vp = spec->target_vp;
	port->preferred_vp = HV_POSTMSG_ANY_VP;
	port->shared = spec->shared;
	port->alive = true;
	spin_lock_init(&port->lock);
	INIT_LIST_HEAD(&port->connections);
	INIT_LIST_HEAD(&port->feeder);
	hvpm_buffers_init(&port->buffers, count);
	for (i = 0; i < count; i++) {
		port->buffer[i].port = port;
		port->buffer[i].index = i;
		port->buffer[i].sint = spec->sint;
	}
	port->partition = hvpm_partition_get(partition);
	if (spec->endpoint)
		port->endpoint = hvpm_endpoint_get(spec->endpoint);
	return port;
}

/**
 * hvpm_port_put - drop a reference
 * @port: the port
 *
 * Context: any; does not sleep.
 */
void hvpm_port_put(struct hvpm_port *port)
{
	struct hvpm_partition *partition = port->partition;

	if (!refcount_dec_and_test(&port->usage))
		return;

	/* Every message accepted has been delivered or freed, its buffer too. */
	WARN_ON_ONCE(hvpm_buffers_free(&port->buffers) != port->buffers.count);
	WARN_ON_ONCE(atomic64_read(&port->posted) !=
		     atomic64_read(&port->delivered) +
		     atomic64_read(&port->freed));

	if (port->endpoint)
		hvpm_endpoint_put(port->endpoint);
	kvfree_rcu(port, rcu);
	hvpm_partition_put(partition);
}

/**
 * hvpm_port_put_use - the tree or a buffer does not need the port any more
 * @port: the port
 *
 * A peer that keeps a port file or connection of a dead port keeps its memory,
 * but does not use up the owner's limit.
 *
 * Context: any; does not sleep.
 */
void hvpm_port_put_use(struct hvpm_port *port)
{
	if (!refcount_dec_and_test(&port->uses))
		return;
	release_room(port->partition,
		     port->endpoint ? 0 : port->buffers.count);
	hvpm_port_put(port);
}

/**
 * hvpm_port_create - create a port
 * @partition: the owner
 * @spec: what it shall be
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -EINVAL the specification is malformed; -EOPNOTSUPP a target VP on
 *	a partition that has no VPs; -EXDEV the endpoint is another partition's;
 *	-ESHUTDOWN, -ENOSPC, -EEXIST, -ENOMEM.
 */
int hvpm_port_create(struct hvpm_partition *partition,
		     const struct hvpm_port_spec *spec)
{
	struct hvpm_port *port;
	int ret;

	might_sleep();

	if (!spec_valid(spec))
		return -EINVAL;
	if (!spec->endpoint && !partition->ops->find_vp)
		return -EOPNOTSUPP;
	if (spec->endpoint && spec->endpoint->partition != partition)
		return -EXDEV;

	if (!reserve_room(partition, vp_buffer_count(spec)))
		return -ENOSPC;
	port = alloc_port(partition, spec);
	if (!port) {
		release_room(partition, vp_buffer_count(spec));
		return -ENOMEM;
	}

	mutex_lock(&partition->lock);
	if (partition->dead) {
		ret = -ESHUTDOWN;
		goto out_unlock;
	}
	if (rb_find_add(&port->node, &partition->ports, compare_ports)) {
		ret = -EEXIST;
		goto out_unlock;
	}
	if (port->endpoint)
		hvpm_endpoint_add_port(port->endpoint, port);
	mutex_unlock(&partition->lock);
	return 0;

out_unlock:
	mutex_unlock(&partition->lock);
	hvpm_port_put_use(port);
	return ret;
}

/**
 * hvpm_port_find - find a port by ID
 * @partition: the owner
 * @id: port ID
 *
 * Context: the partition's lock held; it also keeps the port in place.
 * Return: the port, or NULL.
 */
struct hvpm_port *hvpm_port_find(struct hvpm_partition *partition, u32 id)
{
	struct rb_node *node;

	lockdep_assert_held(&partition->lock);

	node = rb_find(&id, &partition->ports, compare_ids);
	return node ? to_port(node) : NULL;
}

/**
 * hvpm_port_kill - first phase of deletion
 * @port: the port
 *
 * The caller takes the port out of the tree, waits for an RCU grace period and
 * then calls hvpm_port_bury().
 *
 * Context: the owner's lock held.
 */
void hvpm_port_kill(struct hvpm_port *port)
{
	struct hvpm_partition *partition = port->partition;

	lockdep_assert_held(&partition->lock);

	/* Against a connection that is being made: hvpm_connection_create(). */
	spin_lock(&port->lock);
	WRITE_ONCE(port->alive, false);
	/* Peers may keep theirs for ever. */
	atomic_sub(port->connection_count, &partition->peer_count);
	spin_unlock(&port->lock);
	if (port->endpoint)
		hvpm_endpoint_remove_port(port->endpoint, port);
	partition->high_water = max_t(unsigned int, partition->high_water,
				      atomic_read(&port->buffers.high_water));
}

/**
 * hvpm_port_bury - second phase of deletion: free what is queued
 * @port: the port, killed an RCU grace period ago; the tree's use is dropped
 *
 * Context: may sleep; takes queue locks.
 */
void hvpm_port_bury(struct hvpm_port *port)
{
	unsigned long slot;
	struct hvpm_vp *vp;
	LIST_HEAD(removed);

	if (port->endpoint) {
		hvpm_endpoint_remove_messages(port->endpoint, port);
	} else if (!READ_ONCE(port->partition->dead)) {
		/*
		 * An index may have moved to another VP since the post.  A dead
		 * partition's shutdown empties all its VPs.
		 */
		xa_for_each(&port->partition->vps, slot, vp) {
			spin_lock(&vp->queue.lock);
			hvpm_queue_remove(&vp->queue, port, &removed);
			spin_unlock(&vp->queue.lock);
		}
		hvpm_port_free_list(&removed);
	}
	/* A host poster that waits for a buffer of this port learns of its end. */
	hvpm_port_wake_posters(port);
	hvpm_port_put_use(port);
}

/**
 * hvpm_port_delete - delete a port ("HvCallDeletePort")
 * @partition: the owner
 * @id: port ID
 *
 * Its queued messages are freed.  One that reached a slot stays there.
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -ENOENT; -ESHUTDOWN.
 */
int hvpm_port_delete(struct hvpm_partition *partition, u32 id)
{
	struct hvpm_port *port;

	might_sleep();

	mutex_lock(&partition->lock);
	if (partition->dead) {
		mutex_unlock(&partition->lock);
		return -ESHUTDOWN;
	}
	port = hvpm_port_find(partition, id);
	if (port) {
		rb_erase(&port->node, &partition->ports);
		hvpm_port_kill(port);
	}
	mutex_unlock(&partition->lock);
	if (!port)
		return -ENOENT;

	synchronize_rcu();
	hvpm_port_bury(port);
	return 0;
}

/* Walks over the connections of any port, to wake those who ask for room. */
static atomic64_t walks = ATOMIC64_INIT(0);

/*
 * Very many connections may be of one partition, with very many who wait, and who is
 * woken asks again.  One walk wakes it once: what is asked behind the last wake by
 * this walk or a later one is asked behind the room that this one is for, and is
 * seen by whoever makes room next.
 */
static void wake_if_asked(struct hvpm_partition *from, s64 walk)
{
	s64 woken = atomic64_read(&from->woken);

	if (!READ_ONCE(from->asked))
		return;
	/* Others rely on it from the moment that they see its number. */
	preempt_disable();
	do {
		if (woken >= walk)
			goto out;
	} while (!atomic64_try_cmpxchg(&from->woken, &woken, walk));

	if (xchg(&from->asked, false))
		hvpm_partition_wake_posters(from);
out:
	preempt_enable();
}

/**
 * hvpm_port_wake_posters - tell host posters that it is worth trying again
 * @port: the port
 *
 * Called behind whatever makes room.  A poster sets &hvpm_port.starved and looks
 * once more before it sleeps, see hvpm_post_wait().
 *
 * Context: any; does not sleep.
 */
void hvpm_port_wake_posters(struct hvpm_port *port)
{
	struct hvpm_connection *connection;
	s64 walk;

	/* Pairs with the barrier in try_post(). */
	smp_mb();
	if (!READ_ONCE(port->starved))
		return;
	/*
	 * Before the walk: it must not undo what somebody asks whom that misses.
	 * Also pairs with the release in try_post(): whoever asked is seen.
	 */
	if (!xchg(&port->starved, false))
		return;

	walk = atomic64_inc_return(&walks);
	rcu_read_lock();
	list_for_each_entry_rcu(connection, &port->connections, peer)
		wake_if_asked(connection->partition, walk);
	rcu_read_unlock();
}

/**
 * hvpm_port_count_refusal - account a refused post
 * @port: the port that would have been posted to
 * @status: why it was refused
 *
 * Context: any.
 */
void hvpm_port_count_refusal(struct hvpm_port *port, enum hvpm_status status)
{
	switch (status) {
	case HVPM_STATUS_INVALID_PORT_ID:
		atomic64_inc(&port->refused_port);
		break;
	case HVPM_STATUS_INVALID_VP_INDEX:
		atomic64_inc(&port->refused_vp);
		break;
	case HVPM_STATUS_INVALID_SYNIC_STATE:
		atomic64_inc(&port->refused_synic);
		break;
	case HVPM_STATUS_INSUFFICIENT_BUFFERS:
		atomic64_inc(&port->refused_buffers);
		break;
	default:
		WARN_ON_ONCE(1);
	}
}

/**
 * hvpm_port_take_buffer - take one of the port's message buffers
 * @port: the port
 *
 * The buffer keeps the port in use until hvpm_port_give_buffer().
 *
 * Context: under RCU, any thread; takes no lock.
 * Return: the buffer, or NULL when none is free.
 */
struct hvpm_buffer *hvpm_port_take_buffer(struct hvpm_port *port)
{
	int index;

	if (!hvpm_buffers_any(&port->buffers))
		return NULL;
	/* The port may have died since it was looked up. */
	if (!refcount_inc_not_zero(&port->uses))
		return NULL;
	index = hvpm_buffers_take(&port->buffers);
	if (index < 0) {
		hvpm_port_put_use(port);
		return NULL;
	}
	return &port->buffer[index];
}

/**
 * hvpm_port_give_buffer - give a buffer back to its port
 * @buffer: the buffer, in no queue any more
 *
 * Context: any; does not sleep.
 */
void hvpm_port_give_buffer(struct hvpm_buffer *buffer)
{
	struct hvpm_port *port = buffer->port;

	hvpm_buffers_give(&port->buffers, buffer->index);
	hvpm_port_wake_posters(port);
	hvpm_port_put_use(port);
}

/**
 * hvpm_port_free_buffer - free a message without delivering it
 * @buffer: the message, in no queue any more
 *
 * Context: any; does not sleep.
 */
void hvpm_port_free_buffer(struct hvpm_buffer *buffer)
{
	this_cpu_inc(buffer->port->partition->counters->freed);
	atomic64_inc(&buffer->port->freed);
	hvpm_port_give_buffer(buffer);
}

/**
 * hvpm_port_free_list - free messages without delivering them
 * @removed: list by &hvpm_buffer.fifo, out of its queue; left empty
 *
 * Context: may sleep: there can be very many.
 */
void hvpm_port_free_list(struct list_head *removed)
{
	struct hvpm_buffer *buffer, *next;

	list_for_each_entry_safe(buffer, next, removed, fifo) {
		list_del(&buffer->fifo);
		hvpm_port_free_buffer(buffer);
		cond_resched();
	}
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/port_kunit.c"
#endif
