// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: every check of HvCallPostMessage, their order, the choice of a VP, and
 * host posts that wait.
 */
#include "fake.h"

#define SINT	6
#define PORT	1

/* --- control word and address --- */

static void control_word(struct kunit *test)
{
	unsigned int bit;
	u64 control;

	KUNIT_EXPECT_EQ(test, hvpm_post_check_call(0x5c, 0x1000),
			HVPM_STATUS_SUCCESS);
	/* Code, fast, variable header, nested, repetitions, start: any bit. */
	for (bit = 0; bit < 64; bit++) {
		control = 0x5c ^ BIT_ULL(bit);
		KUNIT_EXPECT_EQ_MSG(test, hvpm_post_check_call(control, 0x1000),
				    HVPM_STATUS_INVALID_HYPERCALL_INPUT,
				    "bit %u", bit);
		/* It wins over the address. */
		KUNIT_EXPECT_EQ(test, hvpm_post_check_call(control, 1),
				HVPM_STATUS_INVALID_HYPERCALL_INPUT);
	}
}

static void address(struct kunit *test)
{
	static const u64 page[] = { 0, 0x1000, 0xfffff000, 0x7ffffffffffff000,
				    0xfffffffffffff000 };
	unsigned int i, offset;

	for (i = 0; i < ARRAY_SIZE(page); i++)
		for (offset = 0; offset < 4096; offset++) {
			bool good = !(offset & 7) && offset <= 0xf00;

			KUNIT_ASSERT_EQ_MSG(test, good ? HVPM_STATUS_SUCCESS :
						  HVPM_STATUS_INVALID_ALIGNMENT,
					    hvpm_post_check_call(0x5c,
								 page[i] + offset),
					    "%#llx", page[i] + offset);
		}
	/* Spelled out, should the condition above be wrong. */
	KUNIT_EXPECT_EQ(test, hvpm_post_check_call(0x5c, 0x2f00),
			HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, hvpm_post_check_call(0x5c, 0x2f08),
			HVPM_STATUS_INVALID_ALIGNMENT);
	KUNIT_EXPECT_EQ(test, hvpm_post_check_call(0x5c, 0x2ff8),
			HVPM_STATUS_INVALID_ALIGNMENT);
	KUNIT_EXPECT_EQ(test, hvpm_post_check_call(0x5c, 0x2004),
			HVPM_STATUS_INVALID_ALIGNMENT);
}

/* --- the input block --- */

static void message(struct kunit *test)
{
	static const struct {
		u32 type, size, reserved;
		enum hvpm_status lax, strict;
	} table[] = {
		{ 1, 0, 0, 0, 0 },
		{ 1, 1, 0, 0, 0 },
		{ 1, 239, 0, 0, 0 },
		{ 1, 240, 0, 0, 0 },
		{ 1, 241, 0, 5, 5 },
		{ 1, 256, 0, 5, 5 },
		{ 1, 0x100, 0, 5, 5 },
		{ 1, 0x80000000, 0, 5, 5 },
		{ 1, 0xffffffff, 0, 5, 5 },
		{ 0, 0, 0, 5, 5 },
		{ 0, 240, 0, 5, 5 },
		{ 2, 16, 0, 0, 0 },
		{ 0x40000000, 16, 0, 0, 0 },
		{ 0x7fffffff, 16, 0, 0, 0 },
		{ 0x80000000, 16, 0, 5, 5 },
		{ 0x80000001, 16, 0, 5, 5 },
		{ 0xffffffff, 16, 0, 5, 5 },
		{ 1, 16, 1, 0, 5 },
		{ 1, 16, 0x80000000, 0, 5 },
		{ 1, 16, 0xffffffff, 0, 5 },
	};
	struct fake_partition *lax = fake_partition(test, 0);
	struct fake_partition *strict =
		fake_partition_flags(test, 0,
				     HV_POSTMSG_PARTITION_STRICT_RESERVED);
	struct hvpm_post_input input = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		input.message_type = table[i].type;
		input.payload_size = table[i].size;
		input.reserved = table[i].reserved;
		KUNIT_EXPECT_EQ_MSG(test, table[i].lax,
				    check_message(&lax->partition, &input.head),
				    "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, table[i].strict,
				    check_message(&strict->partition, &input.head),
				    "row %u", i);
	}
}

/* What arrives is what was sent, for every size. */
static void payload(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hv_postmsg_message *slot = &vm->vp[0].slot[SINT];
	struct hvpm_post_input input = { .connection_id = PORT };
	unsigned int size, i;

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	for (size = 0; size <= HV_POSTMSG_PAYLOAD_MAX; size++) {
		for (i = 0; i < sizeof(input.payload); i++)
			input.payload[i] = fake_random(test, 256);
		input.message_type = 1 + fake_random(test, 0x7fffffff);
		input.payload_size = size;
		/* Ignored without the flag, and never passed on. */
		input.reserved = 0xdeadbeef;
		memset(slot, 0xcc, sizeof(*slot));
		slot->type = 0;
		KUNIT_ASSERT_EQ(test, hvpm_post(&vm->partition, &input),
				HVPM_STATUS_SUCCESS);
		hvpm_vp_scan(&vm->vp[0].vp);
		KUNIT_ASSERT_EQ(test, slot->type, input.message_type);
		KUNIT_ASSERT_EQ(test, (unsigned int)slot->payload_size, size);
		KUNIT_ASSERT_EQ(test, (int)slot->flags, 0);
		KUNIT_ASSERT_EQ(test, (int)slot->reserved, 0);
		KUNIT_ASSERT_EQ(test, slot->port_id, (u64)PORT);
		KUNIT_ASSERT_EQ(test, 0, memcmp(slot->payload, input.payload,
						size));
	}
}

/* --- statuses and their order --- */

static void connection_id(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	unsigned int bit;

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1), HVPM_STATUS_SUCCESS);
	/* An ID that differs in any bit, the reserved ones among them. */
	for (bit = 0; bit < 32; bit++)
		KUNIT_EXPECT_EQ_MSG(test, fake_post(vm, PORT ^ BIT(bit), 1),
				    HVPM_STATUS_INVALID_CONNECTION_ID,
				    "bit %u", bit);
}

/*
 * From the last check to the first, each failing condition is added to those
 * behind it, so that each status wins over all later ones.  Nothing changes by a
 * refused post.
 */
static void order_of_checks(struct kunit *test)
{
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
		.payload_size = 1,
	};
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_partition *partition = &vm->partition;
	struct hv_postmsg_partition_stats before = {}, after = {};
	struct hvpm_port *port;

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 2);
	fake_post(vm, PORT, 1);
	fake_post(vm, PORT, 2);
	port = fake_port(vm, PORT);
	hvpm_partition_stats(partition, &before);

	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	vm->vp[0].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_SYNIC_STATE);
	vm->vp_count = 0;
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_VP_INDEX);
	hvpm_partition_set_state(partition, false);
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_PORT_ID);
	input.connection_id |= 0x1000000;
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_CONNECTION_ID);
	input.message_type = 0;
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_PARAMETER);
	input.message_type = 1;
	input.payload_size = 241;
	KUNIT_EXPECT_EQ(test, hvpm_post(partition, &input),
			HVPM_STATUS_INVALID_PARAMETER);

	/* Each refusal on its own account, those before the port on none. */
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_buffers), 1ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_synic), 1ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_vp), 1ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_port), 1ll);

	hvpm_partition_stats(partition, &after);
	KUNIT_EXPECT_EQ(test, 0, memcmp(&before, &after, sizeof(before)));
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->vp[0].kicks), 2);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 0u);
	KUNIT_EXPECT_EQ(test, refcount_read(&port->uses), 3u);
}

/* The ways to 0x11, each with everything behind it wrong as well. */
static void invalid_port(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 0);
	const struct hvpm_port_spec event = {
		.id = 2,
		.type = HV_POSTMSG_PORT_EVENT,
		.sint = SINT,
	};
	const struct hvpm_port_spec again = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
	};

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	fake_channel(test, vm, vm, &event);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1),
			HVPM_STATUS_INVALID_VP_INDEX);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 2, 1), HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, PORT));
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1),
			HVPM_STATUS_INVALID_PORT_ID);
	/* The same ID again is another port. */
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_create(&vm->partition, &again));
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1),
			HVPM_STATUS_INVALID_PORT_ID);
}

static void target(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);

	vm->bare = true;
	fake_channel_vp(test, vm, vm, 1, 1, SINT, 0);
	fake_channel_vp(test, vm, vm, 2, 2, SINT, 0);
	fake_channel_vp(test, vm, vm, 3, FAKE_BARE_INDEX - FAKE_INDEX, SINT, 0);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 1, 1), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 2, 1), HVPM_STATUS_INVALID_VP_INDEX);
	KUNIT_EXPECT_EQ(test, fake_post(vm, 3, 1),
			HVPM_STATUS_INVALID_SYNIC_STATE);
	/* Another VP's state does not count. */
	vm->vp[0].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	KUNIT_EXPECT_EQ(test, fake_post(vm, 1, 1), HVPM_STATUS_SUCCESS);
	vm->vp[1].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	KUNIT_EXPECT_EQ(test, fake_post(vm, 1, 1),
			HVPM_STATUS_INVALID_SYNIC_STATE);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 1), 14u);
}

static void buffers_run_out(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int i;

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	/* 16 queued and one in the slot. */
	fake_post(vm, PORT, 1);
	hvpm_vp_scan(&fake->vp);
	for (i = 2; i <= 17; i++)
		KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, i),
				HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 18),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	/* A full slot frees nothing, an emptied one does. */
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 18),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 1u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 18), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 19),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	for (i = 2; i <= 18; i++) {
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), i);
		hvpm_vp_scan(&fake->vp);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake_port(vm, PORT)->refused_buffers),
			3ll);
}

static void statuses_are_counted(struct kunit *test)
{
	struct fake_partition *from = fake_partition(test, 0);
	struct hv_postmsg_partition_stats stats = {};
	unsigned int status, i;

	for (status = 0; status < HV_POSTMSG_STATUS_COUNT; status++)
		for (i = 0; i <= status; i++)
			hvpm_post_count(&from->partition, status);
	hvpm_partition_stats(&from->partition, &stats);
	for (status = 0; status < HV_POSTMSG_STATUS_COUNT; status++)
		KUNIT_EXPECT_EQ(test, stats.status[status], (u64)status + 1);
}

/* --- any VP --- */

static struct fake_partition *make_any(struct kunit *test, unsigned int vps)
{
	struct fake_partition *vm = fake_partition(test, vps);
	const struct hvpm_port_spec spec = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = HV_POSTMSG_ANY_VP,
		.buffers = 64,
	};
	unsigned int slot;

	fake_channel(test, vm, vm, &spec);
	/* To keep a VP busy. */
	for (slot = 0; slot < vps; slot++)
		fake_channel_vp(test, vm, vm, 10 + slot, slot, SINT, 0);
	return vm;
}

/* Post to any VP; the slot of the one that was chosen. */
static int choose(struct kunit *test, struct fake_partition *vm)
{
	int kicks[FAKE_VPS], slot, chosen = -1;

	for (slot = 0; slot < FAKE_VPS; slot++)
		kicks[slot] = atomic_read(&vm->vp[slot].kicks);
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1), HVPM_STATUS_SUCCESS);
	for (slot = 0; slot < FAKE_VPS; slot++) {
		if (atomic_read(&vm->vp[slot].kicks) == kicks[slot])
			continue;
		KUNIT_EXPECT_EQ(test, chosen, -1);
		KUNIT_EXPECT_FALSE(test,
				   hvpm_queue_empty(&vm->vp[slot].vp.queue));
		chosen = slot;
	}
	return chosen;
}

static void idle(struct fake_partition *vm, unsigned int slot)
{
	hvpm_vp_reset(&vm->vp[slot].vp);
}

static void any_vp_none(struct kunit *test)
{
	struct fake_partition *vm = make_any(test, FAKE_VPS);
	struct fake_partition *empty = make_any(test, 0);
	unsigned int slot;

	for (slot = 0; slot < FAKE_VPS; slot++)
		vm->vp[slot].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1),
			HVPM_STATUS_INVALID_SYNIC_STATE);
	KUNIT_EXPECT_EQ(test, fake_post(empty, PORT, 1),
			HVPM_STATUS_INVALID_VP_INDEX);
	/* A preferred VP that does not exist changes nothing. */
	fake_port(vm, PORT)->preferred_vp = 4711;
	fake_port(empty, PORT)->preferred_vp = 4711;
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 1),
			HVPM_STATUS_INVALID_SYNIC_STATE);
	KUNIT_EXPECT_EQ(test, fake_post(empty, PORT, 1),
			HVPM_STATUS_INVALID_VP_INDEX);
	empty->bare = true;
	KUNIT_EXPECT_EQ(test, fake_post(empty, PORT, 1),
			HVPM_STATUS_INVALID_SYNIC_STATE);

	KUNIT_EXPECT_EQ(test, atomic64_read(&fake_port(vm, PORT)->refused_synic),
			2ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake_port(empty, PORT)->refused_vp),
			2ll);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 64u);
}

static void any_vp_round_robin(struct kunit *test)
{
	struct fake_partition *vm = make_any(test, FAKE_VPS);
	int i, slot;

	for (i = 0; i < 3 * FAKE_VPS; i++) {
		slot = choose(test, vm);
		KUNIT_EXPECT_EQ(test, slot, i % FAKE_VPS);
		idle(vm, slot);
	}
	/* Who cannot take a message is left out. */
	vm->vp[1].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	for (i = 0; i < 6; i++) {
		static const int expected[] = { 0, 2, 3 };

		slot = choose(test, vm);
		KUNIT_EXPECT_EQ(test, slot, expected[i % 3]);
		idle(vm, slot);
	}
}

static void any_vp_prefers_idle(struct kunit *test)
{
	struct fake_partition *vm = make_any(test, FAKE_VPS);
	int free, slot;

	/* Wherever the search begins, the one idle VP is found. */
	for (free = 0; free < FAKE_VPS; free++) {
		int start;

		for (start = 0; start <= FAKE_VPS; start++) {
			for (slot = 0; slot < FAKE_VPS; slot++)
				if (slot != free)
					fake_post(vm, 10 + slot, 1);
			atomic_set(&fake_port(vm, PORT)->next_vp, start);
			KUNIT_EXPECT_EQ(test, choose(test, vm), free);
			for (slot = 0; slot < FAKE_VPS; slot++)
				idle(vm, slot);
		}
	}

	/* All busy: in turn. */
	for (slot = 0; slot < FAKE_VPS; slot++)
		fake_post(vm, 10 + slot, 1);
	atomic_set(&fake_port(vm, PORT)->next_vp, 0);
	for (slot = 0; slot < 2 * FAKE_VPS; slot++)
		KUNIT_EXPECT_EQ(test, choose(test, vm), slot % FAKE_VPS);
}

/* A VP that does not come for its messages gets no more than the others have. */
static void any_vp_least_queued(struct kunit *test)
{
	struct fake_partition *vm = make_any(test, FAKE_VPS);
	int i, slot, stuck = 0;

	for (slot = 0; slot < FAKE_VPS; slot++)
		fake_post(vm, 10 + slot, 1);
	fake_post(vm, 10, 1);
	KUNIT_EXPECT_NE(test, choose(test, vm), 0);
	for (slot = 0; slot < FAKE_VPS; slot++)
		idle(vm, slot);
	for (i = 0; i < 100; i++) {
		/* Half as many again as there are VPs. */
		for (slot = 0; slot < FAKE_VPS + FAKE_VPS / 2; slot++)
			stuck += choose(test, vm) == 0;
		for (slot = 1; slot < FAKE_VPS; slot++)
			idle(vm, slot);
	}
	KUNIT_EXPECT_LE(test, stuck, 2);
}

static void any_vp_preferred(struct kunit *test)
{
	struct fake_partition *vm = make_any(test, FAKE_VPS);
	int slot;

	fake_port(vm, PORT)->preferred_vp = FAKE_INDEX + 2;
	for (slot = 0; slot < 3; slot++) {
		KUNIT_EXPECT_EQ(test, choose(test, vm), 2);
		idle(vm, 2);
	}
	/* Busy: another one that is idle. */
	fake_post(vm, 12, 1);
	slot = choose(test, vm);
	KUNIT_EXPECT_NE(test, slot, 2);
	idle(vm, slot);
	idle(vm, 2);
	/* All as busy: the preferred one. */
	for (slot = 0; slot < FAKE_VPS; slot++)
		fake_post(vm, 10 + slot, 1);
	KUNIT_EXPECT_EQ(test, choose(test, vm), 2);
	KUNIT_EXPECT_NE(test, choose(test, vm), 2);
	/* Disabled: as if there were no preference. */
	for (slot = 0; slot < FAKE_VPS; slot++)
		idle(vm, slot);
	vm->vp[2].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	for (slot = 0; slot < 6; slot++)
		KUNIT_EXPECT_NE(test, choose(test, vm), 2);
}

/* --- the short way --- */

/* The short way, as hvpm_post_by_vp() comes to it. */
static bool post_shortly(struct fake_vp *fake, const struct hvpm_post_input *input)
{
	struct hvpm_connection *connection;
	bool posted = false;

	rcu_read_lock();
	connection = find_again(&fake->vp, input->connection_id);
	if (connection)
		posted = post_to_itself(&fake->vp, connection->port, &input->head);
	rcu_read_unlock();
	return posted;
}

/* As a guest posts. */
static enum hvpm_status post_by_vp(struct fake_vp *fake,
				   const struct hvpm_post_input *input)
{
	const struct hvpm_post post = { .head = input->head, .own = &fake->vp };
	enum hvpm_status status;

	rcu_read_lock();
	status = hvpm_post_by_vp(&post);
	rcu_read_unlock();
	if (status == HVPM_OUT_OF_REACH)
		status = hvpm_post(fake->vp.partition, input);
	return status;
}

/*
 * What bars the short way, one at a time: nothing is changed, and the other way finds
 * the status.  Each time it is open again behind it.
 */
static void short_way_barred(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);
	struct fake_partition *peer = fake_partition(test, 1);
	const struct hvpm_port_spec any = {
		.id = 3,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = HV_POSTMSG_ANY_VP,
	}, event = {
		.id = 4,
		.type = HV_POSTMSG_PORT_EVENT,
		.sint = SINT,
		.target_vp = FAKE_INDEX,
	};
	struct hvpm_post_input input = {
		.message_type = 1,
		.payload_size = 1,
	};
	struct fake_vp *own = &vm->vp[0];
	struct hv_postmsg_partition_stats before, after;
	unsigned int i;
	u8 payload = 7;

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 1);
	fake_channel_vp(test, vm, vm, 2, 1, SINT, 0);
	fake_channel(test, vm, vm, &any);
	fake_channel(test, vm, vm, &event);
	fake_channel_vp(test, vm, peer, 5, 0, SINT, 0);

	for (i = 0; i <= 9; i++) {
		input.connection_id = PORT;
		own->payload = &payload;
		switch (i) {
		case 0:
			input.connection_id = 2;
			break;
		case 1:
			input.connection_id = 3;
			break;
		case 2:
			input.connection_id = 4;
			break;
		case 3:
			input.connection_id = 5;
			break;
		case 4:
			input.connection_id = 6;
			break;
		case 5:
			own->slot[SINT].type = 1;
			break;
		case 6:
			own->state = HVPM_STATUS_INVALID_SYNIC_STATE;
			break;
		case 7:
			own->payload = NULL;
			break;
		case 8:
			hvpm_partition_set_state(&vm->partition, false);
			break;
		default:
			fake_post(vm, PORT, 1);
			break;
		}
		memset(&before, 0, sizeof(before));
		memset(&after, 0, sizeof(after));
		hvpm_partition_stats(&vm->partition, &before);
		KUNIT_EXPECT_FALSE_MSG(test, post_shortly(own, &input), "%u", i);
		hvpm_partition_stats(&vm->partition, &after);
		KUNIT_EXPECT_EQ_MSG(test, 0, memcmp(&before, &after, sizeof(before)),
				    "%u", i);

		input.connection_id = PORT;
		own->state = HVPM_STATUS_SUCCESS;
		own->payload = &payload;
		hvpm_partition_set_state(&vm->partition, true);
		memset(own->slot, 0, sizeof(own->slot));
		hvpm_vp_scan(&own->vp);
		memset(own->slot, 0, sizeof(own->slot));
		KUNIT_EXPECT_TRUE_MSG(test, post_shortly(own, &input), "%u", i);
		memset(own->slot, 0, sizeof(own->slot));
	}
}

/* With its only buffer queued for another VP, a port has none for the short way. */
static void short_way_without_a_buffer(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 2);
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
	};
	struct hvpm_buffer *buffer;
	struct hvpm_port *port;
	u8 payload = 7;

	vm->vp[0].payload = &payload;
	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 1);
	port = fake_port(vm, PORT);
	rcu_read_lock();
	buffer = hvpm_port_take_buffer(port);
	rcu_read_unlock();
	KUNIT_ASSERT_NOT_NULL(test, buffer);
	KUNIT_EXPECT_FALSE(test, post_shortly(&vm->vp[0], &input));
	KUNIT_EXPECT_EQ(test, 0U, vm->vp[0].slot[SINT].type);
	hvpm_port_give_buffer(buffer);
	KUNIT_EXPECT_TRUE(test, post_shortly(&vm->vp[0], &input));
	/* It was in use, for a moment. */
	KUNIT_EXPECT_EQ(test, 1,
			atomic_read(&port->buffers.high_water));
}

/* What is sorted keeps only its own SINT from the short way, what has arrived any. */
static void short_way_behind_arrivals(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *own = &vm->vp[0];
	struct hvpm_post_input input = {
		.message_type = 1,
	};
	unsigned int sint, i;
	u8 payload = 7;

	own->payload = &payload;
	for (sint = 1; sint <= 2; sint++)
		fake_channel_vp(test, vm, vm, sint, 0, sint, 0);
	/* One goes to its slot, and one stays. */
	input.connection_id = 2;
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, HVPM_STATUS_SUCCESS,
				hvpm_post(&vm->partition, &input));
	input.connection_id = 1;
	KUNIT_EXPECT_FALSE(test, post_shortly(own, &input));
	hvpm_vp_scan(&own->vp);
	KUNIT_EXPECT_TRUE(test, post_shortly(own, &input));
	own->slot[1].type = 0;
	input.connection_id = 2;
	own->slot[2].type = 0;
	KUNIT_EXPECT_FALSE(test, post_shortly(own, &input));
	hvpm_vp_scan(&own->vp);
	own->slot[2].type = 0;
	KUNIT_EXPECT_TRUE(test, post_shortly(own, &input));
}

/*
 * What is wrong with the head, the connection, the port or the VP is found where the
 * payload is out of reach; and if nothing is, nothing has been done.
 */
static void head_before_payload(struct kunit *test)
{
	struct fake_partition *vm =
		fake_partition_flags(test, 2, HV_POSTMSG_PARTITION_STRICT_RESERVED);
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
	};
	struct hvpm_buffer *buffer[2];
	struct hvpm_port *port;
	u8 payload = 7;

	fake_channel_vp(test, vm, vm, PORT, 1, SINT, 2);
	port = fake_port(vm, PORT);
#define EXPECT_BY_VP(wanted)						\
	do {								\
		const struct hvpm_post post = {				\
			.head = input.head,				\
			.own = &vm->vp[0].vp,				\
		};							\
									\
		rcu_read_lock();					\
		KUNIT_EXPECT_EQ(test, wanted, hvpm_post_by_vp(&post));	\
		rcu_read_unlock();					\
	} while (0)
	EXPECT_BY_VP(HVPM_OUT_OF_REACH);
	KUNIT_EXPECT_EQ(test, 2U, hvpm_buffers_free(&port->buffers));
	KUNIT_EXPECT_EQ(test, 0, hvpm_queue_length(&vm->vp[1].vp.queue));
	KUNIT_EXPECT_EQ(test, 0, atomic64_read(&port->posted));

	input.reserved = 1;
	EXPECT_BY_VP(HVPM_STATUS_INVALID_PARAMETER);
	input.reserved = 0;
	input.message_type = 0;
	EXPECT_BY_VP(HVPM_STATUS_INVALID_PARAMETER);
	input.message_type = 1;
	input.payload_size = 241;
	EXPECT_BY_VP(HVPM_STATUS_INVALID_PARAMETER);
	input.payload_size = 0;
	input.connection_id = 2;
	EXPECT_BY_VP(HVPM_STATUS_INVALID_CONNECTION_ID);
	input.connection_id = PORT;
	vm->vp[1].state = HVPM_STATUS_INVALID_SYNIC_STATE;
	EXPECT_BY_VP(HVPM_STATUS_INVALID_SYNIC_STATE);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&port->refused_synic));
	vm->vp[1].state = HVPM_STATUS_SUCCESS;
	rcu_read_lock();
	buffer[0] = hvpm_port_take_buffer(port);
	buffer[1] = hvpm_port_take_buffer(port);
	rcu_read_unlock();
	EXPECT_BY_VP(HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&port->refused_buffers));
	hvpm_port_give_buffer(buffer[0]);
	hvpm_port_give_buffer(buffer[1]);
	hvpm_partition_set_state(&vm->partition, false);
	EXPECT_BY_VP(HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, 1, atomic64_read(&port->refused_port));
	hvpm_partition_set_state(&vm->partition, true);

	vm->vp[0].payload = &payload;
	input.payload_size = 1;
	EXPECT_BY_VP(HVPM_STATUS_SUCCESS);
	hvpm_vp_scan(&vm->vp[1].vp);
	KUNIT_EXPECT_EQ(test, 1U, vm->vp[1].slot[SINT].type);
	KUNIT_EXPECT_EQ(test, payload, vm->vp[1].slot[SINT].payload[0]);
#undef EXPECT_BY_VP
}

/* An endpoint's room and the buffer come back, and the rest of a payload is zero. */
static void payload_of_an_endpoint(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_port_spec spec = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.buffers = 1,
	};
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
		.payload_size = 1,
	};
	const struct hvpm_post post = {
		.head = input.head,
		.own = &vm->vp[0].vp,
	};
	struct hvpm_endpoint *endpoint;
	struct hvpm_buffer *buffer;
	struct hvpm_port *port;
	u8 payload = 7;

	endpoint = hvpm_endpoint_create(&vm->partition, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
	spec.endpoint = endpoint;
	fake_channel(test, vm, vm, &spec);
	port = fake_port(vm, PORT);
	memset(port->buffer[0].message.payload, 0xee, HV_POSTMSG_PAYLOAD_MAX);
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, HVPM_OUT_OF_REACH,
			hvpm_post_by_vp(&post));
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&endpoint->held));
	KUNIT_EXPECT_EQ(test, 1U, hvpm_buffers_free(&port->buffers));

	vm->vp[0].payload = &payload;
	KUNIT_EXPECT_EQ(test, HVPM_STATUS_SUCCESS, post_by_vp(&vm->vp[0], &input));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&endpoint->held));
	buffer = &port->buffer[0];
	KUNIT_EXPECT_EQ(test, payload, buffer->message.payload[0]);
	KUNIT_EXPECT_PTR_EQ(test, NULL,
			    memchr_inv(buffer->message.payload + 1, 0,
				       HV_POSTMSG_PAYLOAD_MAX - 1));
	hvpm_endpoint_close(endpoint);
}

/* What a VP remembers of a connection ends with any connection of its partition. */
static void last_connection(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
	};
	struct fake_vp *own = &vm->vp[0];
	unsigned int round;
	u8 payload = 7;

	own->payload = &payload;
	for (round = 0; round < 3; round++) {
		fake_channel_vp(test, vm, vm, PORT, 0, SINT + round, 0);
		KUNIT_EXPECT_TRUE(test, post_shortly(own, &input));
		KUNIT_EXPECT_EQ(test, 1U, own->slot[SINT + round].type);
		own->slot[SINT + round].type = 0;
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_connection_delete(&vm->partition, PORT));
		KUNIT_EXPECT_EQ(test, HVPM_STATUS_INVALID_CONNECTION_ID,
				post_by_vp(own, &input));
		KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&vm->partition, PORT));
	}
	/* A dead partition has its connections for a while. */
	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	KUNIT_EXPECT_TRUE(test, post_shortly(own, &input));
	own->slot[SINT].type = 0;
	WRITE_ONCE(vm->partition.dead, true);
	KUNIT_EXPECT_EQ(test, HVPM_STATUS_INVALID_CONNECTION_ID,
			post_by_vp(own, &input));
	WRITE_ONCE(vm->partition.dead, false);
}

static void twin_channel(struct kunit *test, struct fake_partition *vm, u32 id)
{
	const struct hvpm_port_spec spec = {
		.id = id,
		.type = id == 5 ? HV_POSTMSG_PORT_EVENT : HV_POSTMSG_PORT_MESSAGE,
		.sint = id == 2 ? SINT + 1 : SINT,
		.target_vp = id == 3 ? FAKE_INDEX + 1 :
			     id == 4 ? HV_POSTMSG_ANY_VP : FAKE_INDEX,
		.buffers = id == 5 ? 0 : id,
	};

	if (!fake_port(vm, id))
		fake_channel(test, vm, vm, &spec);
}

/* What is counted of a port. */
static void twin_port(const struct hvpm_port *port, s64 counters[6])
{
	memset(counters, 0, 6 * sizeof(*counters));
	if (!port)
		return;
	counters[0] = atomic64_read(&port->posted);
	counters[1] = atomic64_read(&port->refused_port);
	counters[2] = atomic64_read(&port->refused_vp);
	counters[3] = atomic64_read(&port->refused_synic);
	counters[4] = atomic64_read(&port->refused_buffers);
	counters[5] = atomic_read(&port->buffers.high_water);
}

/*
 * Of two partitions with the same fate one's posts are those of a VP, and the other's
 * come from a copy of the block.  Both look at their queues behind each post, as a VP
 * does before it enters the guest; nobody can tell which is which.
 */
static void twin_of_a_post(struct kunit *test)
{
	struct fake_partition *twin[2] = {
		fake_partition(test, 2), fake_partition(test, 2),
	};
	struct hv_postmsg_partition_stats stats[2];
	unsigned int i, id, round, shortly = 0;
	s64 counters[2][6];
	int length;
	enum hvpm_status status[2];
	struct hvpm_post_input input;
	u32 what, value;

	for (round = 0; round < 20000; round++) {
		what = fake_random(test, 100);
		value = fake_random(test, U32_MAX);
		id = value % 2 ? 1 + value / 2 % 2 : value / 2 % 6;
		memset(&input, 0, sizeof(input));
		input.connection_id = id;
		input.reserved = value;
		input.message_type = fake_random(test, 20) ? 1 + value % 1000 :
				     value & 0x80000000;
		input.payload_size = fake_random(test, 243);
		for (i = 0; i < sizeof(input.payload); i++)
			input.payload[i] = fake_random(test, 256);

		for (i = 0; i < 2; i++) {
			struct hvpm_partition *partition = &twin[i]->partition;
			struct fake_vp *own = &twin[i]->vp[0];

			status[i] = HVPM_STATUS_SUCCESS;
			switch (what) {
			case 0:
				hvpm_partition_set_state(partition, value % 4);
				break;
			case 1:
				own->state = value % 4 ? HVPM_STATUS_SUCCESS :
					     HVPM_STATUS_INVALID_SYNIC_STATE;
				break;
			case 2:
				own->timers = value % 2 ? BIT(SINT) : 0;
				break;
			case 3:
				own->sint[SINT] = FAKE_VECTOR |
					(value % 2 ? HVPM_SINT_MASKED : 0);
				break;
			case 4:
				hvpm_connection_delete(partition, id);
				hvpm_port_delete(partition, id);
				break;
			case 5 ... 9:
				if (id)
					twin_channel(test, twin[i], id);
				break;
			case 10:
				hvpm_vp_reset(&own->vp);
				break;
			case 11 ... 40:
				own->slot[SINT + value % 2].type = 0;
				hvpm_vp_scan(&own->vp);
				break;
			case 41 ... 45:
				twin[i]->vp[1].slot[SINT].type = 0;
				hvpm_vp_scan(&twin[i]->vp[1].vp);
				break;
			default:
				/* Emptied, and EOM yet to be written. */
				if (value & 0x300)
					own->slot[SINT + value / 4 % 2].type = 0;
				/* Any VP, of two tries, is another one. */
				own->payload = value % 16 || id == 4 ?
					       input.payload : NULL;
				length = hvpm_queue_length(&own->vp.queue);
				if (i)
					status[i] = hvpm_post(partition, &input);
				else
					status[i] = post_by_vp(own, &input);
				if (!i && !status[i] && (id == 1 || id == 2) &&
				    hvpm_queue_length(&own->vp.queue) == length)
					shortly++;
				hvpm_vp_scan(&own->vp);
			}
			memset(&stats[i], 0, sizeof(stats[i]));
			hvpm_partition_stats(partition, &stats[i]);
		}

		KUNIT_ASSERT_EQ_MSG(test, status[0], status[1], "round %u", round);
		KUNIT_ASSERT_EQ_MSG(test, 0, memcmp(&stats[0], &stats[1],
						    sizeof(stats[0])),
				    "round %u", round);
		for (i = 0; i < 2; i++)
			twin_port(fake_port(twin[i], id), counters[i]);
		KUNIT_ASSERT_EQ_MSG(test, 0, memcmp(counters[0], counters[1],
						    sizeof(counters[0])),
				    "round %u", round);
		for (i = 0; i < 2; i++) {
			KUNIT_ASSERT_EQ_MSG(test, 0,
					    memcmp(twin[0]->vp[i].slot,
						   twin[1]->vp[i].slot,
						   sizeof(twin[0]->vp[i].slot)),
					    "round %u", round);
			KUNIT_ASSERT_EQ_MSG(test, twin[0]->vp[i].interrupts,
					    twin[1]->vp[i].interrupts,
					    "round %u", round);
		}
	}
	KUNIT_EXPECT_GT(test, shortly, 400U);
}

/* --- host posts that wait --- */

struct host_post {
	struct fake_partition *from;
	u32 value;
	bool nonblock;
	int ret;
	enum hvpm_status status;
};

static void host_post(void *arg)
{
	struct host_post *post = arg;
	struct hvpm_post_input input = {
		.connection_id = PORT,
		.message_type = 1,
		.payload_size = sizeof(post->value),
	};

	memcpy(input.payload, &post->value, sizeof(post->value));
	post->ret = hvpm_post_wait(&post->from->partition, &input,
				   post->nonblock, &post->status);
}

static void nonblock(struct kunit *test)
{
	struct fake_partition *to = fake_partition(test, 1);
	struct fake_partition *from = fake_partition(test, 0);
	struct host_post post = { .from = from, .nonblock = true };

	fake_channel_vp(test, from, to, PORT, 0, SINT, 1);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.ret, 0);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_FALSE(test, from->partition.starved);

	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.ret, 0);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	/* No POLLOUT from here until a buffer is back. */
	KUNIT_EXPECT_TRUE(test, from->partition.starved);
	KUNIT_EXPECT_EQ(test,
			atomic64_read(&fake_port(to, PORT)->refused_buffers), 1ll);
	hvpm_vp_scan(&to->vp[0].vp);
	KUNIT_EXPECT_FALSE(test, from->partition.starved);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_SUCCESS);
}

/* Beside one that waits POLLOUT is for those who do not, and for the moment. */
static void nonblock_beside_a_wait(struct kunit *test)
{
	struct fake_partition *to = fake_partition(test, 1);
	struct fake_partition *from = fake_partition(test, 0);
	struct host_post waiting = { .from = from };
	struct host_post post = { .from = from, .nonblock = true };
	struct fake_waiter waiter;

	fake_channel_vp(test, from, to, PORT, 0, SINT, 1);
	fake_post(from, PORT, 1);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	fake_waiter_start(test, &waiter, host_post, &waiting);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));
	KUNIT_EXPECT_TRUE(test, from->partition.starved);
	/* One buffer is free for a moment: it wakes both, the waiter has it. */
	hvpm_vp_scan(&to->vp[0].vp);
	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, waiting.status, HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_FALSE(test, from->partition.starved);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_TRUE(test, from->partition.starved);
}

/* Counts how often whoever waits in a queue is woken, and asks again each time. */
struct wakes {
	wait_queue_entry_t entry;
	struct fake_partition *from;
	unsigned int count;
};

static int count_wake(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key)
{
	struct wakes *wakes = container_of(entry, struct wakes, entry);

	wakes->count++;
	WRITE_ONCE(wakes->from->partition.asked, true);
	return 0;
}

static void wakes_begin(struct wakes *wakes, struct fake_partition *from)
{
	wakes->count = 0;
	wakes->from = from;
	init_waitqueue_func_entry(&wakes->entry, count_wake);
	add_wait_queue(&from->partition.post_wait, &wakes->entry);
}

/* Who makes room wakes whoever asked for it, and each once, by whatever connections. */
static void one_wake_for_all_connections(struct kunit *test)
{
	const struct hvpm_port_spec spec = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.target_vp = FAKE_INDEX,
		.buffers = 1,
		.shared = true,
	};
	struct fake_partition *to = fake_partition(test, 1);
	struct fake_partition *from = fake_partition(test, 0);
	struct fake_partition *other = fake_partition(test, 0);
	struct host_post post = { .from = from, .nonblock = true };
	struct host_post others = { .from = other, .nonblock = true };
	struct wakes wakes, other_wakes;
	u32 id;

	fake_channel(test, from, to, &spec);
	KUNIT_ASSERT_EQ(test, 0, fake_connect(other, PORT, to, PORT));
	for (id = PORT + 1; id < PORT + 100; id++)
		KUNIT_ASSERT_EQ(test, 0, fake_connect(from, id, to, PORT));
	wakes_begin(&wakes, from);
	wakes_begin(&other_wakes, other);

	/* Each empties the slot and makes room. */
	fake_post(from, PORT, 1);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	hvpm_vp_scan(&to->vp[0].vp);
	KUNIT_EXPECT_EQ(test, wakes.count, 1u);
	KUNIT_EXPECT_EQ(test, other_wakes.count, 0u);

	WRITE_ONCE(from->partition.asked, false);
	fake_post(from, PORT, 2);
	host_post(&others);
	host_post(&post);
	host_post(&post);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&to->partition, PORT));
	KUNIT_EXPECT_EQ(test, wakes.count, 2u);
	KUNIT_EXPECT_EQ(test, other_wakes.count, 1u);
	KUNIT_EXPECT_FALSE(test, from->partition.starved);
	KUNIT_EXPECT_FALSE(test, other->partition.starved);

	remove_wait_queue(&from->partition.post_wait, &wakes.entry);
	remove_wait_queue(&other->partition.post_wait, &other_wakes.entry);
}

/* What may end a wait. */
enum ending {
	DELIVERY,
	VP_RESET,
	PORT_DELETED,
	DISCONNECTED,
	INACTIVE,
	PEER_SHUTDOWN,
	OWN_SHUTDOWN,
	SIGNAL,
	ENDPOINT_CLOSED,
	ENDPOINT_PORT_DELETED,
};

static void wait_until(struct kunit *test, enum ending ending, int ret,
		       enum hvpm_status status)
{
	struct fake_partition *to = fake_partition(test, 1);
	struct fake_partition *from = fake_partition(test, 0);
	struct hv_postmsg_partition_stats stats = {};
	struct host_post post = { .from = from, .value = 3 };
	struct hvpm_endpoint *endpoint = NULL;
	struct fake_waiter waiter;
	struct hvpm_port *port;

	if (ending >= ENDPOINT_CLOSED) {
		struct hvpm_port_spec spec = {
			.id = PORT,
			.type = HV_POSTMSG_PORT_MESSAGE,
		};

		endpoint = hvpm_endpoint_create(&to->partition, 2);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
		spec.endpoint = endpoint;
		fake_channel(test, from, to, &spec);
	} else {
		fake_channel_vp(test, from, to, PORT, 0, SINT, 2);
	}
	port = hvpm_port_get(fake_port(to, PORT));
	fake_post(from, PORT, 1);
	fake_post(from, PORT, 2);

	fake_waiter_start(test, &waiter, host_post, &post);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));
	/* Its wait is nothing to those who ask for POLLOUT. */
	KUNIT_EXPECT_FALSE(test, from->partition.starved);
	/* Woken for another port's sake it waits on. */
	hvpm_partition_wake_posters(&from->partition);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));

	switch (ending) {
	case DELIVERY:
		hvpm_vp_scan(&to->vp[0].vp);
		break;
	case VP_RESET:
		hvpm_vp_reset(&to->vp[0].vp);
		break;
	case PORT_DELETED:
	case ENDPOINT_PORT_DELETED:
		KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&to->partition, PORT));
		break;
	case DISCONNECTED:
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_connection_delete(&from->partition, PORT));
		break;
	case INACTIVE:
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_partition_set_state(&to->partition, false));
		break;
	case PEER_SHUTDOWN:
		fake_end(to);
		break;
	case OWN_SHUTDOWN:
		/* The call on its file keeps the file's reference. */
		hvpm_partition_shutdown(&from->partition);
		break;
	case SIGNAL:
		send_sig(SIGUSR1, waiter.task, 1);
		break;
	case ENDPOINT_CLOSED:
		hvpm_endpoint_close(endpoint);
		break;
	}
	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, post.ret, ret);
	if (!ret) {
		KUNIT_EXPECT_EQ(test, post.status, status);
		/* Counted once, as what it became. */
		KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&from->partition,
							      &stats));
		KUNIT_EXPECT_EQ(test, stats.status[status],
				status ? 1ull : 3ull);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_buffers), 0ll);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->posted),
			ret || status ? 2ll : 3ll);
	hvpm_port_put(port);
	if (ending == ENDPOINT_PORT_DELETED)
		hvpm_endpoint_close(endpoint);
}

static void wait_delivery(struct kunit *test)
{
	wait_until(test, DELIVERY, 0, HVPM_STATUS_SUCCESS);
}

static void wait_vp_reset(struct kunit *test)
{
	wait_until(test, VP_RESET, 0, HVPM_STATUS_SUCCESS);
}

static void wait_port_deleted(struct kunit *test)
{
	wait_until(test, PORT_DELETED, 0, HVPM_STATUS_INVALID_PORT_ID);
}

static void wait_disconnected(struct kunit *test)
{
	wait_until(test, DISCONNECTED, 0, HVPM_STATUS_INVALID_CONNECTION_ID);
}

static void wait_inactive(struct kunit *test)
{
	wait_until(test, INACTIVE, 0, HVPM_STATUS_INVALID_PORT_ID);
}

static void wait_peer_shutdown(struct kunit *test)
{
	wait_until(test, PEER_SHUTDOWN, 0, HVPM_STATUS_INVALID_PORT_ID);
}

static void wait_own_shutdown(struct kunit *test)
{
	wait_until(test, OWN_SHUTDOWN, -ESHUTDOWN, 0);
}

static void wait_signal(struct kunit *test)
{
	wait_until(test, SIGNAL, -ERESTARTSYS, 0);
}

static void wait_endpoint_closed(struct kunit *test)
{
	wait_until(test, ENDPOINT_CLOSED, 0, HVPM_STATUS_INVALID_PORT_ID);
}

static void wait_endpoint_port_deleted(struct kunit *test)
{
	wait_until(test, ENDPOINT_PORT_DELETED, 0, HVPM_STATUS_INVALID_PORT_ID);
}

/* --- several that wait, for few buffers --- */

#define WAITERS		3
#define EACH		400

struct stream {
	struct fake_partition *from;
	unsigned int number;
	unsigned int failed;
};

static void stream(void *arg)
{
	struct stream *stream = arg;
	unsigned int i;

	for (i = 1; i <= EACH; i++) {
		struct host_post post = {
			.from = stream->from,
			.value = stream->number << 16 | i,
		};

		host_post(&post);
		if (post.ret || post.status)
			stream->failed++;
	}
}

/* A poster from an interrupt that takes buffers away from those who wait. */
static void rob(void *arg)
{
	fake_post(arg, PORT, 1);
}

static void several_waiters(struct kunit *test)
{
	struct fake_partition *to = fake_partition(test, 1);
	struct fake_partition *from = fake_partition(test, 0);
	struct fake_vp *fake = &to->vp[0];
	struct fake_waiter waiter[WAITERS];
	struct stream streams[WAITERS] = {};
	unsigned int next[WAITERS], i, received = 0, wrong = 0, robbed = 0;
	struct fake_ticker ticker;
	unsigned long end;

	fake_channel_vp(test, from, to, PORT, 0, SINT, 2);
	for (i = 0; i < WAITERS; i++) {
		next[i] = 1;
		streams[i].from = from;
		streams[i].number = i + 1;
		fake_waiter_start(test, &waiter[i], stream, &streams[i]);
	}
	fake_ticker_start(test, &ticker, rob, from);

	end = jiffies + FAKE_LONG_TIMEOUT;
	while (received < WAITERS * EACH && time_before(jiffies, end)) {
		u32 value;

		hvpm_vp_scan(&fake->vp);
		value = fake_take(fake, SINT);
		if (value == 1) {
			/* Enough of it: let the others end as well. */
			if (++robbed == 2000)
				fake_ticker_stop(&ticker);
		} else if (value) {
			i = (value >> 16) - 1;
			if (i >= WAITERS || (value & 0xffff) != next[i]++)
				wrong++;
			received++;
		}
		cond_resched();
	}
	fake_ticker_stop(&ticker);
	for (i = 0; i < WAITERS; i++) {
		KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter[i]));
		KUNIT_EXPECT_EQ(test, streams[i].failed, 0u);
	}
	hvpm_vp_reset(&fake->vp);
	kunit_info(test, "note: %u received, %u between them\n", received,
		   robbed);
	KUNIT_EXPECT_EQ(test, received, (unsigned int)(WAITERS * EACH));
	KUNIT_EXPECT_EQ(test, wrong, 0u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(to, PORT), 2u);
}

/* A port that died since it was looked up: its endpoint gets the room back. */
static void endpoint_port_dies(struct kunit *test)
{
	struct fake_partition *to = fake_partition(test, 0);
	const struct hvpm_post_input input = { .message_type = 1 };
	const struct hvpm_post post = {
		.head = input.head,
		.payload = input.payload,
	};
	struct hvpm_port_spec spec = {
		.id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
	};
	struct hvpm_endpoint *endpoint;
	struct hvpm_port *port;

	endpoint = hvpm_endpoint_create(&to->partition, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint);
	spec.endpoint = endpoint;
	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&to->partition, &spec));
	port = hvpm_port_get(fake_port(to, PORT));
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&to->partition, PORT));
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, post_to_endpoint(port, &post),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, atomic_read(&endpoint->held), 0);
	hvpm_port_put(port);
	hvpm_endpoint_close(endpoint);
}

static struct kunit_case post_cases[] = {
	KUNIT_CASE(control_word),
	KUNIT_CASE(address),
	KUNIT_CASE(message),
	KUNIT_CASE(payload),
	KUNIT_CASE(connection_id),
	KUNIT_CASE(order_of_checks),
	KUNIT_CASE(invalid_port),
	KUNIT_CASE(target),
	KUNIT_CASE(buffers_run_out),
	KUNIT_CASE(statuses_are_counted),
	KUNIT_CASE(any_vp_none),
	KUNIT_CASE(any_vp_round_robin),
	KUNIT_CASE(any_vp_prefers_idle),
	KUNIT_CASE(any_vp_least_queued),
	KUNIT_CASE(any_vp_preferred),
	KUNIT_CASE(short_way_barred),
	KUNIT_CASE(short_way_without_a_buffer),
	KUNIT_CASE(short_way_behind_arrivals),
	KUNIT_CASE(head_before_payload),
	KUNIT_CASE(payload_of_an_endpoint),
	KUNIT_CASE(last_connection),
	KUNIT_CASE(twin_of_a_post),
	KUNIT_CASE(nonblock),
	KUNIT_CASE(nonblock_beside_a_wait),
	KUNIT_CASE(one_wake_for_all_connections),
	KUNIT_CASE(wait_delivery),
	KUNIT_CASE(wait_vp_reset),
	KUNIT_CASE(wait_port_deleted),
	KUNIT_CASE(wait_disconnected),
	KUNIT_CASE(wait_inactive),
	KUNIT_CASE(wait_peer_shutdown),
	KUNIT_CASE(wait_own_shutdown),
	KUNIT_CASE(wait_signal),
	KUNIT_CASE(wait_endpoint_closed),
	KUNIT_CASE(wait_endpoint_port_deleted),
	KUNIT_CASE(endpoint_port_dies),
	KUNIT_CASE(several_waiters),
	{}
};

static struct kunit_suite post_suite = {
	.name = "hv_postmsg_post",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = post_cases,
};

kunit_test_suite(post_suite);
