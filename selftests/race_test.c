// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races: somebody acts at each moment of a VP's way into the guest and back
 *
 * For a lab that counts time in instructions, has one CPU and a preemptible
 * kernel (see selftests/run).  There a sleeper of a real-time class wakes after
 * a given number of instructions and preempts whatever runs, kernel code
 * included.  The VP's thread starts after a delay that grows by one step from
 * round to round, so that the sleeper cuts it at every moment in turn, and the
 * same run cuts at the same moments.
 *
 * Elsewhere the cases hold, too, but cut where chance wants it.  On a kernel that
 * takes many times as long for the same, there are as many times fewer rounds.
 */
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "slot.h"

/* In ns of a clock that jumps when all are asleep. */
#define PATIENCE	3000000000

/**
 * struct race - a race between the case's thread and an intruder
 *
 * @self: the fixture
 * @act: what the intruder does when it wakes
 * @span: instructions from its arming to its wake-up, more than what it cuts
 *	takes
 * @rounds: rounds over which the cut moves through @span
 * @round: the round
 * @thread: the intruder
 * @armed: the intruder may set out
 * @done: it has acted
 * @cut_done: what it has cut is over
 * @over: no more rounds
 * @missed: what it has cut did not end by itself
 * @pause: instructions between two steps of @act
 * @count: what @act saw, by its own measure
 */
struct race {
	struct _test_data_slot *self;
	void (*act)(struct race *race);
	unsigned int span;
	unsigned int rounds;
	unsigned int round;
	pthread_t thread;
	sem_t armed;
	sem_t done;
	sem_t cut_done;
	bool over;
	bool missed;
	unsigned int pause;
	unsigned int count[2];
};

static struct timespec later(clockid_t clock, unsigned long ns)
{
	struct timespec time;

	clock_gettime(clock, &time);
	ns += time.tv_nsec;
	time.tv_sec += ns / 1000000000;
	time.tv_nsec = ns % 1000000000;
	return time;
}

static void sleep_for(unsigned int ns)
{
	struct timespec time = later(CLOCK_MONOTONIC, ns);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))
		;
}

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore))
		;
}

/* Instructions of a poke on a stock kernel: 20,600. */
#define POKE	21000

/* How many times that does one take on this kernel? */
static unsigned int slowness(struct hvpm_vp *vp)
{
	unsigned int i, factor, least = UINT_MAX;
	struct timespec before, after;
	uint64_t ns;

	for (i = 0; i < 5; i++) {
		before = later(CLOCK_MONOTONIC, 0);
		hvpm_vp_poke(vp);
		after = later(CLOCK_MONOTONIC, 0);
		ns = (after.tv_sec - before.tv_sec) * 1000000000 +
		     after.tv_nsec - before.tv_nsec;
		factor = ns / POKE;
		if (factor < least)
			least = factor;
	}
	return least ? least : 1;
}

static void *intruder(void *arg)
{
	struct race *race = arg;

	for (;;) {
		wait_for(&race->armed);
		if (race->over)
			return NULL;
		sleep_for(race->span);
		race->act(race);
		sem_post(&race->done);
	}
}

static void race_begin(struct race *race, struct _test_data_slot *self,
		       void (*act)(struct race *race), unsigned int span,
		       unsigned int rounds, unsigned int pause)
{
	struct sched_param param = { .sched_priority = 50 };
	unsigned int factor = slowness(self->vp);

	memset(race, 0, sizeof(*race));
	race->self = self;
	race->act = act;
	/* The same moments, looked at less closely where each takes longer. */
	race->span = span * factor;
	race->rounds = (rounds + factor - 1) / factor;
	race->pause = pause * factor;
	sem_init(&race->armed, 0, 0);
	sem_init(&race->done, 0, 0);
	sem_init(&race->cut_done, 0, 0);
	TEST_ASSERT(!pthread_create(&race->thread, NULL, intruder, race),
		    "pthread_create: %s", strerror(errno));
	TEST_ASSERT(!pthread_setschedparam(race->thread, SCHED_FIFO, &param),
		    "SCHED_FIFO: %s", strerror(errno));
}

static void race_end(struct race *race)
{
	race->over = true;
	sem_post(&race->armed);
	pthread_join(race->thread, NULL);
}

/* The intruder sets out; what comes next is cut the later the lower the round. */
static void race_start(struct race *race)
{
	/* A round of the loop is two instructions. */
	unsigned long delay = (unsigned long)race->round * race->span / 2 /
			      race->rounds + 1;

	sem_post(&race->armed);
	asm volatile("1: dec %0; jnz 1b" : "+r"(delay) : : "cc");
}

static void race_join(struct race *race)
{
	wait_for(&race->done);
}

/* The intruder has to see to it that what it has cut comes to an end. */
static void expect_end(struct race *race, void (*rescue)(struct race *race))
{
	struct timespec time = later(CLOCK_REALTIME, PATIENCE);

	if (!sem_timedwait(&race->cut_done, &time))
		return;
	race->missed = true;
	rescue(race);
	wait_for(&race->cut_done);
}

#define for_each_round(race) \
	for ((race)->round = 0; (race)->round < (race)->rounds; (race)->round++)

#define AT_ROUND(race)	TH_LOG("in round %u of %u", (race)->round, (race)->rounds)

/* From KVM_RUN to its end, if the guest does little. */
#define SPAN_OF_RUN	24000
/* From the ioctl to its end. */
#define SPAN_OF_IOCTL	12000

/* --- the slot is emptied while its VP is at it --- */

#define STEP	100

/* As a guest does that has crashed: VP 1 empties VP 0's slot. */
static uint64_t guest_empty_slot(struct hvpm_guest *guest, uint64_t slowly)
{
	volatile struct hv_postmsg_message *slot = &hvpm_guests[0]->slots[SINT];

	slot->type = 0;
	if (slowly)
		GUEST_SYNC(STEP);
	asm volatile("mfence" : : : "memory");
	if (!(slot->flags & HV_MESSAGE_FLAG_PENDING))
		return 0;
	if (slowly)
		GUEST_SYNC(STEP);
	wrmsr(HV_X64_MSR_EOM, 0);
	return 1;
}

/* With a pause behind each access, if there shall be one. */
static void act_empty_slot(struct race *race)
{
	struct hvpm_vp *other = race->self->other;
	struct ucall uc;

	other->guest->command = HVPM_CALL;
	other->guest->argument[0] = (uint64_t)guest_empty_slot;
	other->guest->argument[1] = race->pause;
	for (;;) {
		TEST_ASSERT(hvpm_vp_run(other, &uc) == UCALL_SYNC, "exit");
		if (uc.args[1] != STEP)
			break;
		sleep_for(race->pause);
	}
	race->count[other->guest->result[0]]++;
}

/*
 * Never is there in the end a queued message, an empty slot, and a guest that
 * saw no reason to write EOM.
 */
static void slot_emptied(struct _test_data_slot *self,
			 struct __test_metadata *_metadata, unsigned int pause,
			 unsigned int rounds)
{
	struct race race;
	uint64_t next = 0;

	/* With an interrupt its EOI would be a trigger. */
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT));
	race_begin(&race, self, act_empty_slot, SPAN_OF_RUN, rounds, pause);
	POST_AND_POKE(next);
	for_each_round(&race) {
		POST(++next);
		race_start(&race);
		hvpm_vp_poke(self->vp);
		race_join(&race);
		/* Whatever was asked for is served now. */
		hvpm_vp_poke(self->vp);
		ASSERT_EQ(TYPE + next, self->vp->slots[SINT].type)
			AT_ROUND(&race);
		EXPECT_SLOT(self->vp, SINT, next, false);
	}
	race_end(&race);
	EXPECT_TAKE(self->vp, SINT, next);
	EXPECT_QUEUED(0);
	/* It has come before the flag was set, and behind that. */
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
	TH_LOG("%u rounds, EOM not asked for in %u, asked for in %u", race.rounds,
	       race.count[0], race.count[1]);
}

TEST_F(slot, emptied_at_each_moment)
{
	slot_emptied(self, _metadata, 0, SPAN_OF_RUN / 2);
}

TEST_F(slot, emptied_slowly_at_each_moment)
{
	slot_emptied(self, _metadata, 400, 1500);
	slot_emptied(self, _metadata, 3000, 1500);
}

/* --- a message comes while the VP looks at its queue --- */

static void act_post(struct race *race)
{
	TEST_ASSERT(!post_to(race->self, CONNECTION, race->round * 2 + 1),
		    "refused");
}

TEST_F(slot, posted_at_each_moment)
{
	struct race race;

	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT));
	race_begin(&race, self, act_post, SPAN_OF_RUN, 3000, 0);
	for_each_round(&race) {
		POST(race.round * 2);
		race_start(&race);
		hvpm_vp_poke(self->vp);
		race_join(&race);
		hvpm_vp_poke(self->vp);
		ASSERT_EQ(TYPE + race.round * 2, self->vp->slots[SINT].type)
			AT_ROUND(&race);
		EXPECT_SLOT(self->vp, SINT, race.round * 2, true);
		EXPECT_TAKE(self->vp, SINT, race.round * 2);
		ASSERT_EQ(TYPE + race.round * 2 + 1,
			  self->vp->slots[SINT].type)
			AT_ROUND(&race);
		EXPECT_SLOT(self->vp, SINT, race.round * 2 + 1, false);
		EXPECT_TAKE(self->vp, SINT, race.round * 2 + 1);
	}
	race_end(&race);
	EXPECT_QUEUED(0);
}

/* Two posters to one port, of whom one cuts the other. */
TEST_F(slot, poster_cut_by_poster)
{
	struct race race;
	uint64_t first;

	race_begin(&race, self, act_post, SPAN_OF_IOCTL, 3000, 0);
	for_each_round(&race) {
		race_start(&race);
		POST(race.round * 2);
		race_join(&race);
		hvpm_vp_poke(self->vp);
		first = self->vp->slots[SINT].type - TYPE;
		ASSERT_EQ(race.round, first / 2) AT_ROUND(&race);
		EXPECT_TAKE(self->vp, SINT, first);
		EXPECT_TAKE(self->vp, SINT, first ^ 1);
		EXPECT_SLOT_EMPTY(self->vp, SINT);
		race.count[first % 2]++;
	}
	race_end(&race);
	EXPECT_QUEUED(0);
	/* Each came before the other. */
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
}

/* --- queues are emptied while the VP looks at them --- */

static void act_reset_vp(struct race *race)
{
	hvpm_reset_vp(race->self->partition, 0);
}

/* Of three messages the first comes or none; none comes later. */
TEST_F(slot, reset_at_each_moment)
{
	struct hv_postmsg_port_stats before, after;
	struct race race;
	unsigned int i;

	race_begin(&race, self, act_reset_vp, SPAN_OF_RUN, 3000, 0);
	for_each_round(&race) {
		hvpm_port_stats(self->partition, PORT, &before);
		for (i = 0; i < 3; i++)
			POST(i);
		race_start(&race);
		hvpm_vp_poke(self->vp);
		race_join(&race);
		hvpm_vp_poke(self->vp);
		hvpm_check_port(self->partition, PORT);
		hvpm_port_stats(self->partition, PORT, &after);
		ASSERT_EQ(16, after.free) AT_ROUND(&race);
		ASSERT_GE(1, after.delivered - before.delivered)
			AT_ROUND(&race);
		ASSERT_EQ(3, after.delivered - before.delivered + after.freed -
			     before.freed) AT_ROUND(&race);
		if (after.delivered > before.delivered)
			EXPECT_TAKE(self->vp, SINT, 0);
		hvpm_vp_poke(self->vp);
		EXPECT_SLOT_EMPTY(self->vp, SINT);
		race.count[after.delivered - before.delivered]++;
	}
	race_end(&race);
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
}

static void act_delete_port(struct race *race)
{
	hvpm_delete_port(race->self->partition, PORT + 1);
}

TEST_F(slot, port_deleted_at_each_moment)
{
	struct hv_postmsg_partition_stats before, after;
	struct race race;
	unsigned int i;

	race_begin(&race, self, act_delete_port, SPAN_OF_RUN, 1000, 0);
	for_each_round(&race) {
		hvpm_partition_stats(self->partition, &before);
		hvpm_create_port(self->partition, PORT + 1, 0, SINT, 0, 0);
		hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
		for (i = 0; i < 3; i++)
			ASSERT_EQ(HV_STATUS_SUCCESS,
				  post_to(self, CONNECTION + 1, i));
		race_start(&race);
		hvpm_vp_poke(self->vp);
		race_join(&race);
		hvpm_vp_poke(self->vp);
		hvpm_partition_stats(self->partition, &after);
		ASSERT_EQ(0, after.queued) AT_ROUND(&race);
		ASSERT_GE(1, after.delivered - before.delivered)
			AT_ROUND(&race);
		if (after.delivered > before.delivered)
			EXPECT_TAKE(self->vp, SINT, 0);
		hvpm_vp_poke(self->vp);
		EXPECT_SLOT_EMPTY(self->vp, SINT);
		hvpm_disconnect(self->host, CONNECTION + 1);
	}
	race_end(&race);
}

/* --- somebody is on the way to sleep --- */

static uint64_t guest_sleep(struct hvpm_guest *guest, uint64_t seen)
{
	hvpm_guest_halt(guest, SINT, seen);
	return 0;
}

static void rescue_by_post(struct race *race)
{
	post_to(race->self, CONNECTION, 0);
}

static void act_wake_by_post(struct race *race)
{
	act_post(race);
	expect_end(race, rescue_by_post);
}

/* Have the VP sleep until its next interrupt, all the way without polling. */
static void sleep_in_guest(struct _test_data_slot *self, struct race *race)
{
	uint32_t seen = self->vp->guest->interrupts[SINT];

	race_start(race);
	hvpm_vp_call(self->vp, guest_sleep, seen);
	sem_post(&race->cut_done);
	race_join(race);
}

TEST_F(slot, halting_target_wakes_at_each_moment)
{
	struct race race;

	vm_enable_cap(self->vm->vm, KVM_CAP_HALT_POLL, 0);
	race_begin(&race, self, act_wake_by_post, SPAN_OF_RUN, 3000, 0);
	for_each_round(&race) {
		sleep_in_guest(self, &race);
		ASSERT_FALSE(race.missed) AT_ROUND(&race);
		EXPECT_TAKE(self->vp, SINT, race.round * 2 + 1);
	}
	race_end(&race);
}

/* The other way round: the poster is cut by its target, which goes to sleep. */
static void act_sleep(struct race *race)
{
	struct hvpm_vp *vp = race->self->vp;

	hvpm_vp_call(vp, guest_sleep, vp->guest->interrupts[SINT]);
}

TEST_F(slot, poster_cut_by_halting_target)
{
	struct timespec patience;
	struct race race;

	vm_enable_cap(self->vm->vm, KVM_CAP_HALT_POLL, 0);
	race_begin(&race, self, act_sleep, SPAN_OF_IOCTL, 3000, 0);
	for_each_round(&race) {
		race_start(&race);
		POST(race.round);
		patience = later(CLOCK_REALTIME, PATIENCE);
		ASSERT_EQ(0, sem_timedwait(&race.done, &patience))
			AT_ROUND(&race);
		EXPECT_TAKE(self->vp, SINT, race.round);
	}
	race_end(&race);
}

static void act_wake_by_eom(struct race *race)
{
	hvpm_vp_wrmsr(race->self->other, HV_X64_MSR_EOM, 0);
	expect_end(race, rescue_by_post);
}

TEST_F(slot, eom_from_another_vp_wakes_at_each_moment)
{
	struct race race;

	vm_enable_cap(self->vm->vm, KVM_CAP_HALT_POLL, 0);
	race_begin(&race, self, act_wake_by_eom, SPAN_OF_RUN, 3000, 0);
	for_each_round(&race) {
		POST_AND_POKE(0);
		POST_AND_POKE(1);
		empty_slot(self->vp, SINT);
		sleep_in_guest(self, &race);
		ASSERT_FALSE(race.missed) AT_ROUND(&race);
		EXPECT_TAKE(self->vp, SINT, 1);
	}
	race_end(&race);
}

static void rescue_by_reset(struct race *race)
{
	hvpm_reset_vp(race->self->partition, 0);
}

static void act_make_room(struct race *race)
{
	struct hv_postmsg_message message;

	hvpm_vp_take(race->self->vp, SINT, &message);
	hvpm_vp_poke(race->self->vp);
	expect_end(race, rescue_by_reset);
}

/* A process that waits for a buffer gets the one that comes free meanwhile. */
TEST_F(slot, waiting_poster_wakes_at_each_moment)
{
	struct race race;
	uint32_t status;
	unsigned int i;

	race_begin(&race, self, act_make_room, SPAN_OF_IOCTL, 3000, 0);
	for (i = 0; i < 17; i++)
		POST_AND_POKE(i);
	for_each_round(&race) {
		race_start(&race);
		status = hvpm_post(self->host, CONNECTION, TYPE, SIZE, 0, 0,
				   race.round);
		sem_post(&race.cut_done);
		race_join(&race);
		ASSERT_EQ(HV_STATUS_SUCCESS, status);
		ASSERT_FALSE(race.missed) AT_ROUND(&race);
	}
	race_end(&race);
	EXPECT_QUEUED(16);
}

static void post_to_endpoint(struct race *race)
{
	TEST_ASSERT(!post_to(race->self, CONNECTION + 1, race->round),
		    "refused");
}

static void act_post_to_endpoint(struct race *race)
{
	post_to_endpoint(race);
	expect_end(race, post_to_endpoint);
}

TEST_F(slot, reader_of_endpoint_wakes_at_each_moment)
{
	struct hv_postmsg_message message;
	int owner, endpoint;
	struct race race;
	ssize_t ret;

	owner = hvpm_create_host_partition();
	endpoint = hvpm_create_endpoint(owner, 0);
	hvpm_create_endpoint_port(owner, PORT, endpoint, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, owner, PORT);
	race_begin(&race, self, act_post_to_endpoint, SPAN_OF_IOCTL, 3000, 0);
	for_each_round(&race) {
		race_start(&race);
		ret = read(endpoint, &message, sizeof(message));
		sem_post(&race.cut_done);
		race_join(&race);
		ASSERT_EQ(sizeof(message), ret);
		ASSERT_FALSE(race.missed) AT_ROUND(&race);
		ASSERT_EQ(TYPE + race.round, message.type);
	}
	race_end(&race);
	hvpm_check_port(owner, PORT);
	close(endpoint);
	close(owner);
}

/* --- an endpoint closes while somebody posts to it --- */

static int closing;

static void act_close_endpoint(struct race *race)
{
	close(closing);
}

/* A post that was accepted all the same is freed, too. */
TEST_F(slot, endpoint_closed_at_each_moment)
{
	const int owner = hvpm_create_host_partition();
	struct hv_postmsg_port_stats stats;
	struct race race;
	uint32_t status;

	race_begin(&race, self, act_close_endpoint, SPAN_OF_IOCTL, 1500, 0);
	for_each_round(&race) {
		closing = hvpm_create_endpoint(owner, 0);
		hvpm_create_endpoint_port(owner, PORT, closing, 0, 0);
		hvpm_join(self->host, CONNECTION + 1, owner, PORT);
		race_start(&race);
		status = post_to(self, CONNECTION + 1, race.round);
		race_join(&race);
		if (status)
			ASSERT_EQ(HV_STATUS_INVALID_PORT_ID, status) AT_ROUND(&race);
		race.count[!status]++;
		WAIT_FOR((hvpm_port_stats(owner, PORT, &stats), !stats.queued),
			 "the message is freed");
		ASSERT_EQ(!status, stats.posted) AT_ROUND(&race);
		ASSERT_EQ(!status, stats.freed) AT_ROUND(&race);
		hvpm_disconnect(self->host, CONNECTION + 1);
		hvpm_delete_port(owner, PORT);
	}
	race_end(&race);
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
	close(owner);
}

/* --- the partition ends while its VP posts --- */

static void act_close_partition(struct race *race)
{
	close(race->self->partition);
}

/*
 * The call is answered, by the module or, as it always was, by the VMM; never by a
 * module that has lost its connections just now.
 */
TEST_F(slot, detached_at_each_moment)
{
	struct hvpm_vp *vp = self->vp;
	uint64_t command, next = 0;
	struct race race;

	hvpm_disconnect(self->host, CONNECTION);
	race_begin(&race, self, act_close_partition, SPAN_OF_RUN, 400, 0);
	for_each_round(&race) {
		hvpm_join(self->partition, CONNECTION, self->partition, PORT);
		hvpm_vp_fill(vp, 0, CONNECTION, TYPE + next, SIZE);
		vp->guest->command = HVPM_HYPERCALL;
		vp->guest->argument[0] = HVPM_POST;
		vp->guest->argument[1] = vp->guest->input_gpa;
		race_start(&race);
		command = hvpm_vp_run(vp, NULL);
		if (command == UCALL_NONE) {
			ASSERT_EQ(KVM_EXIT_HYPERV, vp->vcpu->run->exit_reason);
			vp->vcpu->run->hyperv.u.hcall.result = 0;
			command = hvpm_vp_run(vp, NULL);
			race.count[1]++;
		} else {
			race.count[0]++;
		}
		race_join(&race);
		ASSERT_EQ(UCALL_SYNC, command) AT_ROUND(&race);
		ASSERT_EQ(HV_STATUS_SUCCESS, vp->guest->result[0])
			AT_ROUND(&race);
		empty_slot(vp, SINT);
		self->partition = hvpm_vm_attach(self->vm, 0);
		hvpm_create_port(self->partition, PORT, 0, SINT, 0, 0);
	}
	race_end(&race);
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
}

/* A post of the VP to itself is under way when it runs next. */
static void prepare_post(struct hvpm_vp *vp)
{
	hvpm_vp_fill(vp, 0, CONNECTION, TYPE, SIZE);
	vp->guest->command = HVPM_HYPERCALL;
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = vp->guest->input_gpa;
}

/* Has the module's answer come, rather than the VMM's? */
static bool run_post(struct hvpm_vp *vp)
{
	if (hvpm_vp_run(vp, NULL) == UCALL_SYNC)
		return true;
	TEST_ASSERT(vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV, "exit %u",
		    vp->vcpu->run->exit_reason);
	vp->vcpu->run->hyperv.u.hcall.result = HV_STATUS_INVALID_CONNECTION_ID;
	TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_SYNC, "exit");
	return false;
}

/* --- the VMM changes what KVM says of a post in kvm_run --- */

#define CHANGES	3000

/* A block that begins here is not within its page. */
#define ACROSS	(4096 - 128)

static void act_change_address(struct race *race)
{
	struct hvpm_vp *vp = race->self->vp;

	vp->vcpu->run->hyperv.u.hcall.params[0] = vp->guest->input_gpa + ACROSS;
}

static void act_change_call(struct race *race)
{
	race->self->vp->vcpu->run->hyperv.u.hcall.input = HVPM_POST + 1;
}

/*
 * What is checked is what is used: the block is the guest's own, or the call is one
 * with that bad address, or none of the module's.
 */
static void kvm_run_changed(struct _test_data_slot *self,
			    struct __test_metadata *_metadata,
			    void (*act)(struct race *race), uint16_t refused)
{
	struct race race;
	uint16_t status;

	hvpm_disconnect(self->host, CONNECTION);
	hvpm_join(self->partition, CONNECTION, self->partition, PORT);
	race_begin(&race, self, act, SPAN_OF_RUN, CHANGES, 0);
	for_each_round(&race) {
		prepare_post(self->vp);
		hvpm_vp_fill(self->vp, ACROSS, CONNECTION, TYPE + 1, SIZE);
		race_start(&race);
		run_post(self->vp);
		race_join(&race);
		status = self->vp->guest->result[0];
		if (status)
			ASSERT_EQ(refused, status) AT_ROUND(&race);
		ASSERT_EQ(status ? 0 : TYPE, self->vp->slots[SINT].type)
			AT_ROUND(&race);
		empty_slot(self->vp, SINT);
		race.count[!status]++;
	}
	race_end(&race);
	EXPECT_QUEUED(0);
	EXPECT_LT(0, race.count[1]);
	/* A moment so short may fall between two of fewer rounds. */
	if (race.rounds == CHANGES)
		EXPECT_LT(0, race.count[0]);
	TH_LOG("%u rounds, changed in %u", race.rounds, race.count[0]);
}

TEST_F(slot, address_changed_at_each_moment)
{
	kvm_run_changed(self, _metadata, act_change_address,
			HV_STATUS_INVALID_ALIGNMENT);
}

TEST_F(slot, call_changed_at_each_moment)
{
	/* The VMM's own: see run_post(). */
	kvm_run_changed(self, _metadata, act_change_call,
			HV_STATUS_INVALID_CONNECTION_ID);
}

/* --- the module is to be unloaded while its VP posts --- */

#define MODULE	"hv_postmsg"

static void act_try_to_unload(struct race *race)
{
	if (syscall(SYS_delete_module, MODULE, O_NONBLOCK) && errno == EAGAIN)
		race->count[0]++;
}

TEST_F(slot, unloading_refused_at_each_moment)
{
	struct race race;

	hvpm_disconnect(self->host, CONNECTION);
	hvpm_join(self->partition, CONNECTION, self->partition, PORT);
	race_begin(&race, self, act_try_to_unload, SPAN_OF_RUN, 3000, 0);
	for_each_round(&race) {
		prepare_post(self->vp);
		race_start(&race);
		ASSERT_TRUE(run_post(self->vp)) AT_ROUND(&race);
		race_join(&race);
		ASSERT_EQ(HV_STATUS_SUCCESS, self->vp->guest->result[0])
			AT_ROUND(&race);
		hvpm_vp_poke(self->vp);
		ASSERT_EQ(TYPE, self->vp->slots[SINT].type) AT_ROUND(&race);
		empty_slot(self->vp, SINT);
	}
	race_end(&race);
	EXPECT_EQ(race.rounds, race.count[0]);
	EXPECT_QUEUED(0);
}

static volatile bool unloaded;

/* Nothing else keeps the module than the partition. */
static void act_close_and_unload(struct race *race)
{
	close(race->self->partition);
	while (syscall(SYS_delete_module, MODULE, O_NONBLOCK)) {
		TEST_ASSERT(errno == EAGAIN, "unloading: %s", strerror(errno));
		sleep_for(100000);
	}
	unloaded = true;
}

/* The file that hvpm_device() knows is made one of the module that is there now. */
static void load_again(int device)
{
	int file = open(MODULE ".ko", O_RDONLY);

	TEST_ASSERT(file >= 0 && !syscall(SYS_finit_module, file, "", 0),
		    "loading " MODULE ".ko: %s", strerror(errno));
	close(file);
	file = open(HVPM_DEVICE, O_RDWR);
	TEST_ASSERT(file >= 0 && dup2(file, device) == device, "open(%s): %s",
		    HVPM_DEVICE, strerror(errno));
	if (file != device)
		close(file);
}

/*
 * It goes at each moment of a post, and the VP posts on while its hooks are taken
 * away, now and then: that takes seconds, of which a clock that counts instructions
 * leaves out what all are asleep.  One VP is asleep in HLT all the time.
 */
TEST_F(slot, unloaded_at_each_moment)
{
	int device = hvpm_device();
	struct race race;

	hvpm_vp_enable_synic(self->other, SINT);
	self->other->guest->argument[0] = (uint64_t)guest_sleep;
	self->other->guest->argument[1] = self->other->guest->interrupts[SINT];
	hvpm_vp_command_start(self->other, HVPM_CALL);
	close(self->host);
	race_begin(&race, self, act_close_and_unload, SPAN_OF_RUN, 40, 0);
	for_each_round(&race) {
		hvpm_join(self->partition, CONNECTION, self->partition, PORT);
		close(device);
		unloaded = false;
		prepare_post(self->vp);
		race_start(&race);
		race.count[run_post(self->vp)]++;
		while (!unloaded) {
			sleep_for(5000000 + 100000 * race.round);
			prepare_post(self->vp);
			race.count[run_post(self->vp)]++;
		}
		race_join(&race);
		empty_slot(self->vp, SINT);
		load_again(device);
		self->partition = hvpm_vm_attach(self->vm, 0);
		hvpm_create_port(self->partition, PORT, 0, SINT, 0, 0);
	}
	race_end(&race);
	EXPECT_LT(0, race.count[0]);
	EXPECT_LT(0, race.count[1]);
	TH_LOG("%u posts answered by the module, %u by the VMM", race.count[1],
	       race.count[0]);

	self->host = hvpm_create_host_partition();
	hvpm_create_port(self->partition, PORT + 1, 1, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION, self->partition, PORT + 1);
	POST(0);
	hvpm_vp_command_join(self->other);
	EXPECT_TAKE(self->other, SINT, 0);
}

/* --- a process ends --- */

/*
 * A child that holds what its @prepare gives it until it is told to end, having
 * sent the file to its parent.
 */
struct child {
	pid_t pid;
	int socket;
	int file;
};

static void child_start(struct child *child, int (*prepare)(void *arg), void *arg)
{
	int sockets[2];
	char byte;

	if (hvpm_spawn(&child->pid, sockets)) {
		child->file = prepare(arg);
		hvpm_send_fd(sockets[1], child->file);
		close(child->file);
		_exit(read(sockets[1], &byte, 1) < 0);
	}
	child->socket = sockets[0];
	child->file = hvpm_receive_fd(sockets[0]);
}

static void child_end(struct child *child)
{
	close(child->socket);
	TEST_ASSERT(waitpid(child->pid, NULL, 0) == child->pid, "waitpid: %s",
		    strerror(errno));
}

static struct child child;

/* It takes long to end a partition with many connections. */
static int connected_partition(void *port)
{
	int partition = hvpm_create_host_partition();
	unsigned int i;

	for (i = 0; i < 500; i++)
		hvpm_connect(partition, i + 1, *(int *)port, 0);
	return partition;
}

static void act_close_file(struct race *race)
{
	close(child.file);
}

/* Without a port or an endpoint of its own: nothing but its file keeps it. */
TEST_F(slot, closed_while_its_process_ends)
{
	int owner, endpoint, port;
	struct race race;

	owner = hvpm_create_host_partition();
	endpoint = hvpm_create_endpoint(owner, 0);
	hvpm_create_endpoint_port(owner, PORT, endpoint, HV_POSTMSG_PORT_SHARED,
				  0);
	port = hvpm_port_fd(owner, PORT);
	race_begin(&race, self, act_close_file, 2000000, 80, 0);
	for_each_round(&race) {
		child_start(&child, connected_partition, &port);
		race_start(&race);
		child_end(&child);
		race_join(&race);
	}
	race_end(&race);
	close(port);
	close(endpoint);
	hvpm_close_partition(owner);
}

TEST_HARNESS_MAIN
