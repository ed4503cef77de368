/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Partition: a VM or the host side, with its ports, connections and VPs.
 */
#ifndef _HV_POSTMSG_PARTITION_H
#define _HV_POSTMSG_PARTITION_H

#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/rbtree_latch.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <uapi/linux/hv_postmsg.h>

#include "status.h"

struct hvpm_owner;
struct hvpm_partition;
struct hvpm_vp;

/**
 * struct hvpm_partition_ops - what is behind a partition
 *
 * @find_vp: find the VP with an index, or with HV_POSTMSG_ANY_VP tell only why
 *	there is none; under RCU, from any thread.  Returns the VP, or NULL and
 *	in @status HV_STATUS_INVALID_VP_INDEX (there is no such VP; with
 *	HV_POSTMSG_ANY_VP, none at all) or HV_STATUS_INVALID_SYNIC_STATE (there
 *	is, but its SynIC was never set up).  NULL: the partition has no VPs
 * @withdraw: make the partition unreachable for new calls of its VPs; must not
 *	wait.  Called once, under the partition's lock
 * @quiesce: have @func called with @head when no VP uses the partition any more,
 *	however long that takes; must not wait for it.  Called once, behind
 *	@withdraw, from a worker, no lock held.  NULL: no VP ever uses it
 * @detach: let go of the VM.  Called once, behind that, from a worker, no lock
 *	held.  NULL: there is none
 * @free: free the memory; called from a worker, one RCU grace period after the
 *	last reference is gone
 */
struct hvpm_partition_ops {
	struct hvpm_vp *(*find_vp)(struct hvpm_partition *partition, u32 index,
				   enum hvpm_status *status);
	void (*withdraw)(struct hvpm_partition *partition);
	void (*quiesce)(struct hvpm_partition *partition, struct rcu_head *head,
			rcu_callback_t func);
	void (*detach)(struct hvpm_partition *partition);
	void (*free)(struct hvpm_partition *partition);
};

/**
 * struct hvpm_partition_counters - one CPU's share of a partition's statistics
 *
 * @posted: messages this partition's ports accepted
 * @delivered: messages delivered from them
 * @freed: messages of them freed without delivery
 * @faults: slot accesses that failed
 * @passed: posts of this partition handed to the VMM
 * @status: posts of this partition by HV_STATUS
 */
struct hvpm_partition_counters {
	u64 posted;
	u64 delivered;
	u64 freed;
	u64 faults;
	u64 passed;
	u64 status[HV_POSTMSG_STATUS_COUNT];
};

/**
 * struct hvpm_partition - a partition
 *
 * @ops: what is behind it, constant
 * @usage: the file's or worker's reference, one per port and endpoint
 * @free_work: frees the memory, one RCU grace period after the last reference
 * @lock: the writer side of everything below that says so.  Outside of
 *	&hvpm_port.lock and &hvpm_queue.lock; never held with another partition's
 * @flags: HV_POSTMSG_PARTITION_*, constant
 * @active: in the active state; written under @lock, read without
 * @dead: shut down; set under @lock, for ever
 * @ports: tree of ports by ID, under @lock
 * @port_count: ports in @ports and ports deleted whose buffers are not all back:
 *	what counts against the limit
 * @vp_buffer_count: message buffers of those of them whose target is a VP
 * @peer_count: connections to its living ports, of any partition
 * @connections: latched tree of connections by ID: written under @lock, read
 *	under RCU
 * @connection_count: connections, under @lock
 * @connection_drops: connections deleted so far: what a VP remembers of one is true
 *	only if there was none since.  Written under @lock, read without
 * @endpoints: list of endpoints, under @lock
 * @endpoint_count: endpoints, under @lock
 * @vps: VPs by slot: the number the VM's side gave them; inserted at any time,
 *	erased only when the partition is freed, read under RCU
 * @queued: bitmap over the same numbers: VPs that may have something queued
 * @vp_limit: bits in @queued, constant
 * @post_wait: host posters of this partition that wait for a buffer
 * @starved: a host post was refused for lack of buffers and nothing was freed
 *	since: no POLLOUT
 * @asked: a host post asks to be told of room: the next that finds this wakes all of
 *	@post_wait, and nobody else has to until it is asked again
 * @woken: number of the last walk over a port's connections that woke them
 * @high_water: greatest mark of a deleted port, under @lock
 * @owner: the address space it ends with, or NULL; set before it is known to
 *	others
 * @shutdown_work: what hvpm_partition_shutdown() leaves to a worker, one RCU grace
 *	period later
 * @quiet: calls back when no VP uses the partition any more
 * @finish_work: what is done when @owner does not, either
 * @counters: statistics, written by any thread on its CPU
 */
struct hvpm_partition {
	const struct hvpm_partition_ops *ops;
	refcount_t usage;
	struct rcu_work free_work;
	/* Writers: state, trees, lists.  Outermost. */
	struct mutex lock;
	u32 flags;
	bool active;
	bool dead;
	struct rb_root ports;
	atomic_t port_count;
	atomic_t vp_buffer_count;
	atomic_t peer_count;
	struct latch_tree_root connections;
	unsigned int connection_count;
	unsigned long connection_drops;
	struct list_head endpoints;
	unsigned int endpoint_count;
	struct xarray vps;
	unsigned long *queued;
	unsigned int vp_limit;
	wait_queue_head_t post_wait;
	bool starved;
	bool asked;
	atomic64_t woken;
	unsigned int high_water;
	struct hvpm_owner *owner;
	struct rcu_work shutdown_work;
	struct rcu_head quiet;
	struct work_struct finish_work;
	struct hvpm_partition_counters __percpu *counters;
};

int hvpm_partition_init(struct hvpm_partition *partition,
			const struct hvpm_partition_ops *ops, u32 flags,
			unsigned int vp_limit);
void hvpm_partition_uninit(struct hvpm_partition *partition);
void hvpm_partition_shutdown(struct hvpm_partition *partition);
void hvpm_partition_unbound(struct hvpm_partition *partition);
void hvpm_partition_put(struct hvpm_partition *partition);
bool hvpm_partition_defer(struct work_struct *work);
int hvpm_partition_set_state(struct hvpm_partition *partition, bool active);
int hvpm_partition_reset_vp(struct hvpm_partition *partition, u32 index);
void hvpm_partition_wake_posters(struct hvpm_partition *partition);
int hvpm_partition_stats(struct hvpm_partition *partition,
			 struct hv_postmsg_partition_stats *stats);

int hvpm_partition_setup(void);
void hvpm_partition_cleanup(void);

/**
 * hvpm_partition_get - take another reference
 * @partition: a partition the caller holds a reference to
 *
 * Context: any.
 * Return: @partition.
 */
static inline struct hvpm_partition *
hvpm_partition_get(struct hvpm_partition *partition)
{
	refcount_inc(&partition->usage);
	return partition;
}

#endif /* _HV_POSTMSG_PARTITION_H */
