// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target VPs: which one gets the message of an any-VP port; targets that sleep,
 * have not started, do not run, change their index, or are many
 *
 * Some want more than one CPU: as in wake_test, no exact number of interrupts
 * is asserted here.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "slot.h"

#include "apic.h"

/* --- an any-VP port of a VM with four VPs --- */

#define ANY_VPS		4
#define ANY_PORT	20
#define ANY_CONNECTION	30
#define ANY_MESSAGES	512

/**
 * struct _test_data_any - four VPs, a port for each, and one for any of them
 *
 * @vm: the VM; port PORT + n targets VP n, by connection CONNECTION + n
 * @host: who posts
 * @posted: messages posted to the any-VP port, and the next one's number
 * @taken: messages of the any-VP port that each VP has taken
 * @seen: which of them were
 */
FIXTURE(any) {
	struct hvpm_vm *vm;
	int host;
	unsigned int posted;
	unsigned int taken[ANY_VPS];
	bool seen[ANY_MESSAGES];
};

FIXTURE_SETUP(any)
{
	unsigned int i;

	self->vm = hvpm_vm_create(ANY_VPS, NULL);
	self->host = hvpm_create_host_partition();
	hvpm_vm_attach(self->vm, 0);
	hvpm_create_port(self->vm->partition, ANY_PORT, HV_POSTMSG_ANY_VP, SINT,
			 0, 0);
	hvpm_join(self->host, ANY_CONNECTION, self->vm->partition, ANY_PORT);
	for (i = 0; i < ANY_VPS; i++) {
		hvpm_create_port(self->vm->partition, PORT + i, i, SINT, 0, 0);
		hvpm_join(self->host, CONNECTION + i, self->vm->partition,
			  PORT + i);
		hvpm_vp_enable_synic(&self->vm->vps[i], SINT);
	}
}

FIXTURE_TEARDOWN(any)
{
	unsigned int i;

	hvpm_check_port(self->vm->partition, ANY_PORT);
	for (i = 0; i < ANY_VPS; i++)
		hvpm_check_port(self->vm->partition, PORT + i);
	close(self->host);
	hvpm_vm_free(self->vm);
}

static uint32_t post_any(struct _test_data_any *self)
{
	uint32_t status;

	status = hvpm_post(self->host, ANY_CONNECTION, TYPE, SIZE,
			   HV_POSTMSG_POST_NONBLOCK, 0, self->posted);
	if (!status)
		self->posted++;
	return status;
}

#define POST_ANY()	ASSERT_EQ(HV_STATUS_SUCCESS, post_any(self))

/* Have VP @vp take all that there is for it. */
static void take_all(struct _test_data_any *self, unsigned int vp)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head;

	while (hvpm_vp_take(&self->vm->vps[vp], SINT, &message)) {
		TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
					       message.payload_size, &head),
			    "VP %u: corrupt message", vp);
		if (message.port_id != ANY_PORT)
			continue;
		TEST_ASSERT(head.sequence < self->posted &&
			    !self->seen[head.sequence],
			    "VP %u: message %lu again", vp, head.sequence);
		self->seen[head.sequence] = true;
		self->taken[vp]++;
	}
}

static void take_all_of(struct _test_data_any *self, unsigned int first,
			unsigned int last)
{
	for (; first <= last; first++)
		take_all(self, first);
}

/* Each message was taken once. */
#define EXPECT_ALL_TAKEN() do {						\
	unsigned int _i;						\
									\
	for (_i = 0; _i < self->posted; _i++)				\
		EXPECT_TRUE(self->seen[_i]) TH_LOG("message %u", _i);	\
} while (0)

/* Fill the slot of a VP, and put @behind messages behind it. */
static void occupy(struct _test_data_any *self, unsigned int vp,
		   unsigned int behind)
{
	unsigned int i;

	for (i = 0; i <= behind; i++)
		TEST_ASSERT(!hvpm_post(self->host, CONNECTION + vp, TYPE, SIZE,
				       HV_POSTMSG_POST_NONBLOCK, 0, i),
			    "no buffer");
	hvpm_vp_poke(&self->vm->vps[vp]);
	TEST_ASSERT(self->vm->vps[vp].slots[SINT].type, "slot is not full");
}

static void prefer(struct _test_data_any *self, uint64_t vp)
{
	struct hv_postmsg_port_property property = {
		.size = sizeof(property),
		.port_id = ANY_PORT,
		.property = HV_POSTMSG_PROPERTY_PREFERRED_VP,
		.value = vp,
	};

	hvpm_ioctl(self->vm->partition, HV_POSTMSG_SET_PORT_PROPERTY, &property);
}

/* As many for each, whether they come together or one by one. */
TEST_F(any, spread_when_idle)
{
	unsigned int i, vp;

	for (i = 1; i <= 5; i++) {
		for (vp = 0; vp < ANY_VPS; vp++)
			POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
		for (vp = 0; vp < ANY_VPS; vp++)
			EXPECT_EQ(i, self->taken[vp]) TH_LOG("VP %u", vp);
	}
	for (i = 1; i <= 5 * ANY_VPS; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
	}
	for (vp = 0; vp < ANY_VPS; vp++)
		EXPECT_EQ(10, self->taken[vp]) TH_LOG("VP %u", vp);
	EXPECT_ALL_TAKEN();
}

/* A VP that leaves its slot full with something queued gets no more. */
TEST_F(any, vp_with_full_slot_is_left_out)
{
	unsigned int i, vp;

	occupy(self, 0, 1);
	for (i = 0; i < 60; i++) {
		POST_ANY();
		take_all_of(self, 1, ANY_VPS - 1);
		ASSERT_TRUE(self->seen[i]) TH_LOG("message %u is held up", i);
	}
	for (vp = 1; vp < ANY_VPS; vp++)
		EXPECT_EQ(20, self->taken[vp]) TH_LOG("VP %u", vp);
	take_all(self, 0);
	EXPECT_EQ(0, self->taken[0]);
	EXPECT_ALL_TAKEN();
}

/* One whose slot alone is full shows so by the first message that waits. */
TEST_F(any, vp_with_full_slot_gets_one)
{
	unsigned int i;

	occupy(self, 2, 0);
	for (i = 0; i < 60; i++) {
		POST_ANY();
		take_all_of(self, 0, 1);
		take_all(self, 3);
	}
	EXPECT_EQ(59, self->taken[0] + self->taken[1] + self->taken[3]);
	take_all(self, 2);
	EXPECT_EQ(1, self->taken[2]);
	EXPECT_ALL_TAKEN();
}

/* As does one whose thread is not in KVM_RUN. */
TEST_F(any, vp_that_does_not_run_gets_one)
{
	unsigned int i;

	for (i = 0; i < 60; i++) {
		POST_ANY();
		take_all(self, 0);
		take_all_of(self, 2, 3);
	}
	EXPECT_EQ(59, self->taken[0] + self->taken[2] + self->taken[3]);
	EXPECT_EQ(0, self->vm->vps[1].slots[SINT].type);
	take_all(self, 1);
	EXPECT_EQ(1, self->taken[1]);
	EXPECT_ALL_TAKEN();

	/* It runs: it has its share again. */
	for (i = 0; i < ANY_VPS; i++)
		POST_ANY();
	take_all_of(self, 0, ANY_VPS - 1);
	EXPECT_EQ(2, self->taken[1]);
}

/*
 * Bursts that find all of them busy do not collect the port's buffers at a VP
 * that never comes for them.
 */
TEST_F(any, bursts_beside_a_vp_that_does_not_run)
{
	unsigned int round, i;

	for (round = 0; round < 40; round++) {
		for (i = 0; i < 10; i++)
			ASSERT_EQ(HV_STATUS_SUCCESS, post_any(self))
				TH_LOG("round %u, message %u", round, i);
		take_all_of(self, 0, 2);
	}
	EXPECT_LT(390, self->taken[0] + self->taken[1] + self->taken[2]);
	take_all(self, 3);
	EXPECT_ALL_TAKEN();
}

/* The same with a preference for that VP: it comes first, but not alone. */
TEST_F(any, bursts_beside_a_preferred_vp_that_does_not_run)
{
	unsigned int round, i;

	prefer(self, 3);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 10; i++)
			ASSERT_EQ(HV_STATUS_SUCCESS, post_any(self))
				TH_LOG("round %u, message %u", round, i);
		take_all_of(self, 0, 2);
	}
	take_all(self, 3);
	EXPECT_LE(1, self->taken[3]);
	EXPECT_ALL_TAKEN();
}

/* Without SynIC or SIM page a VP is no target, and keeps what it has queued. */
static void switched_off(struct _test_data_any *self,
			 struct __test_metadata *_metadata, uint32_t msr,
			 uint64_t off, uint64_t on)
{
	struct hvpm_vp *vp = &self->vm->vps[2];
	unsigned int i;

	/* Idle, so that nothing else keeps messages from it. */
	vcpu_set_msr(vp->vcpu, msr, off);
	for (i = 0; i < 30; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
	}
	hvpm_vp_wrmsr(vp, msr, on);
	take_all(self, 2);
	EXPECT_EQ(0, self->taken[2]);
	EXPECT_ALL_TAKEN();

	for (i = 0; i < ANY_VPS; i++)
		POST_ANY();
	/* By the VMM, so that the VP does not run before. */
	vcpu_set_msr(vp->vcpu, msr, off);
	take_all_of(self, 0, ANY_VPS - 1);
	EXPECT_EQ(0, self->taken[2]);
	for (i = 0; i < 60; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
	}
	EXPECT_EQ(0, self->taken[2]);
	EXPECT_EQ(31, self->taken[0]);
	EXPECT_EQ(31, self->taken[1]);
	EXPECT_EQ(31, self->taken[3]);

	hvpm_vp_wrmsr(vp, msr, on);
	take_all(self, 2);
	EXPECT_EQ(1, self->taken[2]);
	EXPECT_ALL_TAKEN();
	for (i = 0; i < ANY_VPS; i++)
		POST_ANY();
	take_all_of(self, 0, ANY_VPS - 1);
	EXPECT_EQ(2, self->taken[2]);
}

TEST_F(any, vp_without_sim_page_is_no_target)
{
	uint64_t gpa = self->vm->vps[2].guest->slots_gpa;

	switched_off(self, _metadata, HV_X64_MSR_SIMP, gpa,
		     gpa | HV_SYNIC_SIMP_ENABLE);
}

TEST_F(any, vp_without_synic_is_no_target)
{
	switched_off(self, _metadata, HV_X64_MSR_SCONTROL, 0,
		     HV_SYNIC_CONTROL_ENABLE);
}

/* The preferred VP is the first to be asked, and not the only one. */
TEST_F(any, preferred_vp_when_idle_and_available)
{
	unsigned int i;

	prefer(self, 2);
	for (i = 1; i <= 10; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
		EXPECT_EQ(i, self->taken[2]);
	}
	/* Busy. */
	occupy(self, 2, 1);
	for (i = 1; i <= 10; i++) {
		POST_ANY();
		take_all_of(self, 0, 1);
		take_all(self, 3);
		EXPECT_EQ(i, self->taken[0] + self->taken[1] + self->taken[3]);
	}
	/* Idle again. */
	take_all(self, 2);
	EXPECT_EQ(10, self->taken[2]);
	POST_ANY();
	take_all(self, 2);
	EXPECT_EQ(11, self->taken[2]);
	/* All of them busy. */
	for (i = 0; i < ANY_VPS; i++)
		occupy(self, i, 1);
	POST_ANY();
	take_all_of(self, 0, ANY_VPS - 1);
	EXPECT_EQ(12, self->taken[2]);
	/* Not available. */
	hvpm_vp_wrmsr(&self->vm->vps[2], HV_X64_MSR_SCONTROL, 0);
	for (i = 0; i < 10; i++)
		POST_ANY();
	take_all_of(self, 0, ANY_VPS - 1);
	EXPECT_EQ(12, self->taken[2]);
	EXPECT_ALL_TAKEN();
}

/* It is named by its VP index, and need not exist. */
TEST_F(any, preferred_vp_index)
{
	unsigned int i;

	prefer(self, 77);
	for (i = 0; i < 2 * ANY_VPS; i++)
		POST_ANY();
	take_all_of(self, 0, ANY_VPS - 1);
	for (i = 0; i < ANY_VPS; i++)
		EXPECT_EQ(2, self->taken[i]) TH_LOG("VP %u", i);

	vcpu_set_msr(self->vm->vps[1].vcpu, HV_X64_MSR_VP_INDEX, 77);
	for (i = 0; i < 10; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
	}
	EXPECT_EQ(12, self->taken[1]);
	vcpu_set_msr(self->vm->vps[1].vcpu, HV_X64_MSR_VP_INDEX, 1);

	/* No preference: in turn again. */
	prefer(self, HV_POSTMSG_ANY_VP);
	for (i = 0; i < ANY_VPS; i++) {
		POST_ANY();
		take_all_of(self, 0, ANY_VPS - 1);
	}
	EXPECT_EQ(13, self->taken[1]);
	EXPECT_ALL_TAKEN();
}

/* --- a VP in a thread that knows when it sleeps --- */

/**
 * struct runner - a thread that keeps a VP in KVM_RUN
 *
 * @vp: the VP
 * @thread: the thread
 * @tid: its number, once it runs
 * @stop: it is to come back; also by run->immediate_exit
 * @again: times KVM_RUN came back with EAGAIN, as it does to a vCPU that is not
 *	started when something woke it
 * @stats_fd: KVM's statistics of the vCPU
 * @header: of these
 * @descs: of these
 */
struct runner {
	struct hvpm_vp *vp;
	pthread_t thread;
	volatile pid_t tid;
	volatile bool stop;
	volatile unsigned int again;
	int stats_fd;
	struct kvm_stats_header header;
	struct kvm_stats_desc *descs;
};

static uint64_t stat_of(struct runner *runner, const char *name)
{
	struct kvm_stats_desc *desc;
	uint64_t value = 0;
	int i;

	for (i = 0; i < runner->header.num_desc; i++) {
		desc = get_stats_descriptor(runner->descs, i, &runner->header);
		if (strcmp(desc->name, name))
			continue;
		read_stat_data(runner->stats_fd, &runner->header, desc, &value, 1);
		return value;
	}
	TEST_FAIL("KVM has no statistic %s", name);
	return 0;
}

static void nothing(int signal)
{
}

/* Until it is stopped, or the guest wants something. */
static void *run(void *arg)
{
	struct runner *runner = arg;

	runner->tid = syscall(SYS_gettid);
	while (!runner->stop) {
		if (!__vcpu_run(runner->vp->vcpu))
			break;
		TEST_ASSERT(errno == EINTR || errno == EAGAIN, "KVM_RUN: %s",
			    strerror(errno));
		if (errno == EAGAIN)
			runner->again++;
	}
	return NULL;
}

static void runner_start(struct runner *runner)
{
	runner->stop = false;
	runner->tid = 0;
	TEST_ASSERT(!pthread_create(&runner->thread, NULL, run, runner),
		    "pthread_create");
	while (!runner->tid)
		sched_yield();
}

static void runner_init(struct runner *runner, struct hvpm_vp *vp)
{
	struct sigaction action = { .sa_handler = nothing };

	sigaction(SIGUSR1, &action, NULL);
	memset(runner, 0, sizeof(*runner));
	runner->vp = vp;
	runner->stats_fd = vcpu_get_stats_fd(vp->vcpu);
	read_stats_header(runner->stats_fd, &runner->header);
	runner->descs = read_stats_descriptors(runner->stats_fd, &runner->header);
}

static void runner_join(struct runner *runner)
{
	TEST_ASSERT(!pthread_join(runner->thread, NULL), "pthread_join");
}

/* Take the VP out of KVM_RUN, whatever it does there. */
static void runner_stop(struct runner *runner)
{
	struct kvm_run *state = runner->vp->vcpu->run;

	runner->stop = true;
	state->immediate_exit = 1;
	pthread_kill(runner->thread, SIGUSR1);
	runner_join(runner);
	state->immediate_exit = 0;
}

static void runner_free(struct runner *runner)
{
	close(runner->stats_fd);
	free(runner->descs);
}

/* The VP is, or comes to be, where KVM puts its thread to sleep. */
#define WAIT_ASLEEP(runner) \
	WAIT_FOR(stat_of(runner, "blocking") == 1, "VP asleep")

/* A number in a file of /proc that has lines of names and numbers. */
static unsigned long number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	TEST_ASSERT(at, "no line with %s", name);
	return strtoul(at + strlen(name), NULL, 10);
}

/* Times the thread was given a CPU. */
static unsigned long turns(struct runner *runner)
{
	char path[64], text[4096] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", runner->tid);
	file = fopen(path, "r");
	TEST_ASSERT(file, "%s: %s", path, strerror(errno));
	TEST_ASSERT(fread(text, 1, sizeof(text) - 1, file), "%s is empty", path);
	fclose(file);
	return number_after(text, "\nvoluntary_ctxt_switches:") +
	       number_after(text, "\nnonvoluntary_ctxt_switches:");
}

/* What a VP that sleeps does not change. */
struct sleep {
	unsigned long turns;
	unsigned int again;
	uint64_t exits;
};

static struct sleep look_at_sleep(struct runner *runner)
{
	return (struct sleep){
		.turns = turns(runner),
		.again = runner->again,
		.exits = stat_of(runner, "exits"),
	};
}

/*
 * While another VP is busy, with so many @pokes, does the thread of this one sleep
 * all the time?
 */
static bool sleeps_beside(struct runner *runner, struct hvpm_vp *busy,
			  unsigned int pokes)
{
	struct sleep before = look_at_sleep(runner), after;
	unsigned int i;

	for (i = 0; i < pokes; i++)
		hvpm_vp_poke(busy);
	after = look_at_sleep(runner);
	return before.turns == after.turns && before.again == after.again &&
	       before.exits == after.exits && stat_of(runner, "blocking") == 1;
}

/*
 * It does, as soon as it has found its way there.  Where the TSC is no clock, KVM wakes
 * all vCPUs of a VM by itself, each 100 ms in which one of them changes CPUs: on a slow
 * machine 20 pokes may take as long, and fewer have to do.
 */
#define EXPECT_SLEEPS_ON(runner, busy) do {				\
	unsigned int _tries = 0;					\
									\
	while (_tries < 50 &&						\
	       !sleeps_beside(runner, busy, 20 >> _tries / 20))		\
		_tries++;						\
	EXPECT_GT(50, _tries) TH_LOG("VP %u does not stay asleep",	\
				     (runner)->vp->index);		\
} while (0)

/* --- guests --- */

#define DATA_END	1
#define DATA_HALTS	2

/* HLT, over and over. */
static uint64_t guest_sleep(struct hvpm_guest *guest, uint64_t unused)
{
	while (!guest->data[DATA_END]) {
		guest->data[DATA_HALTS]++;
		asm volatile("sti; hlt" : : : "memory");
	}
	return 0;
}

static uint64_t guest_sleep_deaf(struct hvpm_guest *guest, uint64_t unused)
{
	while (!guest->data[DATA_END]) {
		guest->data[DATA_HALTS]++;
		asm volatile("cli; hlt" : : : "memory");
	}
	asm volatile("sti; nop" : : : "memory");
	return 0;
}

static uint64_t guest_spin(struct hvpm_guest *guest, uint64_t unused)
{
	while (!guest->data[DATA_END])
		guest->data[DATA_HALTS]++;
	return 0;
}

/* Have the VP call @function, in the runner's thread. */
static void runner_call(struct runner *runner,
			uint64_t (*function)(struct hvpm_guest *, uint64_t))
{
	struct hvpm_guest *guest = runner->vp->guest;

	guest->data[DATA_END] = 0;
	guest->argument[0] = (uint64_t)function;
	guest->argument[1] = 0;
	guest->command = HVPM_CALL;
	runner_start(runner);
}

/* End that call: the guest is taken out of HLT and comes back. */
static void runner_end_call(struct runner *runner)
{
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };

	runner_stop(runner);
	runner->vp->guest->data[DATA_END] = 1;
	vcpu_mp_state_set(runner->vp->vcpu, &running);
	TEST_ASSERT(hvpm_vp_run(runner->vp, NULL) == UCALL_SYNC,
		    "guest does not come back");
}

/* VP 0's slot, as another VP sees it. */
static uint64_t guest_see(struct hvpm_guest *guest, uint64_t sint)
{
	return READ_ONCE(hvpm_guests[0]->slots[sint].type);
}

/* Take from it, and write EOM here. */
static uint64_t guest_take_for_0(struct hvpm_guest *guest, uint64_t sint)
{
	hvpm_guest_take(hvpm_guests[0], sint, &guest->message);
	return guest->message.type;
}

/* --- asleep in HLT, and no interrupt comes --- */

/*
 * The message lands all the same, another VP sees and takes it, and its EOM
 * brings the next; the sleeper looks up once for each and sleeps on.
 */
static void lands_while_asleep(struct _test_data_slot *self,
			       struct __test_metadata *_metadata, uint64_t sint,
			       uint64_t (*sleep)(struct hvpm_guest *, uint64_t))
{
	struct hvpm_guest *guest = self->vp->guest;
	const unsigned int rounds = 10;
	struct runner runner;
	unsigned int i;

	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, sint);
	runner_init(&runner, self->vp);
	runner_call(&runner, sleep);
	for (i = 0; i < 2 * rounds; i += 2) {
		WAIT_ASLEEP(&runner);
		POST(i);
		WAIT_FOR(self->vp->slots[SINT].type, "message");
		EXPECT_EQ(TYPE + i, hvpm_vp_call(self->other, guest_see, SINT));
		WAIT_ASLEEP(&runner);
		POST(i + 1);
		WAIT_FOR(self->vp->slots[SINT].flags, "MessagePending");
		EXPECT_SLOT(self->vp, SINT, i, true);
		WAIT_ASLEEP(&runner);
		EXPECT_EQ(TYPE + i,
			  hvpm_vp_call(self->other, guest_take_for_0, SINT));
		WAIT_FOR(self->vp->slots[SINT].type, "next message");
		EXPECT_EQ(TYPE + i + 1,
			  hvpm_vp_call(self->other, guest_see, SINT));
		EXPECT_SLOT(self->vp, SINT, i + 1, false);
		EXPECT_QUEUED(0);
		EXPECT_EQ(TYPE + i + 1,
			  hvpm_vp_call(self->other, guest_take_for_0, SINT));
	}
	EXPECT_SLEEPS_ON(&runner, self->other);
	EXPECT_INTERRUPTS(self->vp, 0);
	/* Two posts and one EOM each. */
	EXPECT_GE(1 + 3 * rounds, guest->data[DATA_HALTS]);
	runner_end_call(&runner);
	runner_free(&runner);
}

TEST_F(slot, message_lands_while_asleep_masked)
{
	lands_while_asleep(self, _metadata,
			   HV_SYNIC_SINT_MASKED | HVPM_VECTOR(0, SINT),
			   guest_sleep);
	EXPECT_INTERRUPTS(self->vp, 0);
}

TEST_F(slot, message_lands_while_asleep_polling)
{
	lands_while_asleep(self, _metadata,
			   HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT),
			   guest_sleep);
	EXPECT_INTERRUPTS(self->vp, 0);
}

/* The interrupt waits in the local APIC. */
TEST_F(slot, message_lands_while_asleep_interrupts_disabled)
{
	lands_while_asleep(self, _metadata, HVPM_VECTOR(0, SINT),
			   guest_sleep_deaf);
	EXPECT_LE(1, self->vp->guest->interrupts[SINT]);
}

/* --- a full slot is not polled --- */

/*
 * Whoever looks at a full slot sets MessagePending in it.  So once the flag is
 * taken away, it tells whether somebody has looked.
 */
static void fill_and_clear(struct _test_data_slot *self,
			   struct __test_metadata *_metadata)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		POST_AND_POKE(i);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	self->vp->slots[SINT].flags = 0;
}

TEST_F(slot, full_slot_is_not_polled_on_entry)
{
	unsigned int i;

	fill_and_clear(self, _metadata);
	for (i = 0; i < 200; i++)
		hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	/* For a reason it is looked at. */
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_QUEUED(2);
}

TEST_F(slot, full_slot_is_not_polled_running)
{
	struct runner runner;
	uint64_t exits;

	fill_and_clear(self, _metadata);
	runner_init(&runner, self->vp);
	runner_call(&runner, guest_spin);
	WAIT_FOR(self->vp->guest->data[DATA_HALTS], "guest runs");
	/* The host's own interrupts make it exit. */
	exits = stat_of(&runner, "exits");
	WAIT_FOR(stat_of(&runner, "exits") >= exits + 50, "exits");
	EXPECT_SLOT(self->vp, SINT, 0, false);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	WAIT_FOR(self->vp->slots[SINT].flags, "MessagePending");
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_QUEUED(2);
	runner_end_call(&runner);
	runner_free(&runner);
}

TEST_F(slot, full_slot_is_not_polled_asleep)
{
	struct runner runner;

	fill_and_clear(self, _metadata);
	runner_init(&runner, self->vp);
	runner_call(&runner, guest_sleep);
	EXPECT_SLEEPS_ON(&runner, self->other);
	EXPECT_EQ(1, self->vp->guest->data[DATA_HALTS]);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	WAIT_FOR(self->vp->slots[SINT].flags, "MessagePending");
	EXPECT_SLEEPS_ON(&runner, self->other);
	EXPECT_EQ(2, self->vp->guest->data[DATA_HALTS]);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_QUEUED(2);
	runner_end_call(&runner);
	runner_free(&runner);
}

/* --- not in KVM_RUN --- */

/* Taken out of HLT by a signal, it looks when it is back, and wakes. */
TEST_F(slot, posted_while_halted_and_taken_out)
{
	struct runner runner;
	unsigned int i, j;

	runner_init(&runner, self->vp);
	runner_call(&runner, guest_sleep);
	for (i = 0; i < 30; i += 3) {
		WAIT_ASLEEP(&runner);
		runner_stop(&runner);
		POST(i);
		POST(i + 1);
		POST(i + 2);
		hvpm_vp_poke(self->other);
		EXPECT_SLOT_EMPTY(self->vp, SINT);
		EXPECT_QUEUED(3);
		runner_start(&runner);
		for (j = i; j < i + 3; j++) {
			WAIT_FOR(self->vp->slots[SINT].type, "message");
			EXPECT_SLOT(self->vp, SINT, j, j < i + 2);
			WAIT_FOR(self->vp->guest->interrupts[SINT] > j,
				 "interrupt");
			hvpm_vp_call(self->other, guest_take_for_0, SINT);
		}
	}
	runner_end_call(&runner);
	runner_free(&runner);
}

/* A KVM_RUN that must not enter the guest delivers and loses nothing. */
TEST_F(slot, immediate_exit_delivers_nothing)
{
	struct kvm_run *state = self->vp->vcpu->run;
	unsigned int i;

	for (i = 0; i < 10; i++) {
		POST(i);
		self->vp->guest->command = HVPM_NOP;
		state->immediate_exit = 1;
		EXPECT_EQ(-1, __vcpu_run(self->vp->vcpu));
		EXPECT_EQ(EINTR, errno);
		state->immediate_exit = 0;
		EXPECT_SLOT_EMPTY(self->vp, SINT);
	}
	EXPECT_QUEUED(10);
	for (i = 0; i < 10; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
}

/* --- not started --- */

#define AP_PORT		(PORT + 1)
#define AP_CONNECTION	(CONNECTION + 1)
#define AP_CODE		0x8000
#define AP_IO		7

/* What an AP does in real mode: says that it runs, and halts. */
static const uint8_t ap_code[] = {
	0xe6, AP_IO,		/* out %al, $AP_IO */
	0xf4,			/* 1: hlt */
	0xeb, 0xfd,		/* jmp 1b */
};

static uint64_t guest_send_init(struct hvpm_guest *guest, uint64_t target)
{
	x2apic_write_reg(APIC_ICR, target << 32 | APIC_DEST_PHYSICAL |
			 APIC_DM_INIT | APIC_INT_ASSERT);
	return 0;
}

static uint64_t guest_send_sipi(struct hvpm_guest *guest, uint64_t target)
{
	x2apic_write_reg(APIC_ICR, target << 32 | APIC_DEST_PHYSICAL |
			 APIC_DM_STARTUP | AP_CODE >> 12);
	return 0;
}

/* VP 1 is the AP: a port for it, its SynIC on, code for it to start with. */
static void prepare_ap(struct _test_data_slot *self, struct runner *runner)
{
	hvpm_create_port(self->partition, AP_PORT, 1, SINT, 0, 0);
	hvpm_join(self->host, AP_CONNECTION, self->partition, AP_PORT);
	hvpm_vp_enable_synic(self->other, SINT);
	memcpy(addr_gpa2hva(self->vm->vm, AP_CODE), ap_code, sizeof(ap_code));
	runner_init(runner, self->other);
}

static uint32_t mp_state(struct hvpm_vp *vp)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vp->vcpu, &state);
	return state.mp_state;
}

static uint64_t freed_of_ap(struct _test_data_slot *self)
{
	struct hv_postmsg_port_stats stats;

	hvpm_port_stats(self->partition, AP_PORT, &stats);
	return stats.freed;
}

#define POST_AP(number) \
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, AP_CONNECTION, number))

#define EXPECT_AP_QUEUED(count) do {					\
	struct hv_postmsg_port_stats _stats;				\
									\
	hvpm_port_stats(self->partition, AP_PORT, &_stats);		\
	EXPECT_EQ((count), _stats.queued);				\
	EXPECT_EQ(_stats.buffers, _stats.free + _stats.queued);		\
} while (0)

/* Posts to a VP that waits for its start stay queued and let it wait. */
#define EXPECT_AP_WAITS(runner, first, last) do {			\
	unsigned int _number;						\
									\
	for (_number = (first); _number <= (last); _number++) {		\
		WAIT_ASLEEP(runner);					\
		POST_AP(_number);					\
		hvpm_vp_poke(self->vp);					\
	}								\
	EXPECT_SLEEPS_ON(runner, self->vp);				\
	EXPECT_AP_QUEUED((last) - (first) + 1);				\
	EXPECT_SLOT_EMPTY(self->other, SINT);				\
} while (0)

/* SIPI: it starts, and what was posted since INIT is there at once. */
static void expect_ap_starts(struct _test_data_slot *self,
			     struct __test_metadata *_metadata,
			     struct runner *runner, unsigned int number)
{
	struct kvm_run *state = self->other->vcpu->run;

	hvpm_vp_call(self->vp, guest_send_sipi, 1);
	runner_join(runner);
	ASSERT_EQ(KVM_EXIT_IO, state->exit_reason);
	ASSERT_EQ(AP_IO, state->io.port);
	EXPECT_SLOT(self->other, SINT, number, true);
}

/* One that never ran: KVM_RUN comes back once for each post, no more. */
TEST_F(slot, vp_not_yet_started)
{
	struct kvm_mp_state none = { .mp_state = KVM_MP_STATE_UNINITIALIZED };
	struct runner runner;

	prepare_ap(self, &runner);
	vcpu_mp_state_set(self->other->vcpu, &none);
	runner_start(&runner);
	EXPECT_AP_WAITS(&runner, 0, 9);
	EXPECT_GE(10, runner.again);

	/* It is started as a processor is, by INIT, which empties its queue. */
	hvpm_vp_call(self->vp, guest_send_init, 1);
	WAIT_FOR(freed_of_ap(self) == 10, "queue emptied");
	EXPECT_AP_WAITS(&runner, 20, 25);
	expect_ap_starts(self, _metadata, &runner, 20);
	EXPECT_AP_QUEUED(5);
	runner_free(&runner);
	hvpm_check_port(self->partition, AP_PORT);
}

/* One whose start is the VMM's own doing keeps what it has. */
TEST_F(slot, vp_started_by_the_vmm)
{
	struct kvm_mp_state none = { .mp_state = KVM_MP_STATE_UNINITIALIZED };
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct runner runner;
	unsigned int i;

	prepare_ap(self, &runner);
	vcpu_mp_state_set(self->other->vcpu, &none);
	runner_start(&runner);
	EXPECT_AP_WAITS(&runner, 0, 9);
	runner_stop(&runner);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp_state(self->other));
	vcpu_mp_state_set(self->other->vcpu, &running);
	for (i = 0; i < 10; i++)
		EXPECT_TAKE(self->other, SINT, i);
	runner_free(&runner);
	hvpm_check_port(self->partition, AP_PORT);
}

/* One that was running, and is in INIT state: the same. */
TEST_F(slot, vp_in_init_state)
{
	struct runner runner;

	prepare_ap(self, &runner);
	runner_call(&runner, guest_sleep);
	WAIT_ASLEEP(&runner);
	hvpm_vp_call(self->vp, guest_send_init, 1);
	runner_stop(&runner);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state(self->other));

	runner_start(&runner);
	EXPECT_AP_WAITS(&runner, 0, 9);
	EXPECT_EQ(0, runner.again);
	expect_ap_starts(self, _metadata, &runner, 0);
	EXPECT_AP_QUEUED(9);
	EXPECT_EQ(0, freed_of_ap(self));
	runner_free(&runner);
	hvpm_check_port(self->partition, AP_PORT);
}

/* --- VP indices --- */

/* A port names an index; what is queued already stays with its VP. */
TEST_F(slot, vp_indices_swapped_between_posts)
{
	struct hvpm_vp *const vp[2] = { self->vp, self->other };
	unsigned int i;

	hvpm_vp_enable_synic(self->other, SINT);
	/* 0, 2, 4, ... to vCPU 0, the others to vCPU 1; nobody runs meanwhile. */
	for (i = 0; i < 16; i++) {
		vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_VP_INDEX, i & 1);
		vcpu_set_msr(self->other->vcpu, HV_X64_MSR_VP_INDEX, !(i & 1));
		POST(i);
	}
	EXPECT_QUEUED(16);
	for (i = 0; i < 16; i++)
		EXPECT_TAKE(vp[i & 1], SINT, i);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_SLOT_EMPTY(self->other, SINT);

	/* Indices that are no vCPU's own. */
	vcpu_set_msr(self->other->vcpu, HV_X64_MSR_VP_INDEX, 300);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_VP_INDEX, 301);
	EXPECT_EQ(HV_STATUS_INVALID_VP_INDEX, post_to(self, CONNECTION, 16));
	hvpm_create_port(self->partition, PORT + 1, 300, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	for (i = 0; i < 8; i++) {
		vcpu_set_msr(vp[i & 1]->vcpu, HV_X64_MSR_VP_INDEX, 300);
		vcpu_set_msr(vp[!(i & 1)]->vcpu, HV_X64_MSR_VP_INDEX, 301);
		ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, i));
	}
	for (i = 0; i < 8; i++)
		EXPECT_TAKE(vp[i & 1], SINT, i);

	/* A reset finds its VP by the index, too. */
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_VP_INDEX, 300);
	vcpu_set_msr(self->other->vcpu, HV_X64_MSR_VP_INDEX, 301);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 50));
	hvpm_reset_vp(self->partition, 301);
	EXPECT_TAKE(self->vp, SINT, 50);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 51));
	hvpm_reset_vp(self->partition, 300);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	hvpm_check_port(self->partition, PORT + 1);
}

/* --- many VPs --- */

#define MANY		130

/* Message number @number of its port is in the VP's slot. */
#define EXPECT_MANY(index, number, pending) do {			\
	EXPECT_SLOT(&vm->vps[index], SINT, number, pending);		\
	EXPECT_EQ(PORT + (index), vm->vps[index].slots[SINT].port_id);	\
} while (0)

TEST(more_vps_than_bits_in_a_word)
{
	static const unsigned int sleepers[] = { 1, 63, 64, 65, 127, 128, 129 };
	struct hvpm_vm *vm = hvpm_vm_create(MANY, NULL);
	int host = hvpm_create_host_partition();
	struct hv_postmsg_partition_stats stats;
	struct hv_postmsg_message message;
	struct runner runner;
	unsigned int i, j;

	hvpm_vm_attach(vm, 0);
	for (i = 0; i < MANY; i++) {
		hvpm_create_port(vm->partition, PORT + i, i, SINT, 0, 0);
		hvpm_join(host, CONNECTION + i, vm->partition, PORT + i);
		hvpm_vp_enable_synic(&vm->vps[i], SINT);
	}

	/* Two for each; nobody runs meanwhile. */
	for (j = 0; j < 2; j++)
		for (i = 0; i < MANY; i++)
			ASSERT_EQ(HV_STATUS_SUCCESS,
				  hvpm_post(host, CONNECTION + i, TYPE + j, SIZE,
					    HV_POSTMSG_POST_NONBLOCK, i, j));
	for (i = 0; i < MANY; i++) {
		EXPECT_EQ(0, vm->vps[i].slots[SINT].type);
		hvpm_vp_poke(&vm->vps[i]);
		EXPECT_MANY(i, 0, true);
	}

	/* EOM on the first wakes any of the others. */
	for (i = 0; i < ARRAY_SIZE(sleepers); i++) {
		struct hvpm_vp *vp = &vm->vps[sleepers[i]];

		runner_init(&runner, vp);
		runner_call(&runner, guest_sleep);
		WAIT_ASLEEP(&runner);
		empty_slot(vp, SINT);
		hvpm_vp_wrmsr(&vm->vps[0], HV_X64_MSR_EOM, 0);
		WAIT_FOR(vp->slots[SINT].type, "next message");
		EXPECT_MANY(sleepers[i], 1, false);
		runner_end_call(&runner);
		runner_free(&runner);
		EXPECT_TRUE(hvpm_vp_take(vp, SINT, &message));
	}

	/* The rest by their own EOM. */
	for (i = 0; i < MANY; i++) {
		while (hvpm_vp_take(&vm->vps[i], SINT, &message))
			EXPECT_EQ(PORT + i, message.port_id);
		hvpm_check_port(vm->partition, PORT + i);
	}
	hvpm_partition_stats(vm->partition, &stats);
	EXPECT_EQ(2 * MANY, stats.posted);
	EXPECT_EQ(2 * MANY, stats.delivered);

	/* Any of them, in turn. */
	hvpm_create_port(vm->partition, 5000, HV_POSTMSG_ANY_VP, SINT, 0, 0);
	hvpm_join(host, 5000, vm->partition, 5000);
	for (j = 0; j < MANY; j += 13) {
		for (i = j; i < j + 13; i++)
			ASSERT_EQ(HV_STATUS_SUCCESS,
				  hvpm_post(host, 5000, TYPE, SIZE,
					    HV_POSTMSG_POST_NONBLOCK, 0, i));
		for (i = j; i < j + 13; i++) {
			ASSERT_TRUE(hvpm_vp_take(&vm->vps[i], SINT, &message))
				TH_LOG("VP %u", i);
			EXPECT_EQ(5000, message.port_id);
		}
	}
	hvpm_check_port(vm->partition, 5000);
	close(host);
	hvpm_vm_free(vm);
}

TEST_HARNESS_MAIN
