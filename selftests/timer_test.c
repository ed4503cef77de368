// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timers: KVM's synthetic timers, which write the same message slots
 *
 * A one-shot timer that finds its slot full waits for EOM or EOI; a periodic
 * one gives that tick up.  KVM writes the header of a timer's message without
 * MessagePending, whatever the module has queued behind it.
 *
 * All times are the guest's reference time, in units of 100 ns.
 */
#include "slot.h"

#include "apic.h"

#define TIMERS			4
#define TIMER_EXPIRED		0x80000010

#define STIMER_ENABLE		BIT_ULL(0)
#define STIMER_PERIODIC		BIT_ULL(1)
#define STIMER_AUTO_ENABLE	BIT_ULL(3)
#define STIMER_VECTOR(vector)	((uint64_t)(vector) << 4)
#define STIMER_DIRECT		BIT_ULL(12)
#define STIMER_SINT(sint)	((uint64_t)(sint) << 16)

#define STIMER_CONFIG(timer)	(HV_X64_MSR_STIMER0_CONFIG + 2 * (timer))
#define STIMER_COUNT(timer)	(HV_X64_MSR_STIMER0_COUNT + 2 * (timer))

#define SECOND			10000000ULL

/* Payload of a timer's message. */
struct timer_payload {
	uint32_t timer;
	uint32_t reserved;
	uint64_t expiration;
	uint64_t delivery;
};

/* The message of timer @index is in the slot, with this flag. */
#define EXPECT_TIMER(vp, sint, index, pending) do {			\
	struct hv_postmsg_message _copy =				\
		*(volatile struct hv_postmsg_message *)&(vp)->slots[sint]; \
	struct timer_payload *_timer = (void *)_copy.payload;		\
									\
	EXPECT_EQ(TIMER_EXPIRED, _copy.type);				\
	EXPECT_EQ(sizeof(*_timer), _copy.payload_size);			\
	EXPECT_EQ((pending) ? HV_MESSAGE_FLAG_PENDING : 0, _copy.flags); \
	EXPECT_EQ((index), _timer->timer);				\
} while (0)

/* Take a message by the protocol; it must be that of timer @index. */
#define EXPECT_TAKE_TIMER(vp, sint, index) do {				\
	struct hv_postmsg_message _message;				\
									\
	ASSERT_TRUE(hvpm_vp_take(vp, sint, &_message))			\
		TH_LOG("no message of timer %u", (unsigned int)(index)); \
	EXPECT_EQ(TIMER_EXPIRED, _message.type);			\
	EXPECT_EQ((index),						\
		  ((struct timer_payload *)_message.payload)->timer);	\
} while (0)

static void arm(struct hvpm_vp *vp, unsigned int timer, uint64_t config,
		uint64_t count)
{
	hvpm_vp_wrmsr(vp, STIMER_CONFIG(timer), STIMER_AUTO_ENABLE | config);
	hvpm_vp_wrmsr(vp, STIMER_COUNT(timer), count);
}

static void disarm(struct hvpm_vp *vp, unsigned int timer)
{
	hvpm_vp_wrmsr(vp, STIMER_CONFIG(timer), 0);
}

/* A one-shot timer whose time has come. */
static void expire(struct hvpm_vp *vp, unsigned int timer, unsigned int sint)
{
	arm(vp, timer, STIMER_SINT(sint), 1);
}

/*
 * Have a timer wait for an EOM or EOI: its time comes while there is a message
 * in its slot.  The slot is left empty.
 */
static void make_wait(struct hvpm_vp *vp, unsigned int timer, unsigned int sint)
{
	vp->slots[sint].flags = 0;
	vp->slots[sint].type = TYPE;
	expire(vp, timer, sint);
	TEST_ASSERT(vp->slots[sint].type == TYPE &&
		    vp->slots[sint].flags == HV_MESSAGE_FLAG_PENDING,
		    "timer %u does not wait", timer);
	empty_slot(vp, sint);
}

/*
 * A SINT without EOI, so that a waiting timer has only the EOM to go by; with
 * one, KVM itself sets MessagePending again as soon as the handler has run.
 */
static void set_sint(struct hvpm_vp *vp, unsigned int sint, uint64_t bits)
{
	vp->guest->no_eoi = true;
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + sint,
		      bits | HVPM_VECTOR(vp->index, sint));
}

static void set_auto_eoi(struct hvpm_vp *vp, unsigned int sint)
{
	set_sint(vp, sint, HV_SYNIC_SINT_AUTO_EOI);
}

/* --- one message of each --- */

TEST_F(slot, timer_in_the_same_slot)
{
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);

	/* A one-shot timer whose time has come; its message must wait. */
	expire(self->vp, 0, SINT);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	POST_AND_POKE(1);

	/* The timer's comes next, and it says that there is more. */
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_TIMER(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_QUEUED(1);
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_INTERRUPTS(self->vp, 3);
	EXPECT_TAKE(self->vp, SINT, 1);
}

/* A timer does not disturb another SINT's messages. */
TEST_F(slot, timer_in_another_slot)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT + 1,
		      HVPM_VECTOR(0, SINT + 1));
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	expire(self->vp, 0, SINT + 1);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_EQ(1, self->vp->guest->interrupts[SINT + 1]);
	EXPECT_TIMER(self->vp, SINT + 1, 0, false);
	EXPECT_TAKE_TIMER(self->vp, SINT + 1, 0);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

/* A message that queues behind a timer's is announced there, and only that. */
TEST_F(slot, timer_message_is_flagged)
{
	struct hv_postmsg_message timer;

	expire(self->vp, 0, SINT);
	EXPECT_TIMER(self->vp, SINT, 0, false);
	timer = *(struct hv_postmsg_message *)&self->vp->slots[SINT];
	POST_AND_POKE(0);
	EXPECT_INTERRUPTS(self->vp, 1);
	timer.flags = HV_MESSAGE_FLAG_PENDING;
	EXPECT_EQ(0, memcmp(&timer, (void *)&self->vp->slots[SINT],
			    sizeof(timer)));
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_INTERRUPTS(self->vp, 2);
}

/* However much is queued, the timer's turn is at the next EOM. */
TEST_F(slot, timer_goes_before_the_queue)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		POST(i);
	hvpm_vp_poke(self->vp);
	expire(self->vp, 3, SINT);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TIMER(self->vp, SINT, 3, true);
	EXPECT_TAKE_TIMER(self->vp, SINT, 3);
	for (i = 1; i < 8; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 9);
}

/* --- MessagePending in a fresh header --- */

TEST_F(slot, fresh_header_nothing_waits)
{
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

TEST_F(slot, fresh_header_message_queued)
{
	/* An EOI would be a reason to look again, and to set it then. */
	set_auto_eoi(self->vp, SINT);
	POST(0);
	POST(1);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_SLOT(self->vp, SINT, 1, false);
}

TEST_F(slot, fresh_header_message_queued_elsewhere)
{
	unsigned int i;

	/* For another SINT, and for the same of another VP. */
	hvpm_vp_enable_synic(self->other, SINT);
	hvpm_create_port(self->partition, PORT + 1, 0, SINT + 1, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	hvpm_create_port(self->partition, PORT + 2, 1, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 2, self->partition, PORT + 2);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, i));
		ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 2, i));
	}
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_SLOT(self->vp, SINT + 1, 0, true);
}

TEST_F(slot, fresh_header_timer_waits)
{
	unsigned int timer;

	set_auto_eoi(self->vp, SINT);
	for (timer = 0; timer < TIMERS; timer++) {
		make_wait(self->vp, timer, SINT);
		POST_AND_POKE(timer);
		EXPECT_QUEUED(0);
		EXPECT_SLOT(self->vp, SINT, timer, true);
		/* A guest that goes by MessagePending alone gets it. */
		EXPECT_TAKE(self->vp, SINT, timer);
		EXPECT_TIMER(self->vp, SINT, timer, false);
		EXPECT_TAKE_TIMER(self->vp, SINT, timer);
	}
	EXPECT_INTERRUPTS(self->vp, 2 * TIMERS);
}

/* The same, where the message comes from the VP itself. */
TEST_F(slot, fresh_header_timer_of_the_poster)
{
	connect_to_self(self);
	set_auto_eoi(self->vp, SINT);
	make_wait(self->vp, 0, SINT);
	ASSERT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_post(self->vp, CONNECTION, TYPE, SIZE, 0, 0));
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TIMER(self->vp, SINT, 0, false);
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
}

TEST_F(slot, fresh_header_timer_of_another_sint)
{
	set_auto_eoi(self->vp, SINT);
	set_auto_eoi(self->vp, SINT + 1);
	make_wait(self->vp, 0, SINT + 1);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

TEST_F(slot, fresh_header_timer_of_another_vp)
{
	hvpm_vp_enable_synic(self->other, SINT);
	set_auto_eoi(self->other, SINT);
	set_auto_eoi(self->vp, SINT);
	make_wait(self->other, 0, SINT);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

/*
 * A direct timer needs no slot.  One waits while the local APIC takes no
 * interrupts; the SINT in its configuration means nothing.
 */
TEST_F(slot, fresh_header_direct_timer)
{
	uint64_t spiv = hvpm_vp_rdmsr(self->vp, APIC_BASE_MSR + (APIC_SPIV >> 4));

	set_auto_eoi(self->vp, SINT);
	hvpm_vp_wrmsr(self->vp, APIC_BASE_MSR + (APIC_SPIV >> 4),
		      spiv & ~APIC_SPIV_APIC_ENABLED);
	arm(self->vp, 0, STIMER_DIRECT | STIMER_SINT(SINT) |
	    STIMER_VECTOR(HVPM_VECTOR(0, SINT + 1)), 1);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	/* It did wait: KVM has not taken the one shot for done. */
	EXPECT_NE(0, hvpm_vp_rdmsr(self->vp, STIMER_CONFIG(0)) & STIMER_ENABLE);
	EXPECT_EQ(0, self->vp->guest->interrupts[SINT + 1]);
}

TEST_F(slot, fresh_header_disabled_timer)
{
	set_auto_eoi(self->vp, SINT);
	make_wait(self->vp, 0, SINT);
	hvpm_vp_wrmsr(self->vp, STIMER_CONFIG(0), STIMER_SINT(SINT));
	/* And the other way to disable one. */
	make_wait(self->vp, 1, SINT);
	hvpm_vp_wrmsr(self->vp, STIMER_COUNT(1), 0);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

TEST_F(slot, fresh_header_timer_not_expired)
{
	uint64_t now = hvpm_vp_rdmsr(self->vp, HV_X64_MSR_TIME_REF_COUNT);

	set_auto_eoi(self->vp, SINT);
	arm(self->vp, 0, STIMER_SINT(SINT), now + 3600 * SECOND);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

/* Its message has come; that it will have another is no reason. */
TEST_F(slot, fresh_header_timer_done)
{
	set_auto_eoi(self->vp, SINT);
	expire(self->vp, 0, SINT);
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

static void wait_until(struct hvpm_vp *vp, uint64_t time)
{
	while (hvpm_vp_rdmsr(vp, HV_X64_MSR_TIME_REF_COUNT) < time)
		usleep(1000);
}

/* A tick that finds the slot full is given up, not kept. */
TEST_F(slot, fresh_header_periodic_timer)
{
	const uint64_t period = SECOND / 10;
	unsigned int i;
	uint64_t now;

	set_auto_eoi(self->vp, SINT);
	POST_AND_POKE(0);
	arm(self->vp, 0, STIMER_PERIODIC | STIMER_SINT(SINT), period);
	for (i = 1; ; i++) {
		now = hvpm_vp_rdmsr(self->vp, HV_X64_MSR_TIME_REF_COUNT);
		wait_until(self->vp, now + 2 * period);
		EXPECT_SLOT(self->vp, SINT, i - 1, false);
		empty_slot(self->vp, SINT);
		POST_AND_POKE(i);
		if (self->vp->slots[SINT].type != TIMER_EXPIRED)
			break;
		/* The next tick was faster.  Once more. */
		EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	}
	EXPECT_SLOT(self->vp, SINT, i, false);
}

/* --- a timer that erases MessagePending --- */

/*
 * Arm a one-shot timer that has not expired when the VP leaves the guest.
 * Until it is entered again KVM writes nothing.
 */
static void arm_ahead(struct hvpm_vp *vp, unsigned int timer, unsigned int sint)
{
	uint64_t delay, time;

	for (delay = SECOND / 10; ; delay *= 2) {
		time = hvpm_vp_rdmsr(vp, HV_X64_MSR_TIME_REF_COUNT) + delay;
		arm(vp, timer, STIMER_SINT(sint), time);
		if (vcpu_get_msr(vp->vcpu, HV_X64_MSR_TIME_REF_COUNT) < time)
			break;
		disarm(vp, timer);
	}
}

static uint64_t guest_wait_slot(struct hvpm_guest *guest, uint64_t sint)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[sint];

	while (!slot->type)
		;
	return slot->type;
}

/*
 * The guest zeroes the type; before it looks at the flags a timer fires, and
 * KVM puts a header without MessagePending where it was set.  The guest would
 * never write EOM for what is queued.
 */
static void erase_pending(struct _test_data_slot *self,
			  struct __test_metadata *_metadata)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	arm_ahead(self->vp, 0, SINT);
	empty_slot(self->vp, SINT);
	EXPECT_EQ(TIMER_EXPIRED, hvpm_vp_call(self->vp, guest_wait_slot, SINT));
	EXPECT_TIMER(self->vp, SINT, 0, true);
	EXPECT_QUEUED(2);
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
}

TEST_F(slot, timer_erases_pending_of_an_auto_eoi_sint)
{
	set_auto_eoi(self->vp, SINT);
	erase_pending(self, _metadata);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_SLOT(self->vp, SINT, 2, false);
	EXPECT_TAKE(self->vp, SINT, 2);
	EXPECT_INTERRUPTS(self->vp, 4);
}

TEST_F(slot, timer_erases_pending_of_a_sint_without_eoi)
{
	set_sint(self->vp, SINT, 0);
	erase_pending(self, _metadata);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_SLOT(self->vp, SINT, 2, false);
	EXPECT_TAKE(self->vp, SINT, 2);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/*
 * KVM takes an interrupt that cannot be raised for a failure, and writes the
 * timer's message again after each EOM.  The queue has its turn all the same.
 */
static void expect_turns(struct _test_data_slot *self,
			 struct __test_metadata *_metadata)
{
	unsigned int i;

	erase_pending(self, _metadata);
	for (i = 1; i <= 2; i++) {
		EXPECT_SLOT(self->vp, SINT, i, true);
		EXPECT_TAKE(self->vp, SINT, i);
		EXPECT_TIMER(self->vp, SINT, 0, i < 2);
		if (i < 2)
			EXPECT_TAKE_TIMER(self->vp, SINT, 0);
		hvpm_vp_poke(self->vp);
	}
	EXPECT_QUEUED(0);
	EXPECT_INTERRUPTS(self->vp, 0);
}

TEST_F(slot, timer_erases_pending_of_a_masked_sint)
{
	set_sint(self->vp, SINT, HV_SYNIC_SINT_MASKED);
	expect_turns(self, _metadata);
}

TEST_F(slot, timer_erases_pending_without_an_apic)
{
	uint32_t msr = APIC_BASE_MSR + (APIC_SPIV >> 4);
	uint64_t spiv = hvpm_vp_rdmsr(self->vp, msr);

	hvpm_vp_wrmsr(self->vp, msr, spiv & ~APIC_SPIV_APIC_ENABLED);
	expect_turns(self, _metadata);
}

/* Unmasked, such a timer's message comes once more, and that is the last. */
TEST_F(slot, timer_of_a_sint_that_is_unmasked)
{
	set_sint(self->vp, SINT, HV_SYNIC_SINT_MASKED);
	erase_pending(self, _metadata);
	set_auto_eoi(self->vp, SINT);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_TIMER(self->vp, SINT, 0, true);
	EXPECT_TAKE_TIMER(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 2);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_EQ(0, hvpm_vp_rdmsr(self->vp, STIMER_CONFIG(0)) & STIMER_ENABLE);
}

/* --- a minute --- */

/* Two timers share a slot with the port, two have one each. */
static const struct {
	unsigned int sint;
	/* 0: one-shot */
	uint64_t period;
} plan[TIMERS] = {
	{ SINT, SECOND / 100 },
	{ SINT, 0 },
	{ SINT + 1, SECOND / 90 },
	{ SINT + 2, SECOND / 70 },
};

#define SINTS		3
/* Long enough that most ticks have the slot to themselves in a pause. */
#define ONE_SHOT_DELAY	(SECOND / 27)

/* What has not come while other timers had so many messages, never will. */
#define PATIENCE	3000

/**
 * struct timer - what the guest knows about a timer
 *
 * @messages: messages it had
 * @armed: one-shot: when it is to expire, 0 if it is not armed
 * @first: periodic: the tick that follows the last message, 0 before that
 * @due: periodic: the first tick behind @first that no full slot accounts for
 * @late: ticks that KVM skipped, being late with the message before them
 * @occupied: ticks that found their slot full
 * @lost: ticks missing for no reason
 * @wrong: messages that should not have come, or not like this
 */
struct timer {
	uint64_t messages;
	uint64_t armed;
	uint64_t first;
	uint64_t due;
	uint64_t late;
	uint64_t occupied;
	uint64_t lost;
	uint64_t wrong;
};

/**
 * struct minute - what guest and host share of it, in struct hvpm_guest.data
 *
 * @ending: the guest's time is over: no more posts
 * @posted: posts there have been in all, plus 1 so that 0 means not over yet
 * @wrong: messages that are neither a post nor a timer's
 * @silent: gave up waiting for what is missing at the end
 * @duration: of it all
 * @tally: the posts received
 * @timers: the timers
 */
struct minute {
	volatile uint64_t ending;
	volatile uint64_t posted;
	uint64_t wrong;
	uint64_t silent;
	uint64_t duration;
	struct hvpm_tally tally;
	struct timer timers[TIMERS];
};

_Static_assert(sizeof(struct minute) <= sizeof(((struct hvpm_guest *)0)->data),
	       "no room for struct minute");

static uint64_t now(void)
{
	return rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

static void arm_one_shot(struct timer *timer, unsigned int index)
{
	timer->armed = now() + ONE_SHOT_DELAY;
	wrmsr(STIMER_COUNT(index), timer->armed);
}

/* The first tick behind @time, of those that @tick is one of. */
static uint64_t tick_behind(uint64_t tick, uint64_t time, uint64_t period)
{
	return time < tick ? tick : tick + ((time - tick) / period + 1) * period;
}

/*
 * A slot was full, and is empty since @to at the latest.  A tick that was due
 * by then may have found it so, whenever KVM looked, and with it all those
 * before @to: KVM goes on with the first tick behind the time when it looks.
 *
 * Nothing tells how late KVM looked at a tick that had no message.  So a tick
 * is only known to be lost if the slot was empty from then until the next one;
 * that is what the pauses of the port are for.
 */
static void slot_was_full(struct minute *minute, unsigned int sint,
			  uint64_t to)
{
	unsigned int i;

	for (i = 0; i < TIMERS; i++) {
		struct timer *timer = &minute->timers[i];

		if (plan[i].sint == sint && timer->first && timer->due <= to)
			timer->due = tick_behind(timer->due, to, plan[i].period);
	}
}

/* A message of a periodic timer: which ticks are missing before it, and why? */
static void count_tick(struct timer *timer, uint64_t period,
		       const struct timer_payload *tick)
{
	uint64_t missing = 0, lost = 0;

	if (timer->first) {
		if (tick->expiration < timer->first ||
		    (tick->expiration - timer->first) % period) {
			timer->wrong++;
			return;
		}
		missing = (tick->expiration - timer->first) / period;
		if (tick->expiration > timer->due)
			lost = (tick->expiration - timer->due) / period;
	}
	timer->lost += lost;
	timer->occupied += missing - lost;
	timer->first = tick_behind(tick->expiration, tick->delivery, period);
	timer->late += (timer->first - tick->expiration) / period - 1;
	timer->due = timer->first;
}

static void count_timer(struct minute *minute, unsigned int sint,
			const struct hv_postmsg_message *message, uint64_t empty)
{
	const struct timer_payload *payload = (void *)message->payload;
	struct timer *timer;

	if (message->payload_size != sizeof(*payload) || message->reserved ||
	    message->port_id || payload->timer >= TIMERS ||
	    payload->reserved || plan[payload->timer].sint != sint) {
		minute->wrong++;
		return;
	}
	timer = &minute->timers[payload->timer];
	timer->messages++;
	if (payload->delivery < payload->expiration || payload->delivery < empty)
		timer->wrong++;
	if (plan[payload->timer].period) {
		count_tick(timer, plan[payload->timer].period, payload);
		return;
	}
	if (payload->expiration != timer->armed)
		timer->wrong++;
	timer->armed = 0;
	if (!minute->ending)
		arm_one_shot(timer, payload->timer);
}

static void count_post(struct minute *minute, unsigned int sint,
		       const struct hv_postmsg_message *message)
{
	struct hvpm_payload head;

	if (!hvpm_payload_check(message->payload, message->type,
				message->payload_size, &head)) {
		minute->tally.corrupt++;
		return;
	}
	if (sint != SINT || message->port_id != PORT || message->reserved ||
	    message->type != hvpm_vary_type(head.sequence) ||
	    message->payload_size != hvpm_vary_size(head.sequence))
		minute->wrong++;
	hvpm_tally_count(&minute->tally, head.sequence);
}

/* Take what is in a slot.  @empty is the last time known when nothing was. */
static bool receive(struct hvpm_guest *guest, struct minute *minute,
		    unsigned int sint, uint64_t *empty)
{
	struct hv_postmsg_message *message = &guest->message;
	uint64_t before = now(), after;

	if (!hvpm_guest_take(guest, sint, message)) {
		*empty = before;
		return false;
	}
	after = now();
	if (message->flags & ~HV_MESSAGE_FLAG_PENDING)
		minute->wrong++;
	if (message->type == TIMER_EXPIRED)
		count_timer(minute, sint, message, *empty);
	else
		count_post(minute, sint, message);
	slot_was_full(minute, sint, after);
	*empty = before;
	return true;
}

static void sleep_until_interrupt(struct hvpm_guest *guest)
{
	asm volatile("cli" : : : "memory");
	/* STI takes effect after HLT: no interrupt is missed. */
	if (!guest->slots[SINT].type && !guest->slots[SINT + 1].type &&
	    !guest->slots[SINT + 2].type)
		asm volatile("sti; hlt" : : : "memory");
	asm volatile("sti; nop" : : : "memory");
}

/* All that was posted or armed until @end has come, or is accounted for. */
static bool complete(struct minute *minute, uint64_t end)
{
	unsigned int i;

	if (!minute->posted || minute->tally.received + 1 < minute->posted)
		return false;
	for (i = 0; i < TIMERS; i++)
		if (plan[i].period ? minute->timers[i].first <= end :
				     minute->timers[i].armed)
			return false;
	return true;
}

static void start_timers(struct minute *minute)
{
	unsigned int i;

	for (i = 0; i < TIMERS; i++) {
		wrmsr(STIMER_CONFIG(i), STIMER_AUTO_ENABLE |
		      STIMER_SINT(plan[i].sint) |
		      (plan[i].period ? STIMER_PERIODIC : 0));
		if (plan[i].period)
			wrmsr(STIMER_COUNT(i), plan[i].period);
		else
			arm_one_shot(&minute->timers[i], i);
	}
}

static uint64_t guest_minute(struct hvpm_guest *guest, uint64_t seconds)
{
	struct minute *minute = (void *)guest->data;
	uint64_t start = now(), end = start + seconds * SECOND;
	uint64_t empty[SINTS] = { start, start, start };
	int patience = PATIENCE;
	unsigned int i;
	bool idle;

	start_timers(minute);
	while (!complete(minute, end)) {
		idle = true;
		for (i = 0; i < SINTS; i++) {
			if (!receive(guest, minute, SINT + i, &empty[i]))
				continue;
			idle = false;
			if (i && minute->posted)
				patience--;
		}
		if (empty[0] > end)
			minute->ending = true;
		minute->silent = patience <= 0;
		if (minute->silent)
			break;
		if (idle)
			sleep_until_interrupt(guest);
	}
	minute->duration = now() - start;
	for (i = 0; i < TIMERS; i++)
		wrmsr(STIMER_CONFIG(i), 0);
	for (i = 0; i < SINTS; i++)
		while (hvpm_guest_take(guest, SINT + i, &guest->message))
			if (guest->message.type != TIMER_EXPIRED)
				minute->wrong++;
	return 0;
}

/*
 * Bursts, also such as find no buffer free, with short pauses and now and then
 * a long one, in which ticks find room.  The posts do not wait, so that a queue
 * that stands still does not hang this.
 */
static uint64_t post_bursts(struct _test_data_slot *self, struct minute *minute)
{
	uint64_t sequence = 0, random = 1;
	uint32_t status;
	unsigned int i;

	while (!minute->ending) {
		random = hvpm_mix(random, sequence);
		for (i = random >> 32 & 0x1f; i && !minute->ending; i--) {
			status = hvpm_post(self->host, CONNECTION,
					   hvpm_vary_type(sequence),
					   hvpm_vary_size(sequence),
					   HV_POSTMSG_POST_NONBLOCK, 0, sequence);
			if (status == HV_STATUS_INSUFFICIENT_BUFFERS) {
				usleep(500);
				continue;
			}
			TEST_ASSERT(status == HV_STATUS_SUCCESS,
				    "post %lu: status 0x%x", sequence, status);
			sequence++;
		}
		usleep(random & 0x1f ? random >> 8 & 0x3fff : 300000);
	}
	return sequence;
}

static struct minute *start_minute(struct hvpm_vp *vp, unsigned int seconds)
{
	unsigned int i;

	for (i = 1; i < SINTS; i++)
		hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + SINT + i,
			      HVPM_VECTOR(0, SINT + i));
	memset((void *)vp->guest->data, 0, sizeof(vp->guest->data));
	vp->guest->argument[0] = (uint64_t)guest_minute;
	vp->guest->argument[1] = seconds;
	hvpm_vp_command_start(vp, HVPM_CALL);
	return (struct minute *)vp->guest->data;
}

static void end_minute(struct hvpm_vp *vp, uint64_t posted,
		       struct __test_metadata *_metadata)
{
	struct minute *minute = (struct minute *)vp->guest->data;
	unsigned int i;

	minute->posted = posted + 1;
	hvpm_vp_command_join(vp);

	TH_LOG("%lu ms, %lu posts", minute->duration / 10000, posted);
	EXPECT_EQ(posted, minute->tally.received);
	EXPECT_EQ(0, minute->tally.lost);
	EXPECT_EQ(0, minute->tally.duplicated);
	EXPECT_EQ(0, minute->tally.reordered);
	EXPECT_EQ(0, minute->tally.corrupt);
	EXPECT_EQ(0, minute->wrong);
	EXPECT_EQ(0, minute->silent)
		TH_LOG("something is missing for good");
	for (i = 0; i < TIMERS; i++) {
		struct timer *timer = &minute->timers[i];

		TH_LOG("timer %u: %lu messages, ticks: %lu late, %lu on a full slot, %lu lost",
		       i, timer->messages, timer->late, timer->occupied,
		       timer->lost);
		EXPECT_NE(0, timer->messages);
		EXPECT_EQ(0, timer->lost);
		EXPECT_EQ(0, timer->wrong);
		EXPECT_EQ(0, timer->armed)
			TH_LOG("one-shot %u is still to come", i);
	}
}

TEST_F_TIMEOUT(slot, timers_and_port_share_a_slot, 300)
{
	struct minute *minute = start_minute(self->vp, fewer(60));

	end_minute(self->vp, post_bursts(self, minute), _metadata);
	EXPECT_QUEUED(0);
}

/* The same with nothing to go by but MessagePending. */
TEST_F_TIMEOUT(slot, timers_and_port_share_a_slot_without_eoi, 200)
{
	struct minute *minute;

	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_AUTO_EOI | HVPM_VECTOR(0, SINT));
	minute = start_minute(self->vp, 15);
	end_minute(self->vp, post_bursts(self, minute), _metadata);
	EXPECT_QUEUED(0);
}

/* What a timer does by itself is measured as strictly. */
TEST_F_TIMEOUT(slot, timers_of_a_vm_not_attached, 200)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);

	hvpm_vp_enable_synic(&vm->vps[0], SINT);
	start_minute(&vm->vps[0], 15);
	end_minute(&vm->vps[0], 0, _metadata);
	hvpm_vm_free(vm);
}

TEST_HARNESS_MAIN
