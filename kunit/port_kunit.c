// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: ports are what was asked for, are found, die whole.
 */
#include "fake.h"

#define SINT	5

static const struct hvpm_port_spec plain = {
	.id = 1,
	.type = HV_POSTMSG_PORT_MESSAGE,
	.sint = SINT,
	.target_vp = FAKE_INDEX,
};

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
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_port_spec spec = plain;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, HV_POSTMSG_ID_MAX, 0xffffffu);
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		spec.id = table[i].id;
		KUNIT_EXPECT_EQ(test, table[i].ret,
				hvpm_port_create(&vm->partition, &spec));
		if (table[i].ret)
			KUNIT_EXPECT_NULL(test, fake_port(vm, spec.id));
		else
			KUNIT_EXPECT_EQ(test, fake_port(vm, spec.id)->id,
					spec.id);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), 6);
}

static void specs(struct kunit *test)
{
	static const struct {
		u32 type, sint, target_vp, buffers;
		bool endpoint;
		int ret;
	} table[] = {
		/* Types. */
		{ 0, 1, 0, 0, false, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 0, false, 0 },
		{ HV_POSTMSG_PORT_EVENT, 1, 0, 0, false, 0 },
		{ 3, 1, 0, 0, false, -EINVAL },
		{ 0xffffffff, 1, 0, 0, false, -EINVAL },
		/* SINTs: 0 is the hypervisor's. */
		{ HV_POSTMSG_PORT_MESSAGE, 0, 0, 0, false, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 15, 0, 0, false, 0 },
		{ HV_POSTMSG_PORT_MESSAGE, 16, 0, 0, false, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 0xffffffff, 0, 0, false, -EINVAL },
		{ HV_POSTMSG_PORT_EVENT, 0, 0, 0, false, -EINVAL },
		{ HV_POSTMSG_PORT_EVENT, 16, 0, 0, false, -EINVAL },
		/* Target VPs need not exist. */
		{ HV_POSTMSG_PORT_MESSAGE, 1, 12345, 0, false, 0 },
		{ HV_POSTMSG_PORT_MESSAGE, 1, HV_POSTMSG_ANY_VP, 0, false, 0 },
		/* Buffers. */
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 1, false, 0 },
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 64, false, 0 },
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 65, false, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 0xffffffff, false, -EINVAL },
		{ HV_POSTMSG_PORT_EVENT, 1, 0, 1, false, -EINVAL },
		/* An endpoint is the whole target. */
		{ HV_POSTMSG_PORT_MESSAGE, 0, 0, 0, true, 0 },
		{ HV_POSTMSG_PORT_MESSAGE, 1, 0, 0, true, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 0, 1, 0, true, -EINVAL },
		{ HV_POSTMSG_PORT_MESSAGE, 0, HV_POSTMSG_ANY_VP, 0, true, -EINVAL },
		{ HV_POSTMSG_PORT_EVENT, 0, 0, 0, true, 0 },
	};
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_endpoint *endpoint;
	unsigned int i, made = 0;

	endpoint = hvpm_endpoint_create(&vm->partition, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct hvpm_port_spec spec = {
			.id = i,
			.type = table[i].type,
			.sint = table[i].sint,
			.target_vp = table[i].target_vp,
			.buffers = table[i].buffers,
			.endpoint = table[i].endpoint ? endpoint : NULL,
		};
		struct hvpm_port *port;
		unsigned int count = 0;

		KUNIT_EXPECT_EQ_MSG(test, table[i].ret,
				    hvpm_port_create(&vm->partition, &spec),
				    "row %u", i);
		port = fake_port(vm, i);
		if (table[i].ret) {
			KUNIT_EXPECT_NULL(test, port);
			continue;
		}
		made++;
		KUNIT_ASSERT_NOT_NULL(test, port);
		if (spec.type == HV_POSTMSG_PORT_MESSAGE)
			count = spec.buffers ?: 16;
		KUNIT_EXPECT_EQ(test, port->buffers.count, count);
		KUNIT_EXPECT_EQ(test, hvpm_buffers_free(&port->buffers), count);
		KUNIT_EXPECT_EQ(test, port->sint, spec.sint);
		KUNIT_EXPECT_EQ(test, port->target_vp, spec.target_vp);
		KUNIT_EXPECT_PTR_EQ(test, port->endpoint, spec.endpoint);
	}
	/* What was refused counts against no limit. */
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), (int)made);
	hvpm_endpoint_close(endpoint);
}

static void refused(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_partition *host =
		fake_partition_flags(test, 0, HV_POSTMSG_PARTITION_HOST);
	struct hvpm_port_spec spec = plain;
	struct hvpm_endpoint *endpoint;

	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	KUNIT_EXPECT_EQ(test, -EEXIST, hvpm_port_create(&vm->partition, &spec));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			hvpm_port_create(&host->partition, &spec));
	spec.target_vp = HV_POSTMSG_ANY_VP;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			hvpm_port_create(&host->partition, &spec));

	endpoint = hvpm_endpoint_create(&vm->partition, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
	spec.sint = 0;
	spec.target_vp = 0;
	spec.endpoint = endpoint;
	KUNIT_EXPECT_EQ(test, -EXDEV, hvpm_port_create(&host->partition, &spec));
	hvpm_endpoint_close(endpoint);

	KUNIT_EXPECT_EQ(test, -ENOENT, hvpm_port_delete(&vm->partition, 2));
	fake_end(vm);
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN, hvpm_port_create(&vm->partition, &plain));
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN, hvpm_port_delete(&vm->partition, 1));
}

static void tree_against_model(struct kunit *test)
{
	/* 256 IDs, from the least to the greatest there is. */
	const u32 stride = HV_POSTMSG_ID_MAX / 255;
	struct fake_partition *vm = fake_partition(test, 1);
	unsigned int step, i, count = 0;
	bool present[256] = {};
	struct rb_node *node;

	for (step = 0; step < 3000; step++) {
		bool insert = fake_random(test, 10) < (step / 300 % 2 ? 3 : 7);
		struct hvpm_port_spec spec = plain;
		int ret;

		i = fake_random(test, 256);
		spec.id = i * stride;
		spec.type = HV_POSTMSG_PORT_EVENT;
		if (insert) {
			ret = hvpm_port_create(&vm->partition, &spec);
			KUNIT_ASSERT_EQ(test, ret, present[i] ? -EEXIST : 0);
			count += !present[i];
			present[i] = true;
		} else {
			ret = hvpm_port_delete(&vm->partition, spec.id);
			KUNIT_ASSERT_EQ(test, ret, present[i] ? 0 : -ENOENT);
			count -= present[i];
			present[i] = false;
		}
		KUNIT_ASSERT_EQ(test, atomic_read(&vm->partition.port_count),
				(int)count);
		i = fake_random(test, 256);
		KUNIT_ASSERT_EQ(test, present[i], !!fake_port(vm, i * stride));
		KUNIT_ASSERT_NULL(test, fake_port(vm, i * stride + 1));
		if (step % 100)
			continue;
		/* All of it, in order. */
		node = rb_first(&vm->partition.ports);
		for (i = 0; i < 256; i++) {
			if (!present[i])
				continue;
			KUNIT_ASSERT_NOT_NULL(test, node);
			KUNIT_ASSERT_EQ(test, i * stride,
					rb_entry(node, struct hvpm_port, node)->id);
			node = rb_next(node);
		}
		KUNIT_ASSERT_NULL(test, node);
	}
}

static void limit(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	struct hvpm_port_spec spec = plain;
	struct hvpm_buffer *buffer;
	struct hvpm_port *port;
	u32 id;

	/* Ports 0 and 1 can take messages; the rest only costs less memory. */
	for (id = 0; id < HVPM_MAX_PORTS; id++) {
		int ret;

		spec.id = id;
		spec.type = id < 2 ? HV_POSTMSG_PORT_MESSAGE :
				     HV_POSTMSG_PORT_EVENT;
		ret = hvpm_port_create(&vm->partition, &spec);
		if (ret)
			KUNIT_ASSERT_EQ(test, ret, 0);
		if (!(id % 1024))
			cond_resched();
	}
	spec.id = HVPM_MAX_PORTS;
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, 5));
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));

	/* A deleted port counts until its last buffer is back. */
	port = hvpm_port_get(fake_port(vm, 1));
	rcu_read_lock();
	buffer = hvpm_port_take_buffer(port);
	rcu_read_unlock();
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buffer);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, 1));
	spec.id = 1;
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));
	hvpm_port_give_buffer(buffer);
	/* Who merely holds it, a peer, does not use the limit up. */
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	hvpm_port_put(port);
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&fake->vp.queue));
}

/* Of all ports together, as all of it can be queued for one VP. */
static void limit_of_buffers(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_port_spec to_endpoint = {
		.type = HV_POSTMSG_PORT_MESSAGE,
		.buffers = 64,
	};
	struct hvpm_port_spec event = plain, spec = plain;
	const u32 count = HVPM_MAX_VP_BUFFERS / 64;
	struct hvpm_buffer *buffer;
	struct hvpm_port *port;
	u32 id;

	spec.buffers = 64;
	for (id = 0; id < count; id++) {
		spec.id = id;
		KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	}
	spec.id = id;
	spec.buffers = 1;
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));
	/* What has none, or has them for an endpoint, is not meant. */
	event.id = id + 1;
	event.type = HV_POSTMSG_PORT_EVENT;
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &event));
	to_endpoint.id = id + 2;
	to_endpoint.endpoint = hvpm_endpoint_create(&vm->partition, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, to_endpoint.endpoint);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &to_endpoint));
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, id + 2));
	hvpm_endpoint_close(to_endpoint.endpoint);
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));

	/* A deleted port's count until the last of them is back. */
	port = fake_port(vm, 1);
	rcu_read_lock();
	buffer = hvpm_port_take_buffer(port);
	rcu_read_unlock();
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buffer);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, 1));
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));
	hvpm_port_give_buffer(buffer);
	spec.buffers = 65;
	KUNIT_EXPECT_EQ(test, -EINVAL, hvpm_port_create(&vm->partition, &spec));
	spec.buffers = 60;
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	spec.id++;
	spec.buffers = 5;
	KUNIT_EXPECT_EQ(test, -ENOSPC, hvpm_port_create(&vm->partition, &spec));
	spec.buffers = 4;
	spec.id = 2;
	KUNIT_EXPECT_EQ(test, -EEXIST, hvpm_port_create(&vm->partition, &spec));
	spec.id = count + 3;
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.vp_buffer_count),
			HVPM_MAX_VP_BUFFERS);
}

/* Who looked the port up before it died finds no buffer, though all are free. */
static void dead_port_has_no_buffer(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_port *port;

	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &plain));
	port = hvpm_port_get(fake_port(vm, plain.id));
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, plain.id));
	rcu_read_lock();
	KUNIT_EXPECT_NULL(test, hvpm_port_take_buffer(port));
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, hvpm_buffers_free(&port->buffers), 16u);
	hvpm_port_put(port);
}

/* A deleted port's messages go, of all VPs; the others stay, in order. */
static void delete_removes_queued(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 3);
	struct hv_postmsg_partition_stats stats = {};
	const struct hvpm_port_spec any = {
		.id = 9,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = HV_POSTMSG_ANY_VP,
		.buffers = 64,
	};
	unsigned int slot, i;

	fake_channel(test, vm, vm, &any);
	for (slot = 0; slot < 3; slot++)
		fake_channel_vp(test, vm, vm, slot, slot, SINT, 0);
	/* All busy, so that the port for any VP is spread over them by hand. */
	for (i = 1; i <= 10; i++)
		for (slot = 0; slot < 3; slot++) {
			fake_port(vm, 9)->preferred_vp = FAKE_INDEX + slot;
			KUNIT_ASSERT_EQ(test, fake_post(vm, slot, i),
					HVPM_STATUS_SUCCESS);
			KUNIT_ASSERT_EQ(test, fake_post(vm, 9, 100 + i),
					HVPM_STATUS_SUCCESS);
		}
	/* Some of it in a slot, some sorted, some as it arrived. */
	hvpm_vp_scan(&vm->vp[0].vp);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 9), 34u);

	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, 9));
	KUNIT_EXPECT_EQ(test, fake_post(vm, 9, 1), HVPM_STATUS_INVALID_PORT_ID);
	for (slot = 0; slot < 3; slot++) {
		for (i = 1; i <= 10; i++) {
			hvpm_vp_scan(&vm->vp[slot].vp);
			KUNIT_EXPECT_EQ(test, fake_take(&vm->vp[slot], SINT), i);
		}
		hvpm_vp_scan(&vm->vp[slot].vp);
		KUNIT_EXPECT_EQ(test, fake_take(&vm->vp[slot], SINT), 0u);
		KUNIT_EXPECT_FALSE(test, fake_marked(vm, slot));
	}
	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&vm->partition, &stats));
	KUNIT_EXPECT_EQ(test, stats.posted, 60ull);
	KUNIT_EXPECT_EQ(test, stats.delivered, 30ull);
	KUNIT_EXPECT_EQ(test, stats.freed, 30ull);
	KUNIT_EXPECT_EQ(test, stats.queued, 0ull);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), 3);
}

/* What is in a slot already stays there. */
static void delete_leaves_the_slot(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_channel_vp(test, vm, vm, 1, 0, SINT, 0);
	fake_post(vm, 1, 11);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, 1));
	KUNIT_EXPECT_EQ(test, -ENOENT, hvpm_port_delete(&vm->partition, 1));
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 11u);
}

/* The last reference is that of a buffer on its way into a slot. */
static void delete_during_write(struct fake_vp *fake, enum fake_op op)
{
	struct fake_partition *vm = fake->moment_arg;

	if (op != FAKE_WRITE)
		return;
	hvpm_connection_delete(&vm->partition, 1);
	hvpm_port_delete(&vm->partition, 1);
	/* Kept by the buffer alone. */
	if (atomic_read(&vm->partition.port_count) == 1)
		fake->moment_arg = NULL;
}

static void buffer_keeps_port(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_channel_vp(test, vm, vm, 1, 0, SINT, 0);
	fake_post(vm, 1, 11);
	fake->moment = delete_during_write;
	fake->moment_arg = vm;
	hvpm_vp_scan(&fake->vp);
	fake->moment = NULL;
	KUNIT_EXPECT_NULL(test, fake->moment_arg);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 11u);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), 0);
}

static void buffers_take_and_give(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_buffer *buffer[3];
	struct hvpm_port_spec spec = plain;
	struct hvpm_port *port;
	unsigned int i;

	spec.buffers = 3;
	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &spec));
	port = fake_port(vm, 1);
	rcu_read_lock();
	for (i = 0; i < 3; i++)
		buffer[i] = hvpm_port_take_buffer(port);
	KUNIT_EXPECT_NULL(test, hvpm_port_take_buffer(port));
	rcu_read_unlock();
	/* The tree's use and one a buffer. */
	KUNIT_EXPECT_EQ(test, refcount_read(&port->uses), 4u);
	for (i = 0; i < 3; i++) {
		KUNIT_ASSERT_NOT_NULL(test, buffer[i]);
		KUNIT_EXPECT_PTR_EQ(test, buffer[i]->port, port);
		KUNIT_EXPECT_EQ(test, (int)buffer[i]->sint, SINT);
		KUNIT_EXPECT_PTR_EQ(test, &port->buffer[buffer[i]->index],
				    buffer[i]);
		hvpm_port_give_buffer(buffer[i]);
	}
	KUNIT_EXPECT_EQ(test, refcount_read(&port->uses), 1u);
	KUNIT_EXPECT_EQ(test, hvpm_buffers_free(&port->buffers), 3u);
}

static void refusals_are_counted(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_port *port;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&vm->partition, &plain));
	port = fake_port(vm, 1);
	for (i = 0; i < 2; i++)
		hvpm_port_count_refusal(port, HVPM_STATUS_INVALID_PORT_ID);
	for (i = 0; i < 3; i++)
		hvpm_port_count_refusal(port, HVPM_STATUS_INVALID_VP_INDEX);
	for (i = 0; i < 4; i++)
		hvpm_port_count_refusal(port, HVPM_STATUS_INVALID_SYNIC_STATE);
	for (i = 0; i < 5; i++)
		hvpm_port_count_refusal(port, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_port), 2ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_vp), 3ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_synic), 4ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_buffers), 5ll);
}

/* --- deletion under posts and deliveries --- */

struct storm {
	struct fake_partition *vm;
	u32 value;
};

static void storm_tick(void *arg)
{
	struct storm *storm = arg;

	fake_post(storm->vm, storm->value % 2, storm->value + 1);
	storm->value++;
}

static int storm_scan(void *arg)
{
	struct storm *storm = arg;
	struct fake_vp *fake = &storm->vm->vp[0];

	while (!kthread_should_stop()) {
		hvpm_vp_scan(&fake->vp);
		fake_take(fake, SINT);
		cond_resched();
	}
	return 0;
}

static void delete_under_load(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hv_postmsg_partition_stats stats = {};
	struct storm storm = { .vm = vm };
	struct hvpm_port_spec spec = plain;
	struct task_struct *scanner;
	struct fake_ticker ticker;
	unsigned long end;
	unsigned int round = 0;

	fake_channel_vp(test, vm, vm, 0, 0, SINT, 0);
	fake_channel_vp(test, vm, vm, 1, 0, SINT, 0);
	scanner = kthread_run(storm_scan, &storm, "scanner");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, scanner);
	fake_ticker_start(test, &ticker, storm_tick, &storm);
	end = jiffies + FAKE_LONG_TIMEOUT;
	while ((atomic_read(&ticker.ticks) < 4000 || round < 200) &&
	       time_before(jiffies, end)) {
		if (hvpm_port_delete(&vm->partition, 1) ||
		    hvpm_connection_delete(&vm->partition, 1) ||
		    hvpm_port_create(&vm->partition, &spec) ||
		    fake_connect(vm, 1, vm, 1))
			break;
		round++;
		cond_resched();
	}
	fake_ticker_stop(&ticker);
	kthread_stop(scanner);

	KUNIT_EXPECT_GE(test, round, 200u);
	KUNIT_EXPECT_GE(test, atomic_read(&ticker.ticks), 4000);
	hvpm_vp_reset(&vm->vp[0].vp);
	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&vm->partition, &stats));
	KUNIT_EXPECT_EQ(test, stats.queued, 0ull);
	KUNIT_EXPECT_GT(test, stats.posted, 100ull);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), 2);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 0), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 1), 16u);
	kunit_info(test, "note: %u deletions, %llu posted, %llu delivered\n",
		   round, stats.posted, stats.delivered);
}

static struct kunit_case port_cases[] = {
	KUNIT_CASE(ids),
	KUNIT_CASE(specs),
	KUNIT_CASE(refused),
	KUNIT_CASE(tree_against_model),
	KUNIT_CASE(limit),
	KUNIT_CASE(limit_of_buffers),
	KUNIT_CASE(dead_port_has_no_buffer),
	KUNIT_CASE(delete_removes_queued),
	KUNIT_CASE(delete_leaves_the_slot),
	KUNIT_CASE(buffer_keeps_port),
	KUNIT_CASE(buffers_take_and_give),
	KUNIT_CASE(refusals_are_counted),
	KUNIT_CASE(delete_under_load),
	{}
};

static struct kunit_suite port_suite = {
	.name = "hv_postmsg_port",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = port_cases,
};

kunit_test_suite(port_suite);
