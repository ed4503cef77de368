/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Port: where messages are accepted.
 */
#ifndef _HV_POSTMSG_PORT_H
#define _HV_POSTMSG_PORT_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>

#include "buffer.h"
#include "status.h"

struct hvpm_endpoint;
struct hvpm_partition;

/**
 * struct hvpm_port - a port and the message buffers it owns ("Ports")
 *
 * @node: link in the owner's tree of ports, under the owner's lock
 * @usage: one for @uses, one per port file and connection: keeps the memory
 * @uses: one for the tree, one per buffer in use: while there is any, the port
 *	counts against its owner's limit
 * @rcu: the memory outlives lockless readers by a grace period
 * @partition: the owner, pinned by this port
 * @id: port ID, constant
 * @type: HV_POSTMSG_PORT_MESSAGE or _EVENT, constant
 * @sint: target SINT, 1 to 15; 0 where the target is an endpoint; constant
 * @target_vp: index of the target VP, or HV_POSTMSG_ANY_VP; constant
 * @preferred_vp: index tried first with HV_POSTMSG_ANY_VP; written under the
 *	owner's lock, read without
 * @next_vp: where the next search for any VP starts
 * @endpoint: the target endpoint or NULL, constant; pinned by this port
 * @feeder: link in the endpoint's list of ports; written under the owner's lock,
 *	read under RCU
 * @shared: more than one connection is allowed, constant
 * @alive: not deleted; cleared under the owner's lock, and one RCU grace period
 *	later nobody can be pushing a message of this port any more
 * @starved: a host poster waits for a buffer; see hvpm_port_wake_posters()
 * @lock: @connections for writers, their count, and @alive against a new
 *	connection.  Nests inside the lock of the connecting partition
 * @connections: the connections to this port, read under RCU
 * @connection_count: how many, under @lock; if @alive they count against the owner's
 *	limit
 * @posted: messages accepted
 * @delivered: messages written to a slot or read from the endpoint
 * @freed: messages freed without delivery
 * @refused_port: refusals with HV_STATUS_INVALID_PORT_ID
 * @refused_vp: refusals with HV_STATUS_INVALID_VP_INDEX
 * @refused_synic: refusals with HV_STATUS_INVALID_SYNIC_STATE
 * @refused_buffers: refusals with HV_STATUS_INSUFFICIENT_BUFFERS
 * @buffers: which of @buffer are free
 * @buffer: the message buffers, allocated with the port
 */
struct hvpm_port {
	struct rb_node node;
	refcount_t usage;
	refcount_t uses;
	struct rcu_head rcu;
	struct hvpm_partition *partition;
	u32 id;
	u32 type;
	u32 sint;
	u32 target_vp;
	u32 preferred_vp;
	atomic_t next_vp;
	struct hvpm_endpoint *endpoint;
	struct list_head feeder;
	bool shared;
	bool alive;
	bool starved;
	/* @connections and @alive.  Inside of a partition's lock. */
	spinlock_t lock;
	struct list_head connections;
	unsigned int connection_count;
	atomic64_t posted;
	atomic64_t delivered;
	atomic64_t freed;
	atomic64_t refused_port;
	atomic64_t refused_vp;
	atomic64_t refused_synic;
	atomic64_t refused_buffers;
	struct hvpm_buffers buffers;
	struct hvpm_buffer buffer[];
};

/**
 * struct hvpm_port_spec - what a new port shall be
 *
 * @id: port ID
 * @type: HV_POSTMSG_PORT_MESSAGE or _EVENT
 * @sint: target SINT, 0 with @endpoint
 * @target_vp: target VP index or HV_POSTMSG_ANY_VP
 * @buffers: message buffers, 0 for the default
 * @shared: allow more than one connection
 * @endpoint: target endpoint or NULL
 */
struct hvpm_port_spec {
	u32 id;
	u32 type;
	u32 sint;
	u32 target_vp;
	u32 buffers;
	bool shared;
	struct hvpm_endpoint *endpoint;
};

int hvpm_port_create(struct hvpm_partition *partition,
		     const struct hvpm_port_spec *spec);
int hvpm_port_delete(struct hvpm_partition *partition, u32 id);
struct hvpm_port *hvpm_port_find(struct hvpm_partition *partition, u32 id);
void hvpm_port_kill(struct hvpm_port *port);
void hvpm_port_bury(struct hvpm_port *port);
void hvpm_port_put(struct hvpm_port *port);
void hvpm_port_put_use(struct hvpm_port *port);
void hvpm_port_wake_posters(struct hvpm_port *port);
void hvpm_port_count_refusal(struct hvpm_port *port, enum hvpm_status status);

struct hvpm_buffer *hvpm_port_take_buffer(struct hvpm_port *port);
void hvpm_port_give_buffer(struct hvpm_buffer *buffer);
void hvpm_port_free_buffer(struct hvpm_buffer *buffer);
void hvpm_port_free_list(struct list_head *removed);

/**
 * hvpm_port_get - take another reference
 * @port: a port the caller holds a reference to
 *
 * Context: any.
 * Return: @port.
 */
static inline struct hvpm_port *hvpm_port_get(struct hvpm_port *port)
{
	refcount_inc(&port->usage);
	return port;
}

/**
 * hvpm_port_any_vp - is the port's target any VP?
 * @port: the port
 *
 * Context: any.
 * Return: true for an HV_POSTMSG_ANY_VP port.
 */
static inline bool hvpm_port_any_vp(const struct hvpm_port *port)
{
	return !port->endpoint && port->target_vp == HV_POSTMSG_ANY_VP;
}

#endif /* _HV_POSTMSG_PORT_H */
