// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: connections are made, found without a lock, gone.
 */
#include "fake.h"

#define SINT	5
#define PORT	1

static struct hvpm_connection *find(struct fake_partition *vm, u32 id)
{
	struct hvpm_connection *connection;

	rcu_read_lock();
	connection = hvpm_connection_find(&vm->partition, id);
	rcu_read_unlock();
	return connection;
}

/* A partition with one port that many connections may lead to. */
static struct fake_partition *make_vm(struct kunit *test, bool shared)
{
	struct fake_partition *vm = fake_partition(test, 1);
	const struct hvpm_port_spec spec = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = FAKE_INDEX,
		.shared = shared,
	};

	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	return vm;
}

static void ids(struct kunit *test)
{
	static const struct {
		u32 id;
		int ret;
	} table[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 0x7fffff, 0 },
		{ 0x800000, 0 },
		{ 0xfffffe, 0 },
		{ HV_POSTMSG_ID_MAX, 0 },
		{ 0x1000000, -EINVAL },
		{ 0x1000001, -EINVAL },
		{ 0x80000001, -EINVAL },
		{ 0xffffffff, -EINVAL },
	};
	struct fake_partition *vm = make_vm(test, true);
	struct hvpm_port *port = fake_port(vm, PORT);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		KUNIT_EXPECT_EQ(test, table[i].ret,
				hvpm_connection_create(&vm->partition,
						       table[i].id, port, true));
		KUNIT_EXPECT_EQ(test, !!find(vm, table[i].id), !table[i].ret);
	}
	KUNIT_EXPECT_EQ(test, vm->partition.connection_count, 6u);
	/* A refused one leaves no reference behind: the port's own and 6. */
	KUNIT_EXPECT_EQ(test, refcount_read(&port->usage), 7u);
}

static void refused(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, false);
	struct fake_partition *peer = fake_partition(test, 0);
	struct hvpm_port *port = hvpm_port_get(fake_port(vm, PORT));

	KUNIT_EXPECT_EQ(test, -ELOOP,
			hvpm_connection_create(&vm->partition, 1, port, false));
	KUNIT_EXPECT_EQ(test, 0,
			hvpm_connection_create(&peer->partition, 1, port, false));
	KUNIT_EXPECT_EQ(test, -EEXIST,
			hvpm_connection_create(&peer->partition, 1, port, false));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			hvpm_connection_create(&peer->partition, 2, port, false));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			hvpm_connection_create(&vm->partition, 2, port, true));
	KUNIT_EXPECT_EQ(test, -ENOENT,
			hvpm_connection_delete(&peer->partition, 2));

	/* Free again. */
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&peer->partition, 1));
	KUNIT_EXPECT_EQ(test, -ENOENT,
			hvpm_connection_delete(&peer->partition, 1));
	KUNIT_EXPECT_EQ(test, 0,
			hvpm_connection_create(&vm->partition, 2, port, true));
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&vm->partition, 2));

	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, PORT));
	KUNIT_EXPECT_EQ(test, -ENXIO,
			hvpm_connection_create(&peer->partition, 1, port, false));
	fake_end(peer);
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			hvpm_connection_create(&peer->partition, 1, port, false));
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			hvpm_connection_delete(&peer->partition, 1));
	KUNIT_EXPECT_EQ(test, refcount_read(&port->usage), 1u);
	hvpm_port_put(port);
}

static void limit(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, true);
	struct hvpm_port *port = fake_port(vm, PORT);
	u32 id;

	for (id = 0; id < HVPM_MAX_CONNECTIONS; id++) {
		int ret = hvpm_connection_create(&vm->partition, id, port, true);

		if (ret)
			KUNIT_ASSERT_EQ(test, ret, 0);
		if (!(id % 1024))
			cond_resched();
	}
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			hvpm_connection_create(&vm->partition, id, port, true));
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&vm->partition, 77));
	KUNIT_EXPECT_EQ(test, 0,
			hvpm_connection_create(&vm->partition, id, port, true));
}

/* Also to all ports of a partition together, whoever connects. */
static void limit_of_a_peer(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, true);
	struct fake_partition *first = fake_partition(test, 0);
	struct fake_partition *second = fake_partition(test, 0);
	struct hvpm_port_spec spec = {
		.id = PORT + 1,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = FAKE_INDEX,
		.shared = true,
	};
	int left = 0, seconds = 0;
	u32 id;

	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	for (id = 0; id < HVPM_MAX_CONNECTIONS; id++) {
		int ret = fake_connect(id % 2 ? first : second, id, vm,
				       PORT + id % 3 / 2);

		if (ret)
			KUNIT_ASSERT_EQ(test, ret, 0);
		if (!(id % 1024))
			cond_resched();
	}
	KUNIT_EXPECT_EQ(test, -ENOSPC, fake_connect(first, id, vm, PORT));
	KUNIT_EXPECT_EQ(test, -ENOSPC, fake_connect(first, id, vm, PORT + 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC, fake_connect(vm, id, vm, PORT));
	/* One that is refused for something else does not count. */
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&second->partition, 0));
	KUNIT_EXPECT_EQ(test, -EEXIST, fake_connect(second, 2, vm, PORT + 1));
	KUNIT_EXPECT_EQ(test, 0, fake_connect(first, id, vm, PORT + 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC, fake_connect(first, id + 1, vm, PORT));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count),
			HVPM_MAX_CONNECTIONS);
	/* Nor do those to a port that is deleted, however long peers keep them. */
	for (id = 1; id < HVPM_MAX_CONNECTIONS; id++) {
		left += id % 3 < 2;
		seconds += id % 3 < 2 && id % 2 == 0;
	}
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, PORT + 1));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count), left);
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&first->partition, id));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count), left);
	KUNIT_EXPECT_EQ(test, 0, fake_connect(first, id, vm, PORT));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count), left + 1);
	/* Nor do those of a partition that has ended. */
	fake_end(second);
	fake_flush(&second->partition);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count),
			left + 1 - seconds);
}

static void tree_against_model(struct kunit *test)
{
	/* 256 IDs, from the least to the greatest there is. */
	const u32 stride = HV_POSTMSG_ID_MAX / 255;
	struct fake_partition *vm = make_vm(test, true);
	struct hvpm_port *port = fake_port(vm, PORT);
	unsigned int step, i, count = 0;
	bool present[256] = {};
	int ret;

	for (step = 0; step < 10000; step++) {
		i = fake_random(test, 256);
		if (fake_random(test, 10) < (step / 1000 % 2 ? 3 : 7)) {
			ret = hvpm_connection_create(&vm->partition, i * stride,
						     port, true);
			KUNIT_ASSERT_EQ(test, ret, present[i] ? -EEXIST : 0);
			count += !present[i];
			present[i] = true;
		} else {
			ret = hvpm_connection_delete(&vm->partition, i * stride);
			KUNIT_ASSERT_EQ(test, ret, present[i] ? 0 : -ENOENT);
			count -= present[i];
			present[i] = false;
		}
		KUNIT_ASSERT_EQ(test, vm->partition.connection_count, count);
		KUNIT_ASSERT_EQ(test, refcount_read(&port->usage), count + 1);
		if (step % 50)
			continue;
		for (i = 0; i < 256; i++) {
			struct hvpm_connection *found = find(vm, i * stride);

			KUNIT_ASSERT_EQ(test, present[i], !!found);
			if (found)
				KUNIT_ASSERT_EQ(test, found->id, i * stride);
			KUNIT_ASSERT_NULL(test, find(vm, i * stride + 1));
		}
	}
}

/* --- lookups while the tree changes --- */

/*
 * Every fourth ID is always there.  A reader that walks a plain rb-tree while it
 * is being rebalanced misses one now and then.
 */
#define LOOKUP_IDS	256
#define STABLE(id)	(!((id) % 4))

struct lookups {
	struct fake_partition *vm;
	struct rnd_state rnd;
	atomic_t found;
	atomic_t missed;
	atomic_t wrong;
};

static void lookup(void *arg)
{
	struct lookups *lookups = arg;
	struct hvpm_connection *connection;
	unsigned int i;
	u32 id;

	for (i = 0; i < 8; i++) {
		id = prandom_u32_state(&lookups->rnd) % LOOKUP_IDS;
		rcu_read_lock();
		connection = hvpm_connection_find(&lookups->vm->partition, id);
		if (connection && connection->id != id)
			atomic_inc(&lookups->wrong);
		if (connection)
			atomic_inc(&lookups->found);
		else if (STABLE(id))
			atomic_inc(&lookups->missed);
		rcu_read_unlock();
	}
}

static int lookup_thread(void *arg)
{
	while (!kthread_should_stop()) {
		lookup(arg);
		cond_resched();
	}
	return 0;
}

static void lookup_during_changes(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, true);
	struct hvpm_port *port = fake_port(vm, PORT);
	struct lookups from_thread = { .vm = vm };
	struct lookups from_tick = { .vm = vm };
	unsigned int changes = 0;
	bool present[LOOKUP_IDS] = {};
	struct task_struct *thread;
	struct fake_ticker ticker;
	unsigned long end;
	u32 id;

	prandom_seed_state(&from_thread.rnd, fake_random(test, U32_MAX));
	prandom_seed_state(&from_tick.rnd, fake_random(test, U32_MAX));
	for (id = 0; id < LOOKUP_IDS; id++)
		if (STABLE(id))
			KUNIT_ASSERT_EQ(test, 0,
					hvpm_connection_create(&vm->partition, id,
							       port, true));

	thread = kthread_run(lookup_thread, &from_thread, "lookup");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread);
	fake_ticker_start(test, &ticker, lookup, &from_tick);
	end = jiffies + FAKE_LONG_TIMEOUT;
	while ((atomic_read(&ticker.ticks) < 10000 || changes < 10000) &&
	       time_before(jiffies, end)) {
		int ret;

		id = fake_random(test, LOOKUP_IDS);
		if (STABLE(id))
			continue;
		if (present[id])
			ret = hvpm_connection_delete(&vm->partition, id);
		else
			ret = hvpm_connection_create(&vm->partition, id, port,
						     true);
		if (ret)
			break;
		present[id] = !present[id];
		if (!(++changes % 64))
			cond_resched();
	}
	fake_ticker_stop(&ticker);
	kthread_stop(thread);

	kunit_info(test, "note: %u changes, %d interrupts, %d lookups by a thread\n",
		   changes, atomic_read(&ticker.ticks),
		   atomic_read(&from_thread.found));
	KUNIT_EXPECT_GE(test, changes, 10000u);
	KUNIT_EXPECT_GE(test, atomic_read(&ticker.ticks), 10000);
	KUNIT_EXPECT_EQ(test, atomic_read(&from_tick.missed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&from_tick.wrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&from_thread.missed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&from_thread.wrong), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&from_thread.found), 100);
}

/* The same without all that a change costs besides: more of it in rotations. */
struct rotations {
	struct fake_partition *vm;
	struct hvpm_connection connection[LOOKUP_IDS];
	atomic_t missed;
	atomic_t wrong;
};

static void lookup_stable(void *arg)
{
	struct rotations *rotations = arg;
	struct hvpm_connection *found;
	u32 id;

	rcu_read_lock();
	for (id = 0; id < LOOKUP_IDS; id++) {
		if (!STABLE(id))
			continue;
		found = hvpm_connection_find(&rotations->vm->partition, id);
		if (!found)
			atomic_inc(&rotations->missed);
		else if (found != &rotations->connection[id])
			atomic_inc(&rotations->wrong);
	}
	rcu_read_unlock();
}

static void lookup_during_rotations(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 0);
	struct latch_tree_root *root = &vm->partition.connections;
	bool present[LOOKUP_IDS] = {};
	struct rotations *rotations;
	struct fake_ticker ticker;
	unsigned int i, changes = 0;
	unsigned long end;
	u32 id;

	rotations = kunit_kzalloc(test, sizeof(*rotations), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rotations);
	rotations->vm = vm;
	mutex_lock(&vm->partition.lock);
	for (id = 0; id < LOOKUP_IDS; id++) {
		rotations->connection[id].id = id;
		present[id] = STABLE(id);
		if (present[id])
			latch_tree_insert(&rotations->connection[id].node, root,
					  &connection_ops);
	}
	mutex_unlock(&vm->partition.lock);

	fake_ticker_start(test, &ticker, lookup_stable, rotations);
	end = jiffies + FAKE_LONG_TIMEOUT;
	while (atomic_read(&ticker.ticks) < 10000 && time_before(jiffies, end)) {
		/* No reader spans two changes: a node can be used again at once. */
		mutex_lock(&vm->partition.lock);
		for (i = 0; i < 1000; i++) {
			struct hvpm_connection *connection;

			id = fake_random(test, LOOKUP_IDS);
			if (STABLE(id))
				continue;
			connection = &rotations->connection[id];
			if (present[id])
				latch_tree_erase(&connection->node, root,
						 &connection_ops);
			else
				latch_tree_insert(&connection->node, root,
						  &connection_ops);
			present[id] = !present[id];
			changes++;
		}
		mutex_unlock(&vm->partition.lock);
		cond_resched();
	}
	fake_ticker_stop(&ticker);
	root->tree[0] = RB_ROOT;
	root->tree[1] = RB_ROOT;

	kunit_info(test, "note: %u changes, %d interrupts\n", changes,
		   atomic_read(&ticker.ticks));
	KUNIT_EXPECT_GE(test, atomic_read(&ticker.ticks), 10000);
	KUNIT_EXPECT_EQ(test, atomic_read(&rotations->missed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&rotations->wrong), 0);
}

/* --- what a disconnect does not do --- */

static void messages_stay(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, false);

	KUNIT_ASSERT_EQ(test, 0, fake_connect(vm, 3, vm, PORT));
	KUNIT_EXPECT_EQ(test, fake_post(vm, 3, 30), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 3, 31), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&vm->partition, 3));
	KUNIT_EXPECT_EQ(test, fake_post(vm, 3, 32),
			HVPM_STATUS_INVALID_CONNECTION_ID);
	hvpm_vp_scan(&vm->vp[0].vp);
	KUNIT_EXPECT_EQ(test, fake_take(&vm->vp[0], SINT), 30u);
	hvpm_vp_scan(&vm->vp[0].vp);
	KUNIT_EXPECT_EQ(test, fake_take(&vm->vp[0], SINT), 31u);
}

static void shutdown_disconnects(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, true);
	struct fake_partition *peer = fake_partition(test, 0);
	struct hvpm_port *port = fake_port(vm, PORT);
	u32 id;

	for (id = 0; id < 100; id++)
		KUNIT_ASSERT_EQ(test, 0, fake_connect(peer, id, vm, PORT));
	KUNIT_EXPECT_EQ(test, refcount_read(&port->usage), 101u);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count), 100);
	hvpm_partition_shutdown(&peer->partition);
	/* At once nothing goes over them any more, though they may still be there. */
	KUNIT_EXPECT_EQ(test, fake_post(peer, 7, 1),
			HVPM_STATUS_INVALID_CONNECTION_ID);
	hvpm_connection_delete_all(&peer->partition);
	KUNIT_EXPECT_EQ(test, peer->partition.connection_count, 0u);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.peer_count), 0);
	KUNIT_EXPECT_EQ(test, refcount_read(&port->usage), 1u);
	for (id = 0; id < 100; id++)
		KUNIT_EXPECT_NULL(test, find(peer, id));
	/* The port lives and can be connected to. */
	KUNIT_EXPECT_EQ(test, 0, fake_connect(vm, 1, vm, PORT));
}

static struct kunit_case connection_cases[] = {
	KUNIT_CASE(ids),
	KUNIT_CASE(refused),
	KUNIT_CASE(limit),
	KUNIT_CASE(limit_of_a_peer),
	KUNIT_CASE(tree_against_model),
	KUNIT_CASE(lookup_during_changes),
	KUNIT_CASE(lookup_during_rotations),
	KUNIT_CASE(messages_stay),
	KUNIT_CASE(shutdown_disconnects),
	{}
};

static struct kunit_suite connection_suite = {
	.name = "hv_postmsg_connection",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = connection_cases,
};

kunit_test_suite(connection_suite);
