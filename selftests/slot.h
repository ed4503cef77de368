/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of delivery share: a host process that posts to a guest with
 * two VPs, which run hvpm_guest_main()
 */
#ifndef SELFTESTS_SLOT_H
#define SELFTESTS_SLOT_H

#include "hvpm_test.h"

#define PORT		7
#define CONNECTION	9
#define SELF		8
#define SINT		2
#define TYPE		1
#define SIZE		64

FIXTURE(slot) {
	struct hvpm_vm *vm;
	struct hvpm_vp *vp;
	struct hvpm_vp *other;
	int partition;
	int host;
};

FIXTURE_SETUP(slot)
{
	self->vm = hvpm_vm_create(2, NULL);
	self->vp = &self->vm->vps[0];
	self->other = &self->vm->vps[1];
	self->partition = hvpm_vm_attach(self->vm, 0);
	self->host = hvpm_create_host_partition();
	hvpm_create_port(self->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION, self->partition, PORT);
	hvpm_vp_enable_synic(self->vp, SINT);
}

FIXTURE_TEARDOWN(slot)
{
	close(self->host);
	hvpm_vm_free(self->vm);
}

/* Post message number @sequence. */
static inline uint32_t post_to(struct _test_data_slot *self,
			       uint32_t connection, uint64_t sequence)
{
	return hvpm_post(self->host, connection, TYPE + sequence, SIZE,
			 HV_POSTMSG_POST_NONBLOCK, 0, sequence);
}

#define POST(number) \
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION, number))

/* Post, and let the VP see it. */
#define POST_AND_POKE(sequence) do {					\
	POST(sequence);							\
	hvpm_vp_poke(self->vp);						\
} while (0)

/* Message number @sequence is in the slot, with these flags. */
#define EXPECT_SLOT(vp, sint, number, pending) do {			\
	volatile struct hv_postmsg_message *_slot = &(vp)->slots[sint];	\
	struct hv_postmsg_message _copy = *_slot;			\
	struct hvpm_payload _head = { .sequence = -1 };			\
									\
	EXPECT_EQ(TYPE + (number), _copy.type);			\
	EXPECT_EQ((pending) ? HV_MESSAGE_FLAG_PENDING : 0, _copy.flags);	\
	EXPECT_TRUE(hvpm_payload_check(_copy.payload, _copy.type,	\
				       _copy.payload_size, &_head));	\
	EXPECT_EQ((number), _head.sequence);				\
} while (0)

#define EXPECT_SLOT_EMPTY(vp, sint) EXPECT_EQ(0, (vp)->slots[sint].type)

/* Take a message by the protocol; it must be number @sequence. */
#define EXPECT_TAKE(vp, sint, number) do {				\
	struct hv_postmsg_message _message;				\
	struct hvpm_payload _head = { .sequence = -1 };			\
									\
	ASSERT_TRUE(hvpm_vp_take(vp, sint, &_message))			\
		TH_LOG("no message %u", (unsigned int)(number));	\
	EXPECT_TRUE(hvpm_payload_check(_message.payload, _message.type,	\
				       _message.payload_size, &_head));	\
	EXPECT_EQ((number), _head.sequence);				\
} while (0)

#define EXPECT_INTERRUPTS(vp, count) \
	EXPECT_EQ((count), (vp)->guest->interrupts[SINT])

#define EXPECT_QUEUED(count) do {					\
	struct hv_postmsg_port_stats _stats;				\
									\
	hvpm_port_stats(self->partition, PORT, &_stats);		\
	EXPECT_EQ((count), _stats.queued);				\
	EXPECT_EQ(_stats.buffers, _stats.free + _stats.queued);		\
} while (0)

/* Do something else until @condition holds, for a long time at most. */
#define WAIT_FOR(condition, text) do {					\
	unsigned int _tries;						\
									\
	for (_tries = 0; !(condition); _tries++) {			\
		ASSERT_GT(15000, _tries) TH_LOG("never: %s", text);	\
		usleep(1000);						\
	}								\
} while (0)

/* A port of the VP that may post to it by itself. */
static inline void connect_to_self(struct _test_data_slot *self)
{
	hvpm_create_port(self->partition, SELF, 0, SINT, 0, 0);
	hvpm_join(self->partition, CONNECTION, self->partition, SELF);
}

/* What a guest does that forgets about MessagePending. */
static inline void empty_slot(struct hvpm_vp *vp, unsigned int sint)
{
	vp->slots[sint].type = 0;
}

#endif /* SELFTESTS_SLOT_H */
