/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connection: the right of a partition to post to one port.
 */
#ifndef _HV_POSTMSG_CONNECTION_H
#define _HV_POSTMSG_CONNECTION_H

#include <linux/list.h>
#include <linux/rbtree_latch.h>
#include <linux/rcupdate.h>

struct hvpm_partition;
struct hvpm_port;

/**
 * struct hvpm_connection - a one-way pipe to a port ("Connections")
 *
 * @node: link in the owner's latched tree: written under the owner's lock, read
 *	under RCU
 * @rcu: the memory outlives lockless readers by a grace period
 * @peer: link in the port's list of connections, under the port's lock, read
 *	under RCU
 * @partition: the owner; valid as long as the connection is reachable
 * @port: the port, constant; pinned by this connection
 * @id: connection ID, constant
 */
struct hvpm_connection {
	struct latch_tree_node node;
	struct rcu_head rcu;
	struct list_head peer;
	struct hvpm_partition *partition;
	struct hvpm_port *port;
	u32 id;
};

int hvpm_connection_create(struct hvpm_partition *partition, u32 id,
			   struct hvpm_port *port, bool allow_self);
int hvpm_connection_delete(struct hvpm_partition *partition, u32 id);
void hvpm_connection_delete_all(struct hvpm_partition *partition);
struct hvpm_connection *hvpm_connection_find(struct hvpm_partition *partition,
					     u32 id);

#endif /* _HV_POSTMSG_CONNECTION_H */
