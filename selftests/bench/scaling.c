// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: bench_scaling
 *
 * Post on two CPUs at the same time, and mark what is to be looked at for the plugin
 * (plugin/lines.c): each hypercall, and each EOM that brings a message.  Run by
 * selftests/bench/scaling.  A line "phase NAME" for each phase:
 *
 *	warm_up
 *	null_apart	two VMs, a CPU each, make a call that does nothing
 *	self_apart	the two post to themselves
 *	post_apart	the two post to two other VMs, which take it on the same CPU
 *	port_N		N VPs of a VM, on both CPUs, post to one port
 */
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "scaling.h"

#define CPUS		2
#define TO_ITSELF	8

/* Buffers of a port, and so many posts in a row without anybody taking one. */
#define BATCH		16
/* Posts of a phase, of each pair or of all that post to one port. */
#define POSTS		3200
#define MAX_POSTERS	16

/* A phase takes seconds; SIGALRM ends one that does not end. */
#define PATIENCE_S	240

/* Let others run so often, at most, before the next try. */
#define MAX_WAIT	64

/* Leave the guest by this port to let others run. */
#define YIELD_PORT	0xe0

#define mark(which) \
	asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" \
		     : : "i"(BENCH_MARK + (which)) : "memory")

/* --- in the guest --- */

static uint64_t guest_null(struct hvpm_guest *guest, uint64_t calls)
{
	while (calls--) {
		mark(BENCH_BEGIN);
		hvpm_guest_hypercall(guest, BENCH_UNKNOWN_CALL, guest->input_gpa, 0);
		mark(BENCH_END_NULL);
	}
	return 0;
}

static uint64_t guest_post_self(struct hvpm_guest *guest, uint64_t posts)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];
	uint64_t status;

	while (posts--) {
		mark(BENCH_BEGIN);
		status = hvpm_guest_hypercall(guest, HVPM_POST, guest->input_gpa, 0);
		mark(BENCH_END_ACCEPTED);
		GUEST_ASSERT_EQ(status, HV_STATUS_SUCCESS);
		GUEST_ASSERT_EQ(slot->type, BENCH_TYPE);
		slot->type = 0;
	}
	return 0;
}

static void guest_yield(void)
{
	asm volatile("outb %%al, %0" : : "N"(YIELD_PORT) : "memory");
}

/* Have @posts accepted; where there is no room, wait, each time twice as long. */
static uint64_t guest_post(struct hvpm_guest *guest, uint64_t posts)
{
	unsigned int wait = 1, waited;
	uint64_t status;

	while (posts) {
		mark(BENCH_BEGIN);
		status = hvpm_guest_hypercall(guest, HVPM_POST, guest->input_gpa, 0);
		if (!status) {
			mark(BENCH_END_ACCEPTED);
			posts--;
			wait = 1;
			continue;
		}
		mark(BENCH_END_REFUSED);
		GUEST_ASSERT_EQ(status, HV_STATUS_INSUFFICIENT_BUFFERS);
		for (waited = 0; waited < wait; waited++)
			guest_yield();
		if (wait < MAX_WAIT)
			wait *= 2;
	}
	return 0;
}

static uint64_t guest_take(struct hvpm_guest *guest, uint64_t messages)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];

	while (messages) {
		if (!slot->type) {
			guest_yield();
			continue;
		}
		messages--;
		slot->type = 0;
		asm volatile("mfence" : : : "memory");
		if (slot->flags & HV_MESSAGE_FLAG_PENDING) {
			mark(BENCH_BEGIN);
			wrmsr(HV_X64_MSR_EOM, 0);
			mark(BENCH_END_TAKEN);
		}
	}
	return 0;
}

/* --- in the host --- */

/* Have the guest call @function(guest, @argument), and let others run meanwhile. */
static uint64_t call(struct hvpm_vp *vp,
		     uint64_t (*function)(struct hvpm_guest *, uint64_t),
		     uint64_t argument)
{
	struct kvm_run *run = vp->vcpu->run;

	vp->guest->argument[0] = (uint64_t)function;
	vp->guest->argument[1] = argument;
	vp->guest->command = HVPM_CALL;
	while (hvpm_vp_run(vp, NULL) != UCALL_SYNC) {
		TEST_ASSERT(run->exit_reason == KVM_EXIT_IO && run->io.port == YIELD_PORT,
			    "exit %u (%s)", run->exit_reason,
			    exit_reason_str(run->exit_reason));
		sched_yield();
	}
	return vp->guest->result[0];
}

static struct hvpm_vm *create_vm(unsigned int vps)
{
	struct hvpm_vm *vm = hvpm_vm_create(vps, NULL);
	unsigned int i;

	for (i = 0; i < vps; i++) {
		hvpm_vp_enable_synic(&vm->vps[i], BENCH_SINT);
		hvpm_vp_wrmsr(&vm->vps[i], HV_X64_MSR_SINT0 + BENCH_SINT,
			      HVPM_VECTOR(0, BENCH_SINT) | HV_SYNIC_SINT_POLLING);
		hvpm_vp_fill(&vm->vps[i], 0, BENCH_CONNECTION, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	}
	hvpm_vm_attach(vm, 0);
	return vm;
}

/* A VM that posts and, returned in @receiver, one with the port. */
static struct hvpm_vm *create_pair(unsigned int posters, struct hvpm_vm **receiver)
{
	struct hvpm_vm *sender = create_vm(posters);

	*receiver = create_vm(1);
	hvpm_create_port((*receiver)->partition, BENCH_PORT, 0, BENCH_SINT, 0, BATCH);
	hvpm_join(sender->partition, BENCH_CONNECTION, (*receiver)->partition, BENCH_PORT);
	return sender;
}

static void end_phase(const char *name)
{
	mark(BENCH_END_PHASE);
	printf("phase %s\n", name);
	fflush(stdout);
	alarm(PATIENCE_S);
}

/* --- apart --- */

static const char *const apart[] = { "warm_up", "null_apart", "self_apart", "post_apart" };

static void post_apart(struct hvpm_vp *sender, struct hvpm_vp *receiver,
		       unsigned int posts)
{
	for (; posts; posts -= BATCH) {
		call(sender, guest_post, BATCH);
		call(receiver, guest_take, BATCH);
	}
}

/* One of the two, a process: @barrier before each phase and behind it. */
static void run_apart(unsigned int cpu, pthread_barrier_t *barrier)
{
	struct hvpm_vm *receiver, *sender;
	struct hvpm_vp *vp;

	kvm_pin_this_task_to_pcpu(cpu);
	sender = create_pair(1, &receiver);
	vp = &sender->vps[0];
	hvpm_create_port(sender->partition, BENCH_PORT, 0, BENCH_SINT, 0, BATCH);
	hvpm_join(sender->partition, TO_ITSELF, sender->partition, BENCH_PORT);

	pthread_barrier_wait(barrier);
	call(vp, guest_null, BATCH);
	post_apart(vp, &receiver->vps[0], 4 * BATCH);
	hvpm_vp_fill(vp, 0, TO_ITSELF, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	call(vp, guest_post_self, BATCH);
	pthread_barrier_wait(barrier);

	pthread_barrier_wait(barrier);
	call(vp, guest_null, POSTS);
	pthread_barrier_wait(barrier);

	pthread_barrier_wait(barrier);
	call(vp, guest_post_self, POSTS);
	pthread_barrier_wait(barrier);

	hvpm_vp_fill(vp, 0, BENCH_CONNECTION, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	pthread_barrier_wait(barrier);
	post_apart(vp, &receiver->vps[0], POSTS);
	pthread_barrier_wait(barrier);

	hvpm_vm_free(sender);
	hvpm_vm_free(receiver);
}

static void measure_apart(void)
{
	pthread_barrierattr_t attributes;
	pthread_barrier_t *barrier;
	int sockets[2], status;
	pid_t child[CPUS];
	unsigned int i;

	barrier = mmap(NULL, sizeof(*barrier), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(barrier != MAP_FAILED, "mmap: %s", strerror(errno));
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(barrier, &attributes, CPUS + 1);
	for (i = 0; i < CPUS; i++)
		if (hvpm_spawn(&child[i], sockets)) {
			run_apart(i, barrier);
			_exit(0);
		}
	for (i = 0; i < ARRAY_SIZE(apart); i++) {
		pthread_barrier_wait(barrier);
		pthread_barrier_wait(barrier);
		end_phase(apart[i]);
	}
	for (i = 0; i < CPUS; i++)
		TEST_ASSERT(waitpid(child[i], &status, 0) == child[i] && !status,
			    "a child ended with %#x", status);
}

/* --- to one port --- */

/**
 * struct poster - a thread that has a VP post, or take what comes
 *
 * @vp: the VP
 * @function: what its guest does
 * @count: so many times
 * @cpu: on this CPU
 * @thread: the thread
 */
struct poster {
	struct hvpm_vp *vp;
	uint64_t (*function)(struct hvpm_guest *guest, uint64_t count);
	uint64_t count;
	unsigned int cpu;
	pthread_t thread;
};

static void *run_poster(void *arg)
{
	struct poster *poster = arg;

	kvm_pin_this_task_to_pcpu(poster->cpu);
	call(poster->vp, poster->function, poster->count);
	return NULL;
}

static void measure_port(struct hvpm_vm *sender, struct hvpm_vm *receiver,
			 unsigned int posters)
{
	struct poster all[MAX_POSTERS + 1];
	unsigned int i;
	char name[16];

	for (i = 0; i <= posters; i++) {
		all[i].vp = &sender->vps[i];
		all[i].function = guest_post;
		all[i].count = POSTS / posters;
		all[i].cpu = i % CPUS;
	}
	all[posters].vp = &receiver->vps[0];
	all[posters].function = guest_take;
	all[posters].count = POSTS;
	all[posters].cpu = CPUS - 1;
	for (i = 0; i <= posters; i++)
		TEST_ASSERT(!pthread_create(&all[i].thread, NULL, run_poster, &all[i]),
			    "pthread_create");
	for (i = 0; i <= posters; i++)
		TEST_ASSERT(!pthread_join(all[i].thread, NULL), "pthread_join");
	snprintf(name, sizeof(name), "port_%u", posters);
	end_phase(name);
}

int main(void)
{
	struct hvpm_vm *sender, *receiver;
	unsigned int posters;

	alarm(PATIENCE_S);
	measure_apart();
	sender = create_pair(MAX_POSTERS, &receiver);
	for (posters = 1; posters <= MAX_POSTERS; posters *= 2)
		measure_port(sender, receiver, posters);
	hvpm_vm_free(sender);
	hvpm_vm_free(receiver);
	return 0;
}
