// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: a partition's state, its sums, its end.
 */
#include "fake.h"

#define SINT	4

static struct hv_postmsg_partition_stats stats_of(struct kunit *test,
						  struct fake_partition *vm)
{
	struct hv_postmsg_partition_stats stats = {};

	/* Every field behind flags is written. */
	memset(&stats.ports, 0xcc, sizeof(stats) -
	       offsetof(struct hv_postmsg_partition_stats, ports));
	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&vm->partition, &stats));
	return stats;
}

static void a_new_one(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hv_postmsg_partition_stats stats = stats_of(test, vm);
	static const struct hv_postmsg_partition_stats zero;

	KUNIT_EXPECT_TRUE(test, vm->partition.active);
	KUNIT_EXPECT_FALSE(test, vm->partition.dead);
	KUNIT_EXPECT_EQ(test, 0, memcmp(&stats, &zero, sizeof(stats)));
}

static void state(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_partition *peer = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_channel_vp(test, peer, vm, 1, 0, SINT, 0);
	fake_channel_vp(test, vm, peer, 2, 0, SINT, 0);
	KUNIT_EXPECT_EQ(test, fake_post(peer, 1, 11), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, fake_post(peer, 1, 12), HVPM_STATUS_SUCCESS);

	/* What is queued is delivered; new posts are refused. */
	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_set_state(&vm->partition, false));
	KUNIT_EXPECT_EQ(test, fake_post(peer, 1, 13),
			HVPM_STATUS_INVALID_PORT_ID);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 11u);
	/* It posts itself all the same. */
	KUNIT_EXPECT_EQ(test, fake_post(vm, 2, 21), HVPM_STATUS_SUCCESS);

	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_set_state(&vm->partition, true));
	KUNIT_EXPECT_EQ(test, fake_post(peer, 1, 13), HVPM_STATUS_SUCCESS);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 12u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 13u);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake_port(vm, 1)->refused_port),
			1ll);
}

static void reset_vp(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);
	struct fake_partition *host =
		fake_partition_flags(test, 0, HV_POSTMSG_PARTITION_HOST);
	struct hvpm_partition *partition = &vm->partition;

	vm->bare = true;
	fake_channel_vp(test, vm, vm, 0, 0, SINT, 0);
	fake_channel_vp(test, vm, vm, 1, 1, SINT, 0);
	fake_post(vm, 0, 1);
	fake_post(vm, 1, 1);

	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP,
			hvpm_partition_reset_vp(&host->partition, 0));
	KUNIT_EXPECT_EQ(test, -ENOENT, hvpm_partition_reset_vp(partition, 0));
	KUNIT_EXPECT_EQ(test, -ENOENT,
			hvpm_partition_reset_vp(partition, FAKE_INDEX + 2));
	KUNIT_EXPECT_EQ(test, -ENOENT,
			hvpm_partition_reset_vp(partition, HV_POSTMSG_ANY_VP));
	KUNIT_EXPECT_EQ(test, 0,
			hvpm_partition_reset_vp(partition, FAKE_BARE_INDEX));
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 0), 15u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 1), 15u);

	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_reset_vp(partition, FAKE_INDEX));
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 0), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 1), 15u);
	fake_end(vm);
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			hvpm_partition_reset_vp(partition, FAKE_INDEX));
}

/* --- sums --- */

#define SUM_PORTS	6

/* What the statistics must say, counted by hand. */
struct sums {
	bool present[SUM_PORTS];
	u64 posted[SUM_PORTS];
	u64 gone[SUM_PORTS];
	u64 posts;
	u64 refused;
	u64 unknown;
	unsigned int high_water;
};

static void check_sums(struct kunit *test, struct fake_partition *vm,
		       struct sums *sums)
{
	struct hv_postmsg_partition_stats stats = stats_of(test, vm);
	u64 posted = 0, delivered = 0, freed = 0;
	unsigned int i, ports = 0, queued = 0;
	u64 status = 0;

	for (i = 0; i < SUM_PORTS; i++) {
		struct hvpm_port *port = fake_port(vm, i);
		unsigned int used;

		KUNIT_ASSERT_EQ(test, !!port, sums->present[i]);
		if (!port)
			continue;
		ports++;
		used = port->buffers.count - hvpm_buffers_free(&port->buffers);
		/* free + queued = buffers */
		KUNIT_ASSERT_EQ(test, (u64)used,
				(u64)(atomic64_read(&port->posted) -
				      atomic64_read(&port->delivered) -
				      atomic64_read(&port->freed)));
		KUNIT_ASSERT_EQ(test, (u64)atomic64_read(&port->posted),
				sums->posted[i]);
		queued += used;
		posted += atomic64_read(&port->posted);
		delivered += atomic64_read(&port->delivered);
		freed += atomic64_read(&port->freed);
		sums->high_water = max_t(unsigned int, sums->high_water,
					 atomic_read(&port->buffers.high_water));
	}
	KUNIT_ASSERT_EQ(test, stats.ports, ports);
	KUNIT_ASSERT_EQ(test, stats.connections, ports);
	KUNIT_ASSERT_EQ(test, stats.endpoints, 0u);
	KUNIT_ASSERT_EQ(test, stats.high_water, sums->high_water);
	KUNIT_ASSERT_EQ(test, stats.queued, (u64)queued);
	KUNIT_ASSERT_EQ(test, stats.posted, stats.delivered + stats.freed +
					    stats.queued);
	KUNIT_ASSERT_EQ(test, stats.posted, sums->posts);
	/* Deleted ports are in the partition's sums only. */
	KUNIT_ASSERT_GE(test, stats.posted, posted);
	KUNIT_ASSERT_GE(test, stats.delivered, delivered);
	KUNIT_ASSERT_GE(test, stats.freed, freed);
	for (i = 0; i < HV_POSTMSG_STATUS_COUNT; i++)
		status += stats.status[i];
	KUNIT_ASSERT_EQ(test, status, sums->posts + sums->refused);
	KUNIT_ASSERT_EQ(test, stats.status[HVPM_STATUS_SUCCESS], sums->posts);
	KUNIT_ASSERT_EQ(test, stats.status[HVPM_STATUS_INVALID_CONNECTION_ID],
			sums->unknown);
}

static void sums(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);
	struct hv_postmsg_partition_stats stats;
	enum hvpm_status status;
	unsigned int step, i;
	struct sums *sums;

	sums = kunit_kzalloc(test, sizeof(*sums), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sums);
	for (step = 0; step < 5000; step++) {
		i = fake_random(test, SUM_PORTS);
		switch (fake_random(test, 40)) {
		case 0 ... 24:
			status = fake_post(vm, i, step);
			sums->posts += !status;
			sums->posted[i] += !status;
			sums->refused += !!status;
			if (!sums->present[i]) {
				KUNIT_ASSERT_EQ(test, status,
						HVPM_STATUS_INVALID_CONNECTION_ID);
				sums->unknown++;
			} else if (status) {
				KUNIT_ASSERT_EQ(test, status,
						HVPM_STATUS_INSUFFICIENT_BUFFERS);
			}
			break;
		case 25 ... 34:
			fake_take(&vm->vp[i % 2], SINT);
			fake_take(&vm->vp[i % 2], SINT + 1);
			hvpm_vp_scan(&vm->vp[i % 2].vp);
			break;
		case 35:
			hvpm_vp_reset(&vm->vp[i % 2].vp);
			break;
		default:
			if (sums->present[i]) {
				KUNIT_ASSERT_EQ(test, 0,
						hvpm_connection_delete(&vm->partition, i));
				KUNIT_ASSERT_EQ(test, 0,
						hvpm_port_delete(&vm->partition, i));
			} else {
				fake_channel_vp(test, vm, vm, i, i % 2,
						SINT + i / 2 % 2, 1 + i * 4);
			}
			sums->present[i] = !sums->present[i];
			sums->posted[i] = 0;
			break;
		}
		check_sums(test, vm, sums);
	}
	stats = stats_of(test, vm);
	kunit_info(test, "note: %llu posted, %llu delivered, %llu freed\n",
		   stats.posted, stats.delivered, stats.freed);
}

/* --- the end --- */

static void an_empty_end(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 0);
	struct hvpm_partition *partition = &vm->partition;
	struct hv_postmsg_partition_stats stats = {};

	hvpm_partition_shutdown(partition);
	hvpm_partition_shutdown(partition);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->withdrawn), 1);
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			hvpm_partition_set_state(partition, true));
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			hvpm_partition_stats(partition, &stats));
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			PTR_ERR_OR_ZERO(hvpm_endpoint_create(partition, 0)));
	/* The file's reference keeps it. */
	fake_flush(partition);
	KUNIT_EXPECT_TRUE(test, fake_kept(vm));
}

/*
 * Messages in slots, sorted, as they arrived, in an endpoint; connections in
 * both directions; the end of one partition, then of the other.
 */
static void a_full_end(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);
	struct fake_partition *peer = fake_partition(test, 2);
	struct hvpm_port_spec spec = {
		.id = 50,
		.type = HV_POSTMSG_PORT_MESSAGE,
	};
	struct hvpm_endpoint *endpoint;
	unsigned int i;

	endpoint = hvpm_endpoint_create(&vm->partition, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
	spec.endpoint = endpoint;
	fake_channel(test, peer, vm, &spec);
	for (i = 0; i < 4; i++) {
		fake_channel_vp(test, peer, vm, i, i % 2, SINT, 0);
		fake_channel_vp(test, vm, peer, 10 + i, i % 2, SINT, 0);
	}
	for (i = 0; i < 40; i++) {
		KUNIT_ASSERT_EQ(test, fake_post(peer, i % 4, i),
				HVPM_STATUS_SUCCESS);
		KUNIT_ASSERT_EQ(test, fake_post(vm, 10 + i % 4, i),
				HVPM_STATUS_SUCCESS);
		if (i < 10)
			KUNIT_ASSERT_EQ(test, fake_post(peer, 50, i),
					HVPM_STATUS_SUCCESS);
		if (i == 20) {
			hvpm_vp_scan(&vm->vp[0].vp);
			hvpm_vp_scan(&peer->vp[1].vp);
		}
	}

	hvpm_partition_shutdown(&vm->partition);
	/* At once: its ports refuse, and so do its connections. */
	KUNIT_EXPECT_EQ(test, fake_post(peer, 0, 1), HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, fake_post(peer, 50, 1),
			HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 10, 1),
			HVPM_STATUS_INVALID_CONNECTION_ID);

	/* What it posted before is delivered. */
	for (i = 0; i < 40; i++) {
		if (i % 2)
			continue;
		hvpm_vp_scan(&peer->vp[0].vp);
		KUNIT_EXPECT_EQ(test, fake_value(&peer->vp[0].slot[SINT]), i);
		fake_take(&peer->vp[0], SINT);
	}

	/*
	 * Behind the worker: no connections, nothing queued, ports kept by the peer
	 * alone.
	 */
	fake_flush(&vm->partition);
	KUNIT_EXPECT_EQ(test, vm->partition.connection_count, 0u);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->detached), 1);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&vm->partition.ports));
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&vm->vp[0].vp.queue));
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&vm->vp[1].vp.queue));
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&endpoint->queue));
	KUNIT_EXPECT_EQ(test, atomic_read(&endpoint->held), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->partition.port_count), 0);

	fake_end(vm);
	hvpm_endpoint_close(endpoint);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_connection_delete(&peer->partition, i));
	KUNIT_EXPECT_TRUE(test, fake_kept(vm));
	KUNIT_EXPECT_EQ(test, 0, hvpm_connection_delete(&peer->partition, 50));
	/* The last thing that referred to it. */
	KUNIT_EXPECT_TRUE(test, fake_gone(vm));
}

/* Two partitions that hold each other's ports end in either order. */
static void ends_of_two(struct kunit *test)
{
	struct fake_partition *one = fake_partition(test, 1);
	struct fake_partition *two = fake_partition(test, 1);

	fake_channel_vp(test, one, two, 1, 0, SINT, 0);
	fake_channel_vp(test, two, one, 2, 0, SINT, 0);
	fake_channel_vp(test, one, one, 3, 0, SINT, 0);
	fake_post(one, 1, 1);
	fake_post(two, 2, 2);
	fake_post(one, 3, 3);
	fake_end(one);
	fake_flush(&one->partition);
	KUNIT_EXPECT_TRUE(test, fake_kept(one));
	fake_end(two);
	KUNIT_EXPECT_TRUE(test, fake_gone(one));
	KUNIT_EXPECT_TRUE(test, fake_gone(two));
}

/* --- the end under posts --- */

struct posts {
	struct fake_partition *from;
	atomic_t status[HV_POSTMSG_STATUS_COUNT];
};

static void post_tick(void *arg)
{
	struct posts *posts = arg;

	atomic_inc(&posts->status[fake_post(posts->from, 1, 1)]);
}

static void end_under_posts(struct kunit *test)
{
	struct fake_partition *from = fake_partition(test, 0);
	struct posts posts = { .from = from };
	struct fake_ticker ticker;
	unsigned int round;

	fake_ticker_start(test, &ticker, post_tick, &posts);
	for (round = 0; round < 100; round++) {
		struct fake_world *world = test->priv;
		struct fake_partition *to = fake_partition(test, 1);
		int base = atomic_read(&posts.status[HVPM_STATUS_SUCCESS]);
		unsigned long end = jiffies + FAKE_TIMEOUT;

		fake_channel_vp(test, from, to, 1, 0, SINT, 64);
		while (atomic_read(&posts.status[HVPM_STATUS_SUCCESS]) < base + 5 &&
		       time_before(jiffies, end))
			cpu_relax();
		fake_end(to);
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_connection_delete(&from->partition, 1));
		/* Freed while the posts go on. */
		if (!fake_gone(to) || !hvpm_queue_empty(&to->vp[0].vp.queue) ||
		    atomic_read(&to->detached) != 1)
			break;
		world->count--;
		kfree(to);
	}
	fake_ticker_stop(&ticker);
	KUNIT_EXPECT_EQ(test, round, 100u);
	kunit_info(test, "note: %d posted, %d refused with 0x11, %d with 0x12\n",
		   atomic_read(&posts.status[HVPM_STATUS_SUCCESS]),
		   atomic_read(&posts.status[HVPM_STATUS_INVALID_PORT_ID]),
		   atomic_read(&posts.status[HVPM_STATUS_INVALID_CONNECTION_ID]));
	KUNIT_EXPECT_GE(test, atomic_read(&posts.status[HVPM_STATUS_SUCCESS]),
			500);
}

static struct kunit_case partition_cases[] = {
	KUNIT_CASE(a_new_one),
	KUNIT_CASE(state),
	KUNIT_CASE(reset_vp),
	KUNIT_CASE(sums),
	KUNIT_CASE(an_empty_end),
	KUNIT_CASE(a_full_end),
	KUNIT_CASE(ends_of_two),
	KUNIT_CASE(end_under_posts),
	{}
};

static struct kunit_suite partition_suite = {
	.name = "hv_postmsg_partition",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = partition_cases,
};

kunit_test_suite(partition_suite);
