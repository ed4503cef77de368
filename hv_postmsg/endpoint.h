/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Endpoint: a file on the host that receives what the ports feeding it accept.
 */
#ifndef _HV_POSTMSG_ENDPOINT_H
#define _HV_POSTMSG_ENDPOINT_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "queue.h"
#include "status.h"

struct file;
struct hvpm_partition;
struct hvpm_port;

/**
 * struct hvpm_endpoint - an endpoint
 *
 * @usage: the file's reference and one per port that feeds the endpoint
 * @rcu: the memory outlives lockless readers by a grace period
 * @partition: the owner, pinned by this endpoint
 * @node: link in the owner's list, under the owner's lock
 * @depth: most messages it holds, constant
 * @held: messages it holds or that are being pushed
 * @closed: the file is gone: posts are refused.  A message may still be pushed by
 *	who has not seen it, and has to be freed by who sees it then
 * @drain_work: frees such messages; has a reference of its own while it is pending
 * @fed: a port has fed it at some time; under the owner's lock, read without
 * @ports: the ports that feed it; written under the owner's lock, read under RCU
 * @read_lock: one reader at a time, so that messages stay in order.  Outside of
 *	queue.lock
 * @sent_away: a reader that does not wait found another at it: what that leaves in the
 *	queue is news
 * @queue: messages waiting to be read, in the FIFO of SINT 0
 * @wait: readers and pollers
 */
struct hvpm_endpoint {
	refcount_t usage;
	struct rcu_head rcu;
	struct hvpm_partition *partition;
	struct list_head node;
	unsigned int depth;
	atomic_t held;
	bool closed;
	struct work_struct drain_work;
	bool fed;
	struct list_head ports;
	/* One reader at a time.  Outside of @queue's lock. */
	struct mutex read_lock;
	bool sent_away;
	struct hvpm_queue queue;
	wait_queue_head_t wait;
};

struct hvpm_endpoint *hvpm_endpoint_create(struct hvpm_partition *partition,
					   u32 depth);
void hvpm_endpoint_close(struct hvpm_endpoint *endpoint);
void hvpm_endpoint_put(struct hvpm_endpoint *endpoint);
struct hvpm_endpoint *hvpm_endpoint_from_file(struct file *file);
int hvpm_endpoint_open_fd(struct hvpm_endpoint *endpoint);

void hvpm_endpoint_hang_up(struct hvpm_endpoint *endpoint);
void hvpm_endpoint_add_port(struct hvpm_endpoint *endpoint,
			    struct hvpm_port *port);
void hvpm_endpoint_remove_port(struct hvpm_endpoint *endpoint,
			       struct hvpm_port *port);
void hvpm_endpoint_remove_messages(struct hvpm_endpoint *endpoint,
				   struct hvpm_port *port);

enum hvpm_status hvpm_endpoint_reserve(struct hvpm_endpoint *endpoint);
void hvpm_endpoint_cancel(struct hvpm_endpoint *endpoint);
void hvpm_endpoint_post(struct hvpm_endpoint *endpoint,
			struct hvpm_buffer *buffer);

/**
 * hvpm_endpoint_get - take another reference
 * @endpoint: an endpoint the caller holds a reference to
 *
 * Context: any.
 * Return: @endpoint.
 */
static inline struct hvpm_endpoint *
hvpm_endpoint_get(struct hvpm_endpoint *endpoint)
{
	refcount_inc(&endpoint->usage);
	return endpoint;
}

#endif /* _HV_POSTMSG_ENDPOINT_H */
