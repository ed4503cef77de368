// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connection: connect, disconnect, lookup.
 *
 * A post looks its connection up without a lock while others connect and
 * disconnect.  A plain rb-tree reader can miss a node that is being rotated, so
 * the tree is a latched one: of its two copies one is always whole, and the
 * reader retries in the rare case that the copy it walks was changed.
 */
#include <linux/kcsan-checks.h>
#include <linux/rbtree_latch.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "connection.h"
#include "limits.h"
#include "partition.h"
#include "port.h"

#define to_connection(ptr)	container_of((ptr), struct hvpm_connection, node)

static __always_inline bool connection_less(struct latch_tree_node *a,
					    struct latch_tree_node *b)
{
	return to_connection(a)->id < to_connection(b)->id;
}

static __always_inline int connection_compare(void *key,
					      struct latch_tree_node *node)
{
	u32 id = *(u32 *)key;

	if (id == to_connection(node)->id)
		return 0;
	return id < to_connection(node)->id ? -1 : 1;
}

static const struct latch_tree_ops connection_ops = {
	.less = connection_less,
	.comp = connection_compare,
};

/**
 * hvpm_connection_find - find a connection by ID
 * @partition: the owner
 * @id: connection ID
 *
 * Context: under RCU, which keeps what is found in memory, or the partition's
 *	lock held.
 * Return: the connection, or NULL.
 */
struct hvpm_connection *hvpm_connection_find(struct hvpm_partition *partition,
					     u32 id)
{
	struct latch_tree_node *node;

	node = latch_tree_find(&id, &partition->connections, &connection_ops);
	return node ? to_connection(node) : NULL;
}

/*
 * The count of a latch, which lookups read meanwhile, is written by a plain store in the
 * kernel's own header.  KCSAN is told here that it is one word.
 */
static void insert(struct hvpm_connection *connection)
{
	kcsan_nestable_atomic_begin();
	latch_tree_insert(&connection->node, &connection->partition->connections,
			  &connection_ops);
	kcsan_nestable_atomic_end();
}

static void erase(struct hvpm_connection *connection)
{
	kcsan_nestable_atomic_begin();
	latch_tree_erase(&connection->node, &connection->partition->connections,
			 &connection_ops);
	kcsan_nestable_atomic_end();
}

/* Enter the port's list, if the port still lives and can take a connection. */
static int join_port(struct hvpm_connection *connection)
{
	struct hvpm_port *port = connection->port;
	int ret = 0;

	spin_lock(&port->lock);
	if (!port->alive)
		ret = -ENXIO;
	else if (!port->shared && !list_empty(&port->connections))
		ret = -EBUSY;
	else if (!atomic_add_unless(&port->partition->peer_count, 1,
				    HVPM_MAX_CONNECTIONS))
		ret = -ENOSPC;
	if (!ret) {
		list_add_tail_rcu(&connection->peer, &port->connections);
		port->connection_count++;
	}
	spin_unlock(&port->lock);
	return ret;
}

/**
 * hvpm_connection_create - connect a partition to a port ("HvCallConnectPort")
 * @partition: the partition that will post
 * @id: connection ID
 * @port: the port; the caller holds a reference
 * @allow_self: allow a port of @partition itself
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -EINVAL malformed ID; -ELOOP, -EEXIST, -EBUSY, -ENXIO the port was
 *	deleted; -ENOSPC, -ENOMEM, -ESHUTDOWN.
 */
int hvpm_connection_create(struct hvpm_partition *partition, u32 id,
			   struct hvpm_port *port, bool allow_self)
{
	struct hvpm_connection *connection;
	int ret;

	might_sleep();

	if (id > HV_POSTMSG_ID_MAX)
		return -EINVAL;
	if (port->partition == partition && !allow_self)
		return -ELOOP;

	connection = kzalloc(sizeof(*connection), GFP_KERNEL_ACCOUNT);
	if (!connection)
		return -ENOMEM;
	connection->id = id;
	connection->partition = partition;
	connection->port = hvpm_port_get(port);

	mutex_lock(&partition->lock);
	if (partition->dead)
		ret = -ESHUTDOWN;
	else if (hvpm_connection_find(partition, id))
		ret = -EEXIST;
	else if (partition->connection_count >= HVPM_MAX_CONNECTIONS)
		ret = -ENOSPC;
	else
		ret = join_port(connection);
	if (!ret) {
		insert(connection);
		partition->connection_count++;
	}
	mutex_unlock(&partition->lock);

	if (ret) {
		hvpm_port_put(port);
		kfree(connection);
	}
	return ret;
}

static void drop_connection(struct hvpm_connection *connection)
{
	struct hvpm_partition *partition = connection->partition;
	struct hvpm_port *port = connection->port;

	lockdep_assert_held(&partition->lock);

	erase(connection);
	partition->connection_count--;
	/* Behind the erasure; pairs with the acquire in find_again(). */
	smp_store_release(&partition->connection_drops,
			  partition->connection_drops + 1);
	spin_lock(&port->lock);
	list_del_rcu(&connection->peer);
	port->connection_count--;
	/* Otherwise hvpm_port_kill() has done it. */
	if (port->alive)
		atomic_dec(&port->partition->peer_count);
	spin_unlock(&port->lock);
	/* A post that found the connection may still look at the port: RCU. */
	hvpm_port_put(port);
	kfree_rcu(connection, rcu);
}

/**
 * hvpm_connection_delete - disconnect ("HvCallDisconnectPort")
 * @partition: the owner
 * @id: connection ID
 *
 * Messages posted through it stay queued.
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -ENOENT; -ESHUTDOWN.
 */
int hvpm_connection_delete(struct hvpm_partition *partition, u32 id)
{
	struct hvpm_connection *connection;
	int ret = 0;

	might_sleep();

	mutex_lock(&partition->lock);
	connection = hvpm_connection_find(partition, id);
	if (partition->dead)
		ret = -ESHUTDOWN;
	else if (!connection)
		ret = -ENOENT;
	else
		drop_connection(connection);
	mutex_unlock(&partition->lock);

	/* A host poster waiting for this connection's port learns of its end. */
	if (!ret)
		hvpm_partition_wake_posters(partition);
	return ret;
}

/**
 * hvpm_connection_delete_all - disconnect everything
 * @partition: the owner, dead
 *
 * Context: may sleep, and take long; takes the partition's lock.
 */
void hvpm_connection_delete_all(struct hvpm_partition *partition)
{
	struct rb_root *root = &partition->connections.tree[0];
	struct rb_node *node;

	might_sleep();

	mutex_lock(&partition->lock);
	while ((node = rb_first(root))) {
		drop_connection(container_of(node, struct hvpm_connection,
					     node.node[0]));
		cond_resched();
	}
	mutex_unlock(&partition->lock);
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/connection_kunit.c"
#endif
