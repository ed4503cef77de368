// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the message-slot protocol against a guest that consumes at any moment.
 */
#include "fake.h"

#define SINT	3

static struct fake_vp *make_vp(struct kunit *test)
{
	struct fake_vp *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fake);
	/* The slot protocol asks nothing of the partition. */
	fake_vp_init(fake, NULL, 0);
	return fake;
}

/* What the last claim found in the slot. */
static u32 type;

static void empty(struct kunit *test)
{
	struct fake_vp *fake = make_vp(test);

	/* Flags left over in an empty slot mean nothing. */
	fake->slot[SINT].flags = HVPM_MESSAGE_PENDING;
	fake->slot[SINT - 1].type = 1;
	fake->slot[SINT + 1].type = 1;
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), 1);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_READ], 1u);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_SET_PENDING], 0u);
}

static void every_type_is_full(struct kunit *test)
{
	struct fake_vp *fake = make_vp(test);
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		fake->slot[SINT].type = BIT(bit);
		fake->slot[SINT].flags = 0;
		KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), 0);
		KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags,
				HVPM_MESSAGE_PENDING);
	}
}

static void full(struct kunit *test)
{
	struct fake_vp *fake = make_vp(test);

	fake->slot[SINT].type = 1;
	fake->slot[SINT].flags = 0xfe;
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), 0);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_SET_PENDING], 1u);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_READ], 2u);
	KUNIT_EXPECT_EQ(test, (int)fake->slot[SINT].flags, 0xff);
	KUNIT_EXPECT_EQ(test, fake->slot[SINT].type, 1u);

	/* Told already: not again. */
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), 0);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_SET_PENDING], 1u);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_READ], 3u);
}

static void faults(struct kunit *test)
{
	struct fake_vp *fake = make_vp(test);

	fake->error[FAKE_READ] = -EFAULT;
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), -EFAULT);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_SET_PENDING], 0u);

	fake = make_vp(test);
	fake->slot[SINT].type = 1;
	fake->error[FAKE_SET_PENDING] = -EFAULT;
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), -EFAULT);

	/* The page goes between the two looks. */
	fake = make_vp(test);
	fake->slot[SINT].type = 1;
	fake->error[FAKE_READ] = -EFAULT;
	fake->error_from[FAKE_READ] = 1;
	KUNIT_EXPECT_EQ(test, hvpm_slot_claim(&fake->vp, SINT, &type), -EFAULT);
	KUNIT_EXPECT_EQ(test, fake->calls[FAKE_READ], 2u);
}

/*
 * The guest's half of the protocol, two steps: empty the slot; look at
 * MessagePending and write EOM if it is set.
 */
struct guest {
	unsigned int now;
	unsigned int empty_at;
	unsigned int look_at;
	bool eom;
};

static void guest_moment(struct fake_vp *fake, enum fake_op op)
{
	struct guest *guest = fake->moment_arg;

	if (guest->now == guest->empty_at)
		fake->slot[SINT].type = 0;
	if (guest->now == guest->look_at &&
	    fake->slot[SINT].flags & HVPM_MESSAGE_PENDING)
		guest->eom = true;
	guest->now++;
}

/*
 * All moments of the guest's two steps against the three accesses of the claim,
 * for each state of the slot before.  The rule: once the guest is through, a
 * message that was not let into the slot has an EOM coming.
 */
static void every_interleaving(struct kunit *test)
{
	const unsigned int moments = 4;
	unsigned int empty_at, look_at, pending, cases = 0;
	struct fake_vp *fake = make_vp(test);

	fake->moment = guest_moment;
	for (pending = 0; pending < 2; pending++)
		for (empty_at = 0; empty_at <= moments; empty_at++)
			for (look_at = empty_at; look_at <= moments; look_at++) {
				struct guest guest = {
					.empty_at = empty_at,
					.look_at = look_at,
				};
				int ret;

				fake->moment_arg = &guest;
				fake->slot[SINT].type = 1;
				fake->slot[SINT].flags =
					pending ? HVPM_MESSAGE_PENDING : 0;
				ret = hvpm_slot_claim(&fake->vp, SINT, &type);
				KUNIT_ASSERT_GE(test, ret, 0);
				/* Into a slot that is full nothing may go. */
				if (ret)
					KUNIT_EXPECT_EQ(test, 0u,
							fake->slot[SINT].type);

				/* The guest ends what it has not done yet. */
				while (guest.now <= moments)
					guest_moment(fake, FAKE_OPS);
				KUNIT_EXPECT_EQ(test, 0u, fake->slot[SINT].type);
				KUNIT_EXPECT_TRUE_MSG(test, ret || guest.eom,
						      "stalled: pending %u, emptied at %u, looked at %u",
						      pending, empty_at, look_at);
				cases++;
			}
	kunit_info(test, "note: %u interleavings\n", cases);
}

/* Interrupts: every vector, masked or not, polling or not, and AutoEOI. */
static void interrupt(struct kunit *test)
{
	const u64 auto_eoi = BIT_ULL(17);
	struct fake_vp *fake = make_vp(test);
	unsigned int vector, bits;

	for (vector = 0; vector < 256; vector++)
		for (bits = 0; bits < 8; bits++) {
			unsigned int before = fake->interrupts;
			bool raise = vector >= 16 && !(bits & 3);

			fake->sint[SINT] = vector |
				(bits & 1 ? HVPM_SINT_MASKED : 0) |
				(bits & 2 ? HVPM_SINT_POLLING : 0) |
				(bits & 4 ? auto_eoi : 0);
			hvpm_slot_interrupt(&fake->vp, SINT);
			KUNIT_EXPECT_EQ(test, fake->interrupts, before + raise);
			if (raise)
				KUNIT_EXPECT_EQ(test, (unsigned int)fake->vector,
						vector);
		}

	/* The rest of the register is reserved and does not count. */
	fake->interrupts = 0;
	fake->sint[SINT] = FAKE_VECTOR | (~0ULL << 19) | 0xff00;
	hvpm_slot_interrupt(&fake->vp, SINT);
	KUNIT_EXPECT_EQ(test, fake->interrupts, 1u);
	KUNIT_EXPECT_EQ(test, (int)fake->vector, FAKE_VECTOR);
}

static struct kunit_case slot_cases[] = {
	KUNIT_CASE(empty),
	KUNIT_CASE(every_type_is_full),
	KUNIT_CASE(full),
	KUNIT_CASE(faults),
	KUNIT_CASE(every_interleaving),
	KUNIT_CASE(interrupt),
	{}
};

static struct kunit_suite slot_suite = {
	.name = "hv_postmsg_slot",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = slot_cases,
};

kunit_test_suite(slot_suite);
