// SPDX-License-Identifier: GPL-2.0-only
/*
 * One who posts and another who receives, each counted apart
 *
 * Both take turns on the lab's one CPU.  The receiver is awake, that is in user space,
 * while the sender posts: KVM finds nobody to wake or to interrupt.  What waking
 * costs the sender in addition show the cases named _wake, where the receiver is
 * asleep in HLT or in read(); and the sender's priority lets it come back before the
 * receiver runs.
 */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Messages of one read(), and as many as a port has buffers. */
#define BATCH		16

/* What the host's call with nothing in it is: an ioctl that there is not. */
#define NO_IOCTL	_IO(HV_POSTMSG_IOC, 0xff)

/* More than it takes whoever was woken to sleep again: time passes faster, idle. */
#define UNTIL_ASLEEP_NS	500000

#define RECEIVED(vp)	((vp)->guest->data[BENCH_DATA_RECEIVED])

static struct bench_samples sent, received, idle, none;

static void reset_samples(void)
{
	sent.count = 0;
	received.count = 0;
	idle.count = 0;
	none.count = 0;
}

static void report_receiver(const char *name)
{
	bench_report(name, bench_median(&received) - bench_median(&idle));
}

/* A post in the guest of @vp; what it cost there. */
static uint64_t post_once(struct hvpm_vp *vp)
{
	return hvpm_vp_call(vp, bench_guest_post_once, 0);
}

/*
 * Enter a receiver's guest, which takes the message if there is one, and leave it:
 * what that costs.
 */
static uint64_t enter(struct hvpm_vp *vp)
{
	struct kvm_run *run = vp->vcpu->run;
	uint64_t start = rdtsc(), cost;
	int ret;

	ret = ioctl(vp->vcpu->fd, KVM_RUN, NULL);
	cost = rdtsc() - start;
	TEST_ASSERT(!ret && run->exit_reason == KVM_EXIT_IO &&
		    run->io.port == BENCH_RECEIVE_PORT, "receiver: exit %u (%s)",
		    run->exit_reason, exit_reason_str(run->exit_reason));
	return cost;
}

/* Have the receiver's guest wait for what comes: it does not come back. */
static void start_receiver(struct hvpm_vp *vp)
{
	vp->guest->argument[0] = (uint64_t)bench_guest_receive;
	vp->guest->command = HVPM_CALL;
	enter(vp);
}

static struct hvpm_vm *create_vm(unsigned int vps)
{
	struct hvpm_vm *vm = hvpm_vm_create(vps, NULL);
	unsigned int i;

	for (i = 0; i < vps; i++) {
		hvpm_vp_enable_synic(&vm->vps[i], BENCH_SINT);
		hvpm_vp_call(&vm->vps[i], bench_guest_settle, 0);
		hvpm_vp_fill(&vm->vps[i], 0, BENCH_CONNECTION, BENCH_TYPE,
			     HV_POSTMSG_PAYLOAD_MAX);
	}
	hvpm_vm_attach(vm, 0);
	return vm;
}

/* --- receivers that are asleep --- */

static void set_priority(int policy)
{
	const struct sched_param param = { .sched_priority = policy == SCHED_FIFO };

	TEST_ASSERT(!sched_setscheduler(0, policy, &param), "sched_setscheduler: %s",
		    strerror(errno));
}

/* Let the receiver run until it has @count messages, and then until it sleeps. */
static void let_run(volatile uint64_t *counter, uint64_t count)
{
	const struct timespec pause = { .tv_nsec = UNTIL_ASLEEP_NS };
	unsigned int tries = 100;

	while (*counter != count && --tries)
		nanosleep(&pause, NULL);
	TEST_ASSERT(tries, "%lu of %lu messages came", *counter, count);
	nanosleep(&pause, NULL);
}

/* Post to one who sleeps, and see in @counter that each message came. */
static void count_waking(struct hvpm_vp *sender, const char *name,
			 volatile uint64_t *counter)
{
	unsigned int i;

	reset_samples();
	set_priority(SCHED_FIFO);
	for (i = 0; i < BENCH_ROUNDS; i++) {
		let_run(counter, i);
		bench_add(&sent, post_once(sender));
		/* It has not run meanwhile. */
		TEST_ASSERT_EQ(*counter, i);
	}
	let_run(counter, i);
	set_priority(SCHED_OTHER);
	bench_report(name, bench_median(&sent));
}

/* --- from VP to VP --- */

static void count_awake(struct hvpm_vp *sender, struct hvpm_vp *receiver,
			const char *name, const char *receive)
{
	unsigned int i;

	reset_samples();
	start_receiver(receiver);
	for (i = 0; i < BENCH_ROUNDS; i++) {
		bench_add(&idle, enter(receiver));
		bench_add(&sent, post_once(sender));
		TEST_ASSERT_EQ(RECEIVED(receiver), i);
		bench_add(&received, enter(receiver));
		TEST_ASSERT_EQ(RECEIVED(receiver), i + 1);
	}
	bench_report(name, bench_median(&sent));
	report_receiver(receive);
}

/* Between two VPs, of one VM or of two. */
static void count_vps(unsigned int vms, const char *name, const char *receive,
		      const char *wake)
{
	struct hvpm_vm *vm = create_vm(3 - vms);
	struct hvpm_vm *other = vms == 2 ? create_vm(1) : vm;
	struct hvpm_vp *sender = &vm->vps[0];
	struct hvpm_vp *receiver = &other->vps[other->nr_vps - 1];

	hvpm_create_port(other->partition, BENCH_PORT, receiver->index, BENCH_SINT, 0, 0);
	hvpm_join(vm->partition, BENCH_CONNECTION, other->partition, BENCH_PORT);
	if (bench_wanted(wake, NULL)) {
		receiver->guest->argument[0] = (uint64_t)bench_guest_sleep;
		hvpm_vp_command_start(receiver, HVPM_CALL);
		count_waking(sender, wake, &RECEIVED(receiver));
		receiver->guest->data[BENCH_DATA_STOP] = 1;
		post_once(sender);
		hvpm_vp_command_join(receiver);
		RECEIVED(receiver) = 0;
	}
	if (bench_wanted(name, receive, NULL))
		count_awake(sender, receiver, name, receive);
	if (other != vm)
		hvpm_vm_free(other);
	hvpm_vm_free(vm);
}

/* --- from VP to endpoint --- */

static uint64_t read_messages(int endpoint, unsigned int count)
{
	static struct hv_postmsg_message messages[BATCH];
	uint64_t start = rdtsc(), cost;
	ssize_t size;

	size = read(endpoint, messages, sizeof(messages));
	cost = rdtsc() - start;
	TEST_ASSERT(size == count * sizeof(messages[0]), "%zd bytes read", size);
	TEST_ASSERT_EQ(messages[count - 1].type, BENCH_TYPE);
	return cost;
}

struct reader {
	pthread_t thread;
	int endpoint;
	volatile uint64_t received;
};

static void *read_asleep(void *arg)
{
	struct hv_postmsg_message message;
	struct reader *reader = arg;

	while (read(reader->endpoint, &message, sizeof(message)) == sizeof(message))
		reader->received++;
	return NULL;
}

static void count_endpoint(void)
{
	struct hvpm_vm *vm = create_vm(1);
	struct hvpm_vp *sender = &vm->vps[0];
	int host = hvpm_create_host_partition();
	struct reader reader = { .endpoint = hvpm_create_endpoint(host, 0) };
	unsigned int i, j;

	hvpm_create_endpoint_port(host, BENCH_PORT, reader.endpoint, 0, BATCH);
	hvpm_join(vm->partition, BENCH_CONNECTION, host, BENCH_PORT);

	if (bench_wanted("post_endpoint", "post_endpoint_read_1", NULL)) {
		reset_samples();
		for (i = 0; i < BENCH_ROUNDS; i++) {
			bench_add(&sent, post_once(sender));
			bench_add(&received, read_messages(reader.endpoint, 1));
		}
		bench_report("post_endpoint", bench_median(&sent));
		bench_report("post_endpoint_read_1", bench_median(&received));
	}
	if (bench_wanted("post_endpoint_read_16", NULL)) {
		reset_samples();
		for (i = 0; i < BENCH_ROUNDS; i++) {
			for (j = 0; j < BATCH; j++)
				post_once(sender);
			bench_add(&received, read_messages(reader.endpoint, BATCH));
		}
		bench_report("post_endpoint_read_16",
			     (bench_median(&received) + BATCH / 2) / BATCH);
	}
	if (bench_wanted("post_endpoint_wake", NULL)) {
		TEST_ASSERT(!pthread_create(&reader.thread, NULL, read_asleep, &reader),
			    "pthread_create");
		count_waking(sender, "post_endpoint_wake", &reader.received);
		/* The end of its last port is the end of the file. */
		hvpm_delete_port(host, BENCH_PORT);
		TEST_ASSERT(!pthread_join(reader.thread, NULL), "pthread_join");
	}
	close(reader.endpoint);
	hvpm_close_partition(host);
	hvpm_vm_free(vm);
}

/* --- from the host to a VP --- */

static void count_host(void)
{
	struct hvpm_vm *vm = create_vm(1);
	struct hvpm_vp *receiver = &vm->vps[0];
	int host = hvpm_create_host_partition();
	struct hv_postmsg_post post = {
		.size = sizeof(post),
		.connection_id = BENCH_CONNECTION,
		.message_type = BENCH_TYPE,
		.payload_size = HV_POSTMSG_PAYLOAD_MAX,
	};
	uint64_t start;
	unsigned int i;
	int ret;

	hvpm_create_port(vm->partition, BENCH_PORT, 0, BENCH_SINT, 0, 0);
	hvpm_join(host, BENCH_CONNECTION, vm->partition, BENCH_PORT);
	start_receiver(receiver);
	reset_samples();
	for (i = 0; i < BENCH_ROUNDS; i++) {
		start = rdtsc();
		ret = ioctl(host, NO_IOCTL, &post);
		bench_add(&none, rdtsc() - start);
		TEST_ASSERT(ret == -1 && errno == ENOTTY, "an ioctl that there is not");

		start = rdtsc();
		ret = ioctl(host, HV_POSTMSG_POST, &post);
		bench_add(&sent, rdtsc() - start);
		TEST_ASSERT(!ret && !post.status, "HV_POSTMSG_POST: status %#x",
			    post.status);
		enter(receiver);
		TEST_ASSERT_EQ(RECEIVED(receiver), i + 1);
	}
	bench_report("host_null", bench_median(&none));
	bench_report("host_post", bench_median(&sent));
	hvpm_close_partition(host);
	hvpm_vm_free(vm);
}

void bench_pair(void)
{
	if (bench_wanted("post_vp", "post_vp_receive", "post_vp_wake", NULL))
		count_vps(1, "post_vp", "post_vp_receive", "post_vp_wake");
	if (bench_wanted("post_vm", "post_vm_receive", "post_vm_wake", NULL))
		count_vps(2, "post_vm", "post_vm_receive", "post_vm_wake");
	if (bench_wanted("post_endpoint", "post_endpoint_read_1", "post_endpoint_read_16",
			 "post_endpoint_wake", NULL))
		count_endpoint();
	if (bench_wanted("host_null", "host_post", NULL))
		count_host();
}
