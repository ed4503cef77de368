// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: a VP's queue reaches its slots whole, in order, whatever happens between.
 */
#include "fake.h"

#define SINT	2
#define PORT	7

/* One VM that posts to itself, one channel to VP 0. */
static struct fake_partition *make_vm(struct kunit *test, unsigned int vps)
{
	struct fake_partition *vm = fake_partition(test, vps);

	fake_channel_vp(test, vm, vm, PORT, 0, SINT, 0);
	return vm;
}

static u64 delivered(struct fake_partition *vm, u32 id)
{
	return atomic64_read(&fake_port(vm, id)->delivered);
}

static void deliver(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 2);
	struct fake_vp *fake = &vm->vp[0];
	struct hv_postmsg_message *slot = &fake->slot[SINT];

	slot->flags = 0xff;
	slot->reserved = 0xffff;
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 0x12345678),
			HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->kicks), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&vm->vp[1].kicks), 0);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 1));
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 15u);

	/* The poster touches no slot: the VP's thread does. */
	KUNIT_EXPECT_EQ(test, slot->type, 0u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, slot->type, 1u);
	KUNIT_EXPECT_EQ(test, (int)slot->payload_size, 4);
	KUNIT_EXPECT_EQ(test, (int)slot->flags, 0);
	KUNIT_EXPECT_EQ(test, (int)slot->reserved, 0);
	KUNIT_EXPECT_EQ(test, slot->port_id, (u64)PORT);
	KUNIT_EXPECT_EQ(test, fake_value(slot), 0x12345678u);

	KUNIT_EXPECT_EQ(test, fake->interrupts, 1u);
	KUNIT_EXPECT_EQ(test, (int)fake->vector, FAKE_VECTOR + SINT);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 16u);
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_EQ(test, delivered(vm, PORT), 1ull);
}

static void nothing_queued(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	unsigned int op;

	hvpm_vp_scan(&vm->vp[0].vp);
	for (op = 0; op < FAKE_OPS; op++)
		KUNIT_EXPECT_EQ(test, vm->vp[0].calls[op], 0u);
}

static void busy_slot(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int i;

	for (i = 1; i <= 3; i++)
		fake_post(vm, PORT, i);
	/* A scan fills a slot once. */
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 1u);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 1u);
	hvpm_vp_scan(&fake->vp);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 1u);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 1u);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 14u);

	for (i = 1; i <= 3; i++) {
		KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags,
				i < 3 ? HVPM_MESSAGE_PENDING : 0);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), i);
		hvpm_vp_scan(&fake->vp);
	}
	KUNIT_EXPECT_EQ(test, fake->slot[SINT].type, 0u);
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
}

/* MessagePending: if and only if more is queued for the SINT or a timer waits. */
static void pending_flag(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int more, timer;

	fake_channel_vp(test, vm, vm, PORT + 1, 0, SINT + 1, 0);
	for (more = 0; more < 2; more++)
		for (timer = 0; timer < 2; timer++) {
			fake->timers = BIT(SINT + 2) | (timer ? BIT(SINT) : 0);
			fake_post(vm, PORT, 1);
			if (more)
				fake_post(vm, PORT, 2);
			/* What another SINT has queued does not count. */
			fake_post(vm, PORT + 1, 3);
			fake_post(vm, PORT + 1, 4);
			hvpm_vp_scan(&fake->vp);
			KUNIT_EXPECT_EQ(test, fake_value(&fake->slot[SINT]), 1u);
			KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags,
					more || timer ? HVPM_MESSAGE_PENDING : 0);
			KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT + 1].flags,
					HVPM_MESSAGE_PENDING);

			hvpm_vp_reset(&fake->vp);
			memset(fake->slot, 0, sizeof(fake->slot));
		}
}

/* A timer that comes first each time, and the queue: they take turns. */
static void turns_with_a_timer(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int i;

	hvpm_vp_scan_behind(&fake->vp);
	for (i = 0; i < FAKE_OPS; i++)
		KUNIT_EXPECT_EQ(test, fake->calls[i], 0u);

	/* A message of any other kind gives no turn. */
	fake->slot[SINT].type = HVPM_TIMER_EXPIRED + 1;
	for (i = 1; i <= 4; i++)
		fake_post(vm, PORT, i);
	hvpm_vp_scan(&fake->vp);
	fake->slot[SINT].type = 0;
	hvpm_vp_scan_behind(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake->slot[SINT].type, 0u);

	for (i = 0; i < 8; i++) {
		hvpm_vp_scan_behind(&fake->vp);
		if (!fake->slot[SINT].type)
			fake->slot[SINT].type = HVPM_TIMER_EXPIRED;
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake->slot[SINT].type,
				i % 2 ? 1u : HVPM_TIMER_EXPIRED);
		fake->slot[SINT].type = 0;
		fake->slot[SINT].flags = 0;
	}
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
}

/* What arrives while the slot is written finds it full and says so. */
static void post_while_writing(struct fake_vp *fake, enum fake_op op)
{
	if (op == FAKE_WRITE && fake->calls[FAKE_WRITE] == 1)
		fake_post(fake->moment_arg, PORT, 2);
}

static void arrival_during_scan(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake->moment = post_while_writing;
	fake->moment_arg = vm;
	fake_post(vm, PORT, 1);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_EQ(test, atomic_read(&fake->kicks), 2);
	KUNIT_EXPECT_EQ(test, fake_value(&fake->slot[SINT]), 1u);

	/* The second kick's scan. */
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags, HVPM_MESSAGE_PENDING);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 1u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 2u);
}

static void sints_are_independent(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int sint;

	for (sint = 1; sint < HVPM_SINT_COUNT; sint++)
		fake_channel_vp(test, vm, vm, sint, 0, sint, 0);
	/* A full slot and one that faults hold nobody else up. */
	fake->slot[4].type = 1;
	for (sint = HVPM_SINT_COUNT - 1; sint; sint--)
		fake_post(vm, sint, 100 + sint);
	hvpm_vp_scan(&fake->vp);
	for (sint = 1; sint < HVPM_SINT_COUNT; sint++) {
		if (sint == 4)
			continue;
		KUNIT_EXPECT_EQ(test, fake_take(fake, sint), 100 + sint);
		KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, sint), 16u);
	}
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, 4), 15u);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 14u);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));
}

/* Two ports of one SINT share its FIFO. */
static void ports_share_a_fifo(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int i;

	fake_channel_vp(test, vm, vm, PORT + 1, 0, SINT, 0);
	for (i = 1; i <= 20; i++)
		fake_post(vm, PORT + i % 2, i);
	for (i = 1; i <= 20; i++) {
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake->slot[SINT].port_id,
				(u64)PORT + i % 2);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), i);
	}
}

/* --- all interleavings of a scan with a guest that consumes twice --- */

enum { EMPTY_1, LOOK_1, EMPTY_2, LOOK_2, GUEST_STEPS };

/**
 * struct guest - a guest that follows the protocol, at chosen moments
 *
 * @now: the moment: callbacks of the VP's thread so far
 * @at: the moment of each step, ascending
 * @done: steps done
 * @next: value of the message that must come next
 * @wrong: messages that came out of order or twice
 * @took: the slot was full when it was emptied, so that the guest looks
 * @eom: EOM was written since the last scan
 */
struct guest {
	unsigned int now;
	unsigned int at[GUEST_STEPS];
	unsigned int done;
	u32 next;
	unsigned int wrong;
	bool took;
	bool eom;
};

static void guest_empties(struct fake_vp *fake, struct guest *guest)
{
	guest->took = fake->slot[SINT].type;
	if (guest->took && fake_take(fake, SINT) != guest->next++)
		guest->wrong++;
}

static void guest_looks(struct fake_vp *fake, struct guest *guest)
{
	if (guest->took && fake->slot[SINT].flags & HVPM_MESSAGE_PENDING)
		guest->eom = true;
	guest->took = false;
}

static void guest_step(struct fake_vp *fake, struct guest *guest)
{
	if (guest->done++ % 2)
		guest_looks(fake, guest);
	else
		guest_empties(fake, guest);
}

static void guest_moment(struct fake_vp *fake, enum fake_op op)
{
	struct guest *guest = fake->moment_arg;

	while (guest->done < GUEST_STEPS &&
	       guest->at[guest->done] == guest->now)
		guest_step(fake, guest);
	guest->now++;
}

/*
 * A slot with message 1 in it, or empty; messages up to @last queued; one kick.
 * From then on nothing happens but by the guest, which stops only at an empty
 * slot: what is left in the queue then would stay there for ever.
 */
static void play(struct kunit *test, struct fake_partition *vm,
		 struct guest *guest, bool full, bool pending, u32 last)
{
	struct fake_vp *fake = &vm->vp[0];
	u32 value = 1;

	memset(&fake->slot[SINT], 0, sizeof(fake->slot[SINT]));
	fake->moment = guest_moment;
	fake->moment_arg = guest;
	guest->next = 1;
	if (full) {
		fake->slot[SINT].type = 1;
		fake->slot[SINT].payload_size = 4;
		memcpy(fake->slot[SINT].payload, &value, 4);
		value++;
	}
	/* As a timer of KVM's leaves it when its message found the slot full. */
	if (pending)
		fake->slot[SINT].flags = HVPM_MESSAGE_PENDING;
	while (value <= last)
		KUNIT_ASSERT_EQ(test, fake_post(vm, PORT, value++),
				HVPM_STATUS_SUCCESS);

	hvpm_vp_scan(&fake->vp);
	/* Steps that were to come later come now. */
	while (guest->done < GUEST_STEPS)
		guest_step(fake, guest);

	fake->moment = NULL;
	while (guest->eom || fake->slot[SINT].type) {
		if (guest->eom) {
			guest->eom = false;
			hvpm_vp_scan(&fake->vp);
		}
		guest_empties(fake, guest);
		guest_looks(fake, guest);
	}
}

/* Claim, write, SINT and interrupt are at most seven callbacks. */
#define MOMENTS	8

/* The next of all ways to choose ascending moments for the guest's steps. */
static bool next_moments(unsigned int at[GUEST_STEPS])
{
	unsigned int step = GUEST_STEPS, later;

	while (step--) {
		if (++at[step] == MOMENTS)
			continue;
		for (later = step + 1; later < GUEST_STEPS; later++)
			at[later] = at[step];
		return true;
	}
	return false;
}

static void every_interleaving(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	unsigned int at[GUEST_STEPS] = {}, start, cases = 0;
	u32 last;

	do {
		for (start = 0; start < 4; start++)
			for (last = 2; last <= 4; last++) {
				struct guest guest = {};

				memcpy(guest.at, at, sizeof(at));
				play(test, vm, &guest, start & 1, start & 2, last);
				KUNIT_ASSERT_EQ(test, guest.wrong, 0u);
				KUNIT_ASSERT_EQ_MSG(test, guest.next, last + 1,
						    "stalled: start %u, steps at %u %u %u %u",
						    start, at[0], at[1], at[2],
						    at[3]);
				KUNIT_ASSERT_TRUE(test,
						  hvpm_queue_empty(&vm->vp[0].vp.queue));
				KUNIT_ASSERT_FALSE(test, fake_marked(vm, 0));
				KUNIT_ASSERT_EQ(test, 16u,
						fake_free_buffers(vm, PORT));
				cases++;
			}
	} while (next_moments(at));
	kunit_info(test, "note: %u interleavings\n", cases);
	KUNIT_EXPECT_EQ(test, cases, 330u * 12);
	KUNIT_EXPECT_EQ(test, delivered(vm, PORT), (u64)vm->vp[0].interrupts);
}

/* --- what goes wrong --- */

static void write_fault(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_post(vm, PORT, 1);
	fake_post(vm, PORT, 2);
	fake->error[FAKE_WRITE] = -EFAULT;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 1ull);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 1u);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 0u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 14u);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));
	KUNIT_EXPECT_EQ(test, delivered(vm, PORT), 0ull);

	/* At the head still, tried again by each trigger and by nothing else. */
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 2ull);
	fake->error[FAKE_WRITE] = 0;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags, HVPM_MESSAGE_PENDING);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 1u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 2u);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 2ull);
}

static void other_faults(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_post(vm, PORT, 1);
	fake->error[FAKE_READ] = -EFAULT;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 1ull);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 0u);
	fake->error[FAKE_READ] = 0;

	fake->slot[SINT].type = 1;
	fake->error[FAKE_SET_PENDING] = -EFAULT;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 2ull);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 0u);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));

	/* Now it works, but the slot is full: no fault. */
	fake->error[FAKE_SET_PENDING] = 0;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_faults(test, vm), 2ull);
	fake->slot[SINT].type = 0;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 1u);
}

static void delete_port(struct fake_vp *fake, enum fake_op op)
{
	if (op == FAKE_WRITE)
		hvpm_port_delete(fake->moment_arg, PORT);
}

static void reset_vp(struct fake_vp *fake, enum fake_op op)
{
	if (op == FAKE_WRITE)
		hvpm_vp_reset(&fake->vp);
}

/* The message being written is in no queue: whoever empties it leaves it to us. */
static void port_dies_during_write(struct kunit *test)
{
	struct hv_postmsg_partition_stats stats = {};
	unsigned int fault;

	for (fault = 0; fault < 2; fault++) {
		struct fake_partition *vm = make_vm(test, 1);
		struct fake_vp *fake = &vm->vp[0];

		fake_channel_vp(test, vm, vm, PORT + 1, 0, SINT, 0);
		fake_post(vm, PORT, 1);
		fake_post(vm, PORT, 2);
		fake_post(vm, PORT + 1, 3);
		fake->moment = delete_port;
		fake->moment_arg = &vm->partition;
		fake->error[FAKE_WRITE] = fault ? -EFAULT : 0;
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_NULL(test, fake_port(vm, PORT));
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), fault ? 0u : 1u);
		KUNIT_EXPECT_EQ(test, fake->interrupts, fault ? 0u : 1u);

		fake->moment = NULL;
		fake->error[FAKE_WRITE] = 0;
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 3u);
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_partition_stats(&vm->partition, &stats));
		KUNIT_EXPECT_EQ(test, stats.posted, 3ull);
		KUNIT_EXPECT_EQ(test, stats.delivered, fault ? 1ull : 2ull);
		KUNIT_EXPECT_EQ(test, stats.freed, fault ? 2ull : 1ull);
		KUNIT_EXPECT_EQ(test, stats.queued, 0ull);
	}
}

static void reset_during_write(struct kunit *test)
{
	unsigned int fault;

	for (fault = 0; fault < 2; fault++) {
		struct fake_partition *vm = make_vm(test, 1);
		struct fake_vp *fake = &vm->vp[0];

		fake_post(vm, PORT, 1);
		fake_post(vm, PORT, 2);
		fake->moment = reset_vp;
		fake->error[FAKE_WRITE] = fault ? -EFAULT : 0;
		hvpm_vp_scan(&fake->vp);
		fake->moment = NULL;
		fake->error[FAKE_WRITE] = 0;
		KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&fake->vp.queue));
		KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 16u);
		fake_take(fake, SINT);
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 0u);
		KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));

		/* It takes messages as before. */
		fake_post(vm, PORT, 3);
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 3u);
	}
}

static void reset_vp_at_read(struct fake_vp *fake, enum fake_op op)
{
	if (op == FAKE_READ)
		hvpm_vp_reset(&fake->vp);
}

/* The slot is found empty, and so is the queue then. */
static void reset_before_pop(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_post(vm, PORT, 1);
	fake->moment = reset_vp_at_read;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 0u);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 0u);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 0u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 16u);
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
}

static void no_interrupt(struct kunit *test)
{
	static const u64 value[] = {
		(FAKE_VECTOR | HVPM_SINT_MASKED),
		(FAKE_VECTOR | HVPM_SINT_POLLING),
		0, 15,
	};
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(value); i++) {
		fake->sint[SINT] = value[i];
		fake_post(vm, PORT, 10 + i);
		hvpm_vp_scan(&fake->vp);
		KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 10 + i);
		KUNIT_EXPECT_EQ(test, fake->interrupts, 0u);
	}
}

static void disabled(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];

	fake_post(vm, PORT, 1);
	fake_post(vm, PORT, 2);
	fake->state = HVPM_STATUS_INVALID_SYNIC_STATE;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_READ], 0u);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_WRITE], 0u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 14u);
	KUNIT_EXPECT_TRUE(test, fake_marked(vm, 0));

	fake->state = HVPM_STATUS_SUCCESS;
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 1u);
	hvpm_vp_scan(&fake->vp);
	KUNIT_EXPECT_EQ(test, fake_take(fake, SINT), 2u);
}

static void reset(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 2);
	unsigned int i;

	fake_channel_vp(test, vm, vm, PORT + 1, 1, SINT, 0);
	fake_channel_vp(test, vm, vm, PORT + 2, 0, SINT + 1, 0);
	for (i = 1; i <= 16; i++) {
		fake_post(vm, PORT, i);
		fake_post(vm, PORT + 1, i);
		fake_post(vm, PORT + 2, i);
	}
	KUNIT_EXPECT_EQ(test, fake_post(vm, PORT, 17),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	/* One in the slot, one sorted, the rest as they arrived. */
	hvpm_vp_scan(&vm->vp[0].vp);
	fake_post(vm, PORT, 17);

	hvpm_vp_reset(&vm->vp[0].vp);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT + 2), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT + 1), 0u);
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&vm->vp[0].vp.queue));
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake_port(vm, PORT)->freed), 16ll);
	/* What reached the slot is the guest's. */
	KUNIT_EXPECT_EQ(test, fake_value(&vm->vp[0].slot[SINT]), 1u);

	for (i = 1; i <= 16; i++) {
		hvpm_vp_scan(&vm->vp[1].vp);
		KUNIT_EXPECT_EQ(test, fake_take(&vm->vp[1], SINT), i);
	}
}

static void kick_queued(struct kunit *test)
{
	struct fake_partition *vm = fake_partition(test, FAKE_VPS);
	unsigned int slot, queued;

	for (slot = 0; slot < FAKE_VPS; slot++)
		fake_channel_vp(test, vm, vm, PORT + slot, slot, SINT, 0);
	for (queued = 0; queued < BIT(FAKE_VPS); queued++) {
		for (slot = 0; slot < FAKE_VPS; slot++) {
			if (queued & BIT(slot))
				fake_post(vm, PORT + slot, 1);
			/* Delivered is not queued any more. */
			else if (queued & 1) {
				fake_post(vm, PORT + slot, 1);
				hvpm_vp_scan(&vm->vp[slot].vp);
				fake_take(&vm->vp[slot], SINT);
			}
			atomic_set(&vm->vp[slot].kicks, 0);
		}
		hvpm_vp_kick_queued(&vm->partition);
		for (slot = 0; slot < FAKE_VPS; slot++) {
			KUNIT_EXPECT_EQ(test, !!(queued & BIT(slot)),
					atomic_read(&vm->vp[slot].kicks));
			/* The kick's own work empties the queue again. */
			hvpm_vp_scan(&vm->vp[slot].vp);
			fake_take(&vm->vp[slot], SINT);
			KUNIT_EXPECT_FALSE(test, fake_marked(vm, slot));
		}
	}
}

/* --- posters, the VP's thread and resets at once --- */

struct traffic {
	struct fake_partition *vm;
	u32 id;
	u32 sent;
};

static void traffic_post(void *arg)
{
	struct traffic *traffic = arg;

	if (!fake_post(traffic->vm, traffic->id, traffic->sent + 1))
		traffic->sent++;
}

static int traffic_thread(void *arg)
{
	unsigned int round = 0;

	while (!kthread_should_stop()) {
		traffic_post(arg);
		if (!(++round % 8))
			cond_resched();
	}
	return 0;
}

/*
 * A VP's thread that scans only when it was kicked, and a guest that asks for a
 * scan only by EOM: it stalls if a single wake-up is lost.
 */
static void posters_and_guest(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	struct traffic traffic[3] = {};
	struct task_struct *thread[2];
	u32 received[3] = {}, total = 0;
	unsigned int i, wrong = 0, stalls = 0;
	struct fake_ticker ticker;
	int kicks = 0, seen;
	unsigned long end;
	bool eom = false;

	fake_channel_vp(test, vm, vm, PORT + 1, 0, SINT, 4);
	fake_channel_vp(test, vm, vm, PORT + 2, 0, SINT, 1);
	for (i = 0; i < 3; i++) {
		traffic[i].vm = vm;
		traffic[i].id = PORT + i;
	}
	for (i = 0; i < 2; i++) {
		thread[i] = kthread_run(traffic_thread, &traffic[i + 1],
					"poster-%u", i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread[i]);
	}
	fake_ticker_start(test, &ticker, traffic_post, &traffic[0]);

	end = jiffies + FAKE_LONG_TIMEOUT;
	while ((atomic_read(&ticker.ticks) < 5000 || total < 5000) &&
	       time_before(jiffies, end)) {
		seen = atomic_read(&fake->kicks);
		if (seen != kicks || eom) {
			kicks = seen;
			eom = false;
			hvpm_vp_scan(&fake->vp);
		}
		if (fake->slot[SINT].type) {
			unsigned int from = fake->slot[SINT].port_id - PORT;

			if (from > 2 || fake_take(fake, SINT) != ++received[from])
				wrong++;
			total++;
			eom = fake->slot[SINT].flags & HVPM_MESSAGE_PENDING;
		} else if (kicks == atomic_read(&fake->kicks) && !eom &&
			   !hvpm_queue_empty(&fake->vp.queue) &&
			   kicks == atomic_read(&fake->kicks)) {
			/* Between push and kick, if it is no stall. */
			cond_resched();
			msleep(20);
			if (kicks == atomic_read(&fake->kicks))
				stalls++;
		}
		if (!(total % 32))
			cond_resched();
	}
	fake_ticker_stop(&ticker);
	for (i = 0; i < 2; i++)
		kthread_stop(thread[i]);
	/* What is left. */
	while (!hvpm_queue_empty(&fake->vp.queue)) {
		hvpm_vp_scan(&fake->vp);
		i = fake->slot[SINT].port_id - PORT;
		if (i > 2 || fake_take(fake, SINT) != ++received[i])
			wrong++;
	}
	if (fake->slot[SINT].type)
		received[fake->slot[SINT].port_id - PORT]++;

	kunit_info(test, "note: %u received, %d interrupts\n", total,
		   atomic_read(&ticker.ticks));
	KUNIT_EXPECT_EQ(test, wrong, 0u);
	KUNIT_EXPECT_EQ(test, stalls, 0u);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, received[i], traffic[i].sent);
	KUNIT_EXPECT_GE(test, total, 5000u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT + 1), 4u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(vm, PORT + 2), 1u);
	KUNIT_EXPECT_FALSE(test, fake_marked(vm, 0));
}

/*
 * Whatever is queued when a scan ends is marked, or an EOM written on another VP
 * would pass it by: a message may arrive while the mark is being cleared.
 */
static void mark_stays(struct kunit *test)
{
	struct fake_partition *vm = make_vm(test, 1);
	struct fake_vp *fake = &vm->vp[0];
	struct traffic traffic = { .vm = vm, .id = PORT };
	struct fake_ticker ticker;
	unsigned int lost = 0;
	unsigned long end;

	fake_ticker_start(test, &ticker, traffic_post, &traffic);
	end = jiffies + FAKE_LONG_TIMEOUT;
	while (atomic_read(&ticker.ticks) < 30000 && time_before(jiffies, end)) {
		hvpm_vp_scan(&fake->vp);
		if (!hvpm_queue_empty(&fake->vp.queue) && !fake_marked(vm, 0))
			lost++;
		fake_take(fake, SINT);
	}
	fake_ticker_stop(&ticker);
	KUNIT_EXPECT_GE(test, atomic_read(&ticker.ticks), 30000);
	KUNIT_EXPECT_GT(test, traffic.sent, 1000u);
	KUNIT_EXPECT_EQ(test, lost, 0u);
}

static struct kunit_case vp_cases[] = {
	KUNIT_CASE(deliver),
	KUNIT_CASE(nothing_queued),
	KUNIT_CASE(busy_slot),
	KUNIT_CASE(pending_flag),
	KUNIT_CASE(turns_with_a_timer),
	KUNIT_CASE(arrival_during_scan),
	KUNIT_CASE(sints_are_independent),
	KUNIT_CASE(ports_share_a_fifo),
	KUNIT_CASE(every_interleaving),
	KUNIT_CASE(write_fault),
	KUNIT_CASE(other_faults),
	KUNIT_CASE(port_dies_during_write),
	KUNIT_CASE(reset_during_write),
	KUNIT_CASE(reset_before_pop),
	KUNIT_CASE(no_interrupt),
	KUNIT_CASE(disabled),
	KUNIT_CASE(reset),
	KUNIT_CASE(kick_queued),
	KUNIT_CASE(posters_and_guest),
	KUNIT_CASE(mark_stays),
	{}
};

static struct kunit_suite vp_suite = {
	.name = "hv_postmsg_vp",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = vp_cases,
};

kunit_test_suite(vp_suite);
