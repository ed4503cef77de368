// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: reload ROUNDS [SEED]
 *
 * Not a test of make check: loads hv_postmsg.ko, runs, and unloads it, ROUNDS times,
 * in the lab and with the module not loaded. See Documentation/testing.rst.
 *
 * All the time there are VMs that are never attached: one posts to its VMM, one
 * sleeps in HLT and is woken by synthetic timers, one has its MSRs written by its
 * VMM and gets INIT. A further VM never stops either, one VP posting and another
 * taking messages; in each round it is attached and detached again. A thread tries
 * to unload the module at any moment: while there is a partition that has to be
 * refused, and behind its end it is what unloads the module, as soon as it can be.
 *
 * In some rounds the poster pauses before the end, and then the partition's
 * statistics, what the poster was told and what was taken have to be the same. In
 * the others the partition ends, and the module goes, while it posts; what is
 * queued then may be lost, but nothing is doubled or out of order.
 *
 * SEED decides which rounds are which, and how long somebody waits. Nothing here is
 * about interrupts: with several CPUs the emulator may deliver one twice.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

#include "apic.h"
#include "hvpm.h"
#include "patience.h"

#define MODULE		"hv_postmsg"
#define PORT		1
#define CONNECTION	1
#define SINT		2

/* In units of HV_X64_MSR_TIME_REF_COUNT. */
#define MILLISECOND		10000
#define STIMER_AUTO_ENABLE	BIT_ULL(3)
#define STIMER_SINT(sint)	((uint64_t)(sint) << 16)

/* How long whatever has to happen may take, in seconds. */
#define LIMIT		120

/* What guests say of themselves, in guest->data. */
enum data {
	ACCEPTED,	/* posts, by what they were told */
	BUSY,
	OTHERS,
	TAKEN,		/* messages */
	NEXT,		/* the sequence number behind the last one taken */
	TURNS,		/* of the guest's loop */
	PAUSE,		/* the host wants it to pause */
	PAUSED,
};

/* --- guests --- */

static void guest_poster(struct hvpm_guest *guest)
{
	volatile uint64_t *data = guest->data;
	unsigned int i;

	hvpm_guest_init(guest);
	for (;;) {
		while (data[PAUSE])
			data[PAUSED] = 1;
		data[PAUSED] = 0;
		switch (hvpm_guest_post(guest, CONNECTION, 1, 100, 0,
					data[ACCEPTED])) {
		case HV_STATUS_SUCCESS:
			data[ACCEPTED]++;
			break;
		case HV_STATUS_INSUFFICIENT_BUFFERS:
			data[BUSY]++;
			for (i = 0; i < 1000; i++)
				asm volatile("pause");
			break;
		default:
			data[OTHERS]++;
		}
		data[TURNS]++;
	}
}

static void guest_take_all(struct hvpm_guest *guest)
{
	volatile uint64_t *data = guest->data;
	struct hvpm_payload head;

	while (hvpm_guest_take(guest, SINT, &guest->message)) {
		if (guest->message.type == 1) {
			GUEST_ASSERT(hvpm_payload_check(guest->message.payload, 1,
							guest->message.payload_size,
							&head));
			GUEST_ASSERT(head.sequence >= data[NEXT]);
			data[NEXT] = head.sequence + 1;
			data[TAKEN]++;
		}
	}
}

static void guest_taker(struct hvpm_guest *guest)
{
	uint32_t seen;

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	for (;;) {
		seen = guest->interrupts[SINT];
		guest_take_all(guest);
		hvpm_guest_halt(guest, SINT, seen);
		guest->data[TURNS]++;
	}
}

static void guest_sleeper(struct hvpm_guest *guest)
{
	uint32_t seen;

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	for (;;) {
		seen = guest->interrupts[SINT];
		wrmsr(HV_X64_MSR_STIMER0_CONFIG,
		      STIMER_AUTO_ENABLE | STIMER_SINT(SINT));
		wrmsr(HV_X64_MSR_STIMER0_COUNT,
		      rdmsr(HV_X64_MSR_TIME_REF_COUNT) + 5 * MILLISECOND);
		hvpm_guest_halt(guest, SINT, seen);
		guest_take_all(guest);
		guest->data[TURNS]++;
	}
}

static uint64_t guest_send_init(struct hvpm_guest *guest, uint64_t target)
{
	x2apic_write_reg(APIC_ICR, target << 32 | APIC_DEST_PHYSICAL |
			 APIC_DM_INIT | APIC_INT_ASSERT);
	guest->data[TURNS]++;
	return 0;
}

/* --- VMMs --- */

/* Not so often that nobody else has a turn on one CPU. */
static void have_a_break(void)
{
	usleep(300);
}

static void *run_vp(void *arg)
{
	struct hvpm_vp *vp = arg;

	for (;;) {
		TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_NONE &&
			    vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV,
			    "exit %u", vp->vcpu->run->exit_reason);
		vp->vcpu->run->hyperv.u.hcall.result =
			HV_STATUS_INVALID_CONNECTION_ID;
		have_a_break();
	}
	return NULL;
}

/* A VP that is reset for ever, and one that does that and has its MSRs written. */
static void *run_resets(void *arg)
{
	struct hvpm_vm *vm = arg;
	struct hvpm_vp *vp = &vm->vps[1];

	for (;;) {
		hvpm_vp_call(vp, guest_send_init, 0);
		TEST_ASSERT(!_vcpu_run(vm->vps[0].vcpu), "KVM_RUN: %s",
			    strerror(errno));
		vcpu_set_msr(vp->vcpu, HV_X64_MSR_EOM, 0);
		vcpu_set_msr(vp->vcpu, HV_X64_MSR_SINT0 + SINT,
			     HVPM_VECTOR(1, SINT));
		have_a_break();
	}
	return NULL;
}

static void start(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, function, argument);

	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
}

/* --- the module --- */

/* Who is there: unloading the module has to be refused, is welcome, is done. */
enum stage { LOADING, IN_USE, UNUSED, UNLOADED };

static volatile enum stage stage = UNLOADED;
static volatile uint64_t refused_in_use, refused_unused;

static void load(void)
{
	int fd = open(MODULE ".ko", O_RDONLY | O_CLOEXEC);

	TEST_ASSERT(fd >= 0, MODULE ".ko: %s", strerror(errno));
	TEST_ASSERT(!syscall(SYS_finit_module, fd, "", 0), "loading: %s",
		    strerror(errno));
	close(fd);
}

/* The one who unloads it.  A module that is just being loaded is left alone. */
static void *try_to_unload(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;
	enum stage before;

	for (;;) {
		before = stage;
		if (before == LOADING || before == UNLOADED) {
			usleep(100);
			continue;
		}
		if (!syscall(SYS_delete_module, MODULE, O_NONBLOCK)) {
			TEST_ASSERT(stage == UNUSED, "unloaded in use");
			stage = UNLOADED;
			continue;
		}
		TEST_ASSERT(errno == EAGAIN, "unloading: %s", strerror(errno));
		if (before == IN_USE)
			refused_in_use++;
		else
			refused_unused++;
		usleep(rand_r(&seed) % 2000);
	}
	return NULL;
}

/* Each file of the device holds the module: none is kept. */
static int attach(struct hvpm_vm *vm)
{
	struct hv_postmsg_create_partition create = {
		.size = sizeof(create),
		.vm_fd = vm->vm->fd,
	};
	int device = open(HVPM_DEVICE, O_RDWR | O_CLOEXEC), partition;

	TEST_ASSERT(device >= 0, "open(%s): %s", HVPM_DEVICE, strerror(errno));
	partition = hvpm_ioctl(device, HV_POSTMSG_CREATE_PARTITION, &create);
	close(device);
	return partition;
}

/* --- rounds --- */

static unsigned int current_round;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Until the condition holds; a round that hangs says where. */
#define WAIT_UNTIL(condition, what) do {				\
	double _limit = now() + patience(LIMIT);			\
									\
	while (!(condition)) {						\
		TEST_ASSERT(now() < _limit, "round %u: %s", current_round, what); \
		usleep(500);						\
	}								\
} while (0)

#define NR_BYSTANDERS	3

static struct hvpm_vm *bystanders[NR_BYSTANDERS];
static struct hvpm_vm *vm;
static uint64_t rounds_with_accounts, answered_in_rounds;

/* The VP of each VM that counts its turns. */
static uint64_t turns(unsigned int i)
{
	return bystanders[i]->vps[bystanders[i]->nr_vps - 1].guest->data[TURNS];
}

/* Everybody runs: those who were never attached, and the VM that was. */
static void expect_all_alive(void)
{
	uint64_t before[NR_BYSTANDERS], exits = vm->vps[1].exits;
	unsigned int i;

	for (i = 0; i < NR_BYSTANDERS; i++)
		before[i] = turns(i);
	for (i = 0; i < NR_BYSTANDERS; i++)
		WAIT_UNTIL(turns(i) > before[i] + 1,
			   "a VM that was never attached stands still");
	if (stage == UNLOADED)
		WAIT_UNTIL(vm->vps[1].exits > exits + 1,
			   "no post comes to the VMM of the VM that was attached");
}

/* The poster pauses, and all that it was told of is there. */
static void expect_accounts(int partition, uint64_t before)
{
	volatile uint64_t *poster = vm->vps[1].guest->data;
	volatile uint64_t *taker = vm->vps[0].guest->data;
	struct hv_postmsg_port_stats stats;

	poster[PAUSE] = 1;
	WAIT_UNTIL(poster[PAUSED], "the poster does not pause");
	WAIT_UNTIL(taker[NEXT] == poster[ACCEPTED], "a message is not taken");
	hvpm_port_stats(partition, PORT, &stats);
	TEST_ASSERT(stats.posted == poster[ACCEPTED] - before &&
		    stats.delivered == stats.posted && !stats.queued,
		    "round %u: %lu accepted, statistics: %lu posted, %lu delivered, %lu queued",
		    current_round, poster[ACCEPTED] - before,
		    (unsigned long)stats.posted, (unsigned long)stats.delivered,
		    (unsigned long)stats.queued);
	rounds_with_accounts++;
}

/* Unloading has not even begun: from then on no hook is sure to be there. */
static void expect_live(void)
{
	char state[16] = "";
	int fd = open("/sys/module/" MODULE "/initstate", O_RDONLY | O_CLOEXEC);

	TEST_ASSERT(fd >= 0 && read(fd, state, sizeof(state) - 1) > 0 &&
		    !strncmp(state, "live", 4), "round %u: unloaded in use: %s",
		    current_round, state);
	close(fd);
}

static void run_round(unsigned int *seed, double *loading, double *unloading)
{
	volatile uint64_t *poster = vm->vps[1].guest->data;
	unsigned int posts = 1 + rand_r(seed) % 64;
	bool accounts = rand_r(seed) % 4 == 0;
	uint64_t before = poster[ACCEPTED];
	double start = now();
	int partition;

	stage = LOADING;
	load();
	*loading += now() - start;
	partition = attach(vm);
	stage = IN_USE;
	hvpm_create_port(partition, PORT, 0, SINT, 0, 0);
	hvpm_join(partition, CONNECTION, partition, PORT);
	WAIT_UNTIL(poster[ACCEPTED] >= before + posts, "posts are not accepted");
	if (rand_r(seed) % 8 == 0)
		expect_all_alive();
	if (accounts)
		expect_accounts(partition, before);
	usleep(rand_r(seed) % 3000);
	expect_live();

	start = now();
	stage = UNUSED;
	close(partition);
	poster[PAUSE] = 0;
	WAIT_UNTIL(stage == UNLOADED, "the module cannot be unloaded");
	*unloading += now() - start;
	answered_in_rounds += poster[ACCEPTED] - before;
	expect_all_alive();
}

static void start_all(unsigned int *seed)
{
	bystanders[0] = hvpm_vm_create(1, guest_poster);
	start(run_vp, &bystanders[0]->vps[0]);
	bystanders[1] = hvpm_vm_create(1, guest_sleeper);
	start(run_vp, &bystanders[1]->vps[0]);
	bystanders[2] = hvpm_vm_create(2, NULL);
	start(run_resets, bystanders[2]);

	vm = hvpm_vm_create_empty(2);
	start(run_vp, hvpm_vm_add_vp(vm, guest_taker, true));
	start(run_vp, hvpm_vm_add_vp(vm, guest_poster, true));
	start(try_to_unload, seed);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? atoi(argv[1]) : 0;
	unsigned int seed = argc > 2 ? strtoul(argv[2], NULL, 0) : time(NULL);
	double loading = 0, unloading = 0, start;
	uint64_t exits = 0, unattached = 0;
	unsigned int i;

	if (!rounds) {
		fprintf(stderr, "usage: reload ROUNDS [SEED]\n");
		return 2;
	}
	setbuf(stdout, NULL);
	printf("# seed %u\n", seed);
	start_all(&seed);
	expect_all_alive();
	start = now();
	for (current_round = 1; current_round <= rounds; current_round++) {
		run_round(&seed, &loading, &unloading);
		if (current_round % 50 == 0 || current_round == rounds)
			printf("# %u rounds, %.0f s\n", current_round, now() - start);
	}
	for (i = 0; i < NR_BYSTANDERS; i++)
		unattached += turns(i);
	exits = vm->vps[1].exits;
	printf("# a load took %.2f s, an unload %.2f s on the average\n",
	       loading / rounds, unloading / rounds);
	printf("# %lu posts accepted by the module, %lu messages taken, %lu posts to the VMM\n",
	       answered_in_rounds, vm->vps[0].guest->data[TAKEN], exits);
	printf("# %lu accounts balanced, %lu turns of VMs never attached\n",
	       rounds_with_accounts, unattached);
	printf("# unloading refused %lu times in use, %lu times before all files had closed\n",
	       refused_in_use, refused_unused);
	printf("%u rounds of load, run, unload\n", rounds);
	return 0;
}
