// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lifetimes: attach and detach, processes that die, files that outlive them
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "absent_page.h"
#include "hvpm_test.h"

#define PORT		1
#define CONNECTION	1
#define SINT		2
#define TYPE		1
#define SIZE		64

/* How long something that is to happen by itself may take, in ms. */
#define PATIENCE	30000

/* --- guests that post, or receive, until told to stop --- */

enum {
	DATA_STOP,		/* stop */
	DATA_POSTED,		/* posts accepted */
	DATA_CALLS,		/* posts tried */
	DATA_RECEIVED,		/* messages taken */
	DATA_STATUS = 32,	/* posts by status */
};

static void guest_post_forever(struct hvpm_guest *guest)
{
	uint16_t status;

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	GUEST_SYNC(0);
	while (!guest->data[DATA_STOP]) {
		status = hvpm_guest_post(guest, CONNECTION, TYPE, SIZE,
					 guest->vp, guest->data[DATA_POSTED]);
		GUEST_ASSERT(status < 32);
		guest->data[DATA_STATUS + status]++;
		guest->data[DATA_CALLS]++;
		if (status == HV_STATUS_SUCCESS)
			guest->data[DATA_POSTED]++;
	}
	GUEST_DONE();
}

/* The numbers only rise: a sender may be cut off at any moment. */
static void guest_receive_forever(struct hvpm_guest *guest)
{
	struct hvpm_payload head = { 0 };
	uint64_t next[2] = { 0 };

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	GUEST_SYNC(0);
	while (!guest->data[DATA_STOP]) {
		if (!hvpm_guest_take(guest, SINT, &guest->message)) {
			cpu_relax();
			continue;
		}
		GUEST_ASSERT(hvpm_payload_check(guest->message.payload,
						guest->message.type,
						guest->message.payload_size,
						&head));
		GUEST_ASSERT(head.sender < 2);
		GUEST_ASSERT(head.sequence >= next[head.sender]);
		next[head.sender] = head.sequence + 1;
		guest->data[DATA_RECEIVED]++;
	}
	GUEST_DONE();
}

static void make_ready(struct hvpm_vp *vp)
{
	uint64_t ucall = hvpm_vp_run(vp, NULL);

	TEST_ASSERT(ucall == UCALL_SYNC, "VP %u: ucall %lu", vp->index, ucall);
}

static void stop(struct hvpm_vp *vp)
{
	vp->guest->data[DATA_STOP] = 1;
	hvpm_vp_join(vp);
}

/* Wait until a counter of the guest has moved by @count. */
static void wait_for(volatile uint64_t *counter, uint64_t count)
{
	uint64_t start = *counter;
	unsigned int i;

	for (i = 0; i < PATIENCE && *counter - start < count; i++)
		usleep(1000);
	TEST_ASSERT(*counter - start >= count, "%lu of %lu in %u s",
		    *counter - start, count, PATIENCE / 1000);
}

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Wait until a counter of the guest is not 0 any more. */
static void wait_for_first(volatile uint32_t *counter)
{
	time_t end = seconds() + PATIENCE / 1000;

	while (!*counter && seconds() < end)
		usleep(1000);
	TEST_ASSERT(*counter, "nothing in %u s", PATIENCE / 1000);
}

/* --- what a module is used by --- */

static const char *vendor_module(void)
{
	return access("/sys/module/kvm_amd", F_OK) ? "kvm_intel" : "kvm_amd";
}

static long module_refs(const char *module)
{
	char path[128], text[32] = { 0 };
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module);
	fd = open(path, O_RDONLY);
	TEST_ASSERT(fd >= 0, "open(%s): %s", path, strerror(errno));
	TEST_ASSERT(read(fd, text, sizeof(text) - 1) > 0, "read(%s)", path);
	close(fd);
	return atol(text);
}

/* The references go when the last user is really gone, which takes a while. */
static void expect_refs(const char *module, long refs)
{
	unsigned int i;

	for (i = 0; i < PATIENCE / 10 && module_refs(module) != refs; i++)
		usleep(10000);
	TEST_ASSERT(module_refs(module) == refs, "%s is used by %ld, not %ld",
		    module, module_refs(module), refs);
}

FIXTURE(life) {
	long refs;
	long vendor_refs;
	long kvm_refs;
};

/* What another test has left is still going: wait until nothing moves. */
static long settled_refs(const char *module)
{
	long refs = module_refs(module), before;
	unsigned int still = 0;

	while (still < 30) {
		before = refs;
		usleep(10000);
		refs = module_refs(module);
		still = refs == before ? still + 1 : 0;
	}
	return refs;
}

FIXTURE_SETUP(life)
{
	/* The device stays open from here to the end of the case. */
	hvpm_device();
	self->refs = settled_refs("hv_postmsg");
	self->vendor_refs = settled_refs(vendor_module());
	self->kvm_refs = module_refs("kvm");
}

/* Nothing the case made is left, whoever made it. */
FIXTURE_TEARDOWN(life)
{
	expect_refs("hv_postmsg", self->refs);
	expect_refs(vendor_module(), self->vendor_refs);
	expect_refs("kvm", self->kvm_refs);
}

/* --- children --- */

static void kill_child(pid_t child)
{
	int status;

	TEST_ASSERT(!kill(child, SIGKILL), "kill: %s", strerror(errno));
	TEST_ASSERT(waitpid(child, &status, 0) == child, "waitpid: %s",
		    strerror(errno));
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		    "the child had ended before: status 0x%x", status);
}

/* --- attach and detach --- */

TEST_F(life, attach_again)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hv_postmsg_message message;
	struct hvpm_vp *vp = &vm->vps[0];
	unsigned int i;

	hvpm_vp_enable_synic(vp, SINT);
	for (i = 0; i < 5; i++) {
		hvpm_vm_attach(vm, 0);
		hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
		hvpm_join(vm->partition, CONNECTION, vm->partition, PORT);
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(vp, CONNECTION, TYPE, SIZE, 0, i));
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(vp, CONNECTION, TYPE, SIZE, 0, i));
		/* One is in the slot, and stays; the queued one goes. */
		hvpm_close_partition(vm->partition);
		vm->partition = -1;
		EXPECT_TRUE(hvpm_vp_take(vp, SINT, &message));
		EXPECT_FALSE(hvpm_vp_take(vp, SINT, &message));
	}
	hvpm_vm_free(vm);
}

/* Detached, the VM is as it was before it was attached. */
TEST_F(life, detached_is_as_not_attached)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hvpm_vp *vp = &vm->vps[0];
	struct kvm_run *run = vp->vcpu->run;

	hvpm_vp_enable_synic(vp, SINT);
	hvpm_vm_attach(vm, 0);
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID,
		  hvpm_vp_post(vp, CONNECTION, TYPE, SIZE, 0, 0));
	EXPECT_EQ(0, vp->exits);
	close(vm->partition);
	vm->partition = -1;

	vp->guest->command = HVPM_HYPERCALL;
	ASSERT_EQ(UCALL_NONE, hvpm_vp_run(vp, NULL));
	ASSERT_EQ(KVM_EXIT_HYPERV, run->exit_reason);
	EXPECT_EQ(KVM_EXIT_HYPERV_HCALL, run->hyperv.type);
	EXPECT_EQ(HVPM_POST, run->hyperv.u.hcall.input);
	EXPECT_EQ(vp->guest->input_gpa, run->hyperv.u.hcall.params[0]);
	run->hyperv.u.hcall.result = HV_STATUS_INSUFFICIENT_BUFFERS;
	ASSERT_EQ(UCALL_SYNC, hvpm_vp_run(vp, NULL));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, vp->guest->result[0]);
	hvpm_vm_free(vm);
}

/* A VM beside an attached one notices nothing. */
TEST_F(life, neighbour_not_attached)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hvpm_vm *neighbour = hvpm_vm_create(1, NULL);
	struct hvpm_vp *vp = &neighbour->vps[0];

	hvpm_vm_attach(vm, 0);
	hvpm_vp_enable_synic(vp, SINT);
	hvpm_vp_fill(vp, 0, CONNECTION, TYPE, SIZE);
	vp->guest->command = HVPM_HYPERCALL;
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = vp->guest->input_gpa;
	ASSERT_EQ(UCALL_NONE, hvpm_vp_run(vp, NULL));
	EXPECT_EQ(KVM_EXIT_HYPERV, vp->vcpu->run->exit_reason);
	hvpm_vm_free(neighbour);
	hvpm_vm_free(vm);
}

/* A vCPU that comes after the attach is a VP like the others. */
TEST_F(life, vp_created_after_attach)
{
	struct hvpm_vm *vm = hvpm_vm_create_empty(2);
	struct hv_postmsg_message message;
	struct hvpm_vp *vp;
	unsigned int i;

	hvpm_vm_attach(vm, 0);
	for (i = 0; i < 2; i++) {
		vp = hvpm_vm_add_vp(vm, NULL, true);
		hvpm_create_port(vm->partition, PORT + i, i, SINT, 0, 0);
		hvpm_join(vm->partition, CONNECTION + i, vm->partition, PORT + i);
		hvpm_vp_enable_synic(vp, SINT);
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(vp, CONNECTION + i, TYPE, SIZE, 0, i));
		EXPECT_TRUE(hvpm_vp_take(vp, SINT, &message));
	}
	hvpm_vm_free(vm);
}

/* The partition is all that is left of the VM: it still answers, then goes. */
TEST_F(life, vm_files_closed_first)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	int host = hvpm_create_host_partition();
	struct hv_postmsg_port_stats stats;
	int partition, i;

	partition = hvpm_vm_attach(vm, 0);
	hvpm_create_port(partition, PORT, 0, SINT, 0, 0);
	hvpm_join(host, CONNECTION, partition, PORT);
	hvpm_vp_enable_synic(&vm->vps[0], SINT);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(host, CONNECTION, TYPE, SIZE,
				    HV_POSTMSG_POST_NONBLOCK, 0, i));
	vm->partition = -1;
	hvpm_vm_free(vm);
	hvpm_port_stats(partition, PORT, &stats);
	EXPECT_EQ(16, stats.queued);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
		  hvpm_post(host, CONNECTION, TYPE, SIZE,
			    HV_POSTMSG_POST_NONBLOCK, 0, 0));
	hvpm_reset_vp(partition, 0);
	hvpm_port_stats(partition, PORT, &stats);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_post(host, CONNECTION, TYPE, SIZE,
			    HV_POSTMSG_POST_NONBLOCK, 0, 0));
	close(partition);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
		  hvpm_post(host, CONNECTION, TYPE, SIZE,
			    HV_POSTMSG_POST_NONBLOCK, 0, 0));
	close(host);
}

/* --- changes while VPs post --- */

struct traffic {
	struct hvpm_vm *from;
	struct hvpm_vm *to;
};

/* Two VPs post to a VP of another VM, all running. */
static void start_traffic(struct traffic *traffic)
{
	unsigned int i;

	traffic->from = hvpm_vm_create(2, guest_post_forever);
	traffic->to = hvpm_vm_create(1, guest_receive_forever);
	hvpm_vm_attach(traffic->from, 0);
	hvpm_vm_attach(traffic->to, 0);
	hvpm_create_port(traffic->to->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(traffic->from->partition, CONNECTION, traffic->to->partition,
		  PORT);
	make_ready(&traffic->to->vps[0]);
	hvpm_vp_start(&traffic->to->vps[0]);
	for (i = 0; i < 2; i++) {
		make_ready(&traffic->from->vps[i]);
		hvpm_vp_start(&traffic->from->vps[i]);
	}
	wait_for(&traffic->to->vps[0].guest->data[DATA_RECEIVED], 20);
}

static uint64_t statuses(struct traffic *traffic, uint16_t status)
{
	return traffic->from->vps[0].guest->data[DATA_STATUS + status] +
	       traffic->from->vps[1].guest->data[DATA_STATUS + status];
}

/* Stop, and check that every post got one of the two or three right answers. */
static void end_traffic(struct traffic *traffic, uint16_t refusal)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		stop(&traffic->from->vps[i]);
	stop(&traffic->to->vps[0]);
	for (i = 0; i < 32; i++)
		TEST_ASSERT(i == HV_STATUS_SUCCESS || i == refusal ||
			    i == HV_STATUS_INSUFFICIENT_BUFFERS ||
			    !statuses(traffic, i),
			    "status 0x%x: %lu times", i, statuses(traffic, i));
	printf("# posted %lu, no buffer %lu, refused with 0x%x %lu, received %lu\n",
	       statuses(traffic, HV_STATUS_SUCCESS),
	       statuses(traffic, HV_STATUS_INSUFFICIENT_BUFFERS), refusal,
	       statuses(traffic, refusal),
	       traffic->to->vps[0].guest->data[DATA_RECEIVED]);
	hvpm_vm_free(traffic->from);
	hvpm_vm_free(traffic->to);
}

TEST_F(life, delete_port_while_posting)
{
	struct hv_postmsg_partition_stats stats;
	struct traffic traffic;
	unsigned int i;

	start_traffic(&traffic);
	for (i = 0; i < 50; i++) {
		hvpm_delete_port(traffic.to->partition, PORT);
		hvpm_create_port(traffic.to->partition, PORT, 0, SINT, 0, 0);
		hvpm_disconnect(traffic.from->partition, CONNECTION);
		hvpm_join(traffic.from->partition, CONNECTION,
			  traffic.to->partition, PORT);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	hvpm_delete_port(traffic.to->partition, PORT);
	hvpm_partition_stats(traffic.to->partition, &stats);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(stats.posted, stats.delivered + stats.freed);
	/* 0x12 between disconnect and connect, 0x11 before. */
	for (i = 0; i < 2; i++)
		traffic.from->vps[i].guest->data[DATA_STATUS +
			HV_STATUS_INVALID_CONNECTION_ID] = 0;
	end_traffic(&traffic, HV_STATUS_INVALID_PORT_ID);
}

TEST_F(life, disconnect_while_posting)
{
	struct traffic traffic;
	unsigned int i;

	start_traffic(&traffic);
	for (i = 0; i < 100; i++) {
		hvpm_disconnect(traffic.from->partition, CONNECTION);
		hvpm_join(traffic.from->partition, CONNECTION,
			  traffic.to->partition, PORT);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	hvpm_check_port(traffic.to->partition, PORT);
	end_traffic(&traffic, HV_STATUS_INVALID_CONNECTION_ID);
}

TEST_F(life, state_changes_while_posting)
{
	struct traffic traffic;
	unsigned int i;

	start_traffic(&traffic);
	for (i = 0; i < 100; i++) {
		hvpm_set_state(traffic.to->partition, HV_POSTMSG_STATE_INACTIVE);
		hvpm_set_state(traffic.to->partition, HV_POSTMSG_STATE_ACTIVE);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	end_traffic(&traffic, HV_STATUS_INVALID_PORT_ID);
}

TEST_F(life, reset_vp_while_posting)
{
	struct hv_postmsg_port_stats stats;
	struct traffic traffic;
	unsigned int i;

	start_traffic(&traffic);
	for (i = 0; i < 100; i++) {
		hvpm_reset_vp(traffic.to->partition, 0);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	for (i = 0; i < 2; i++)
		stop(&traffic.from->vps[i]);
	stop(&traffic.to->vps[0]);
	hvpm_check_port(traffic.to->partition, PORT);
	hvpm_port_stats(traffic.to->partition, PORT, &stats);
	EXPECT_EQ(statuses(&traffic, HV_STATUS_SUCCESS), stats.posted);
	hvpm_vm_free(traffic.from);
	hvpm_vm_free(traffic.to);
}

/* Ports of the same tree come and go around the one that is looked up. */
TEST_F(life, other_ports_while_posting)
{
	unsigned int i, round;
	struct traffic traffic;

	start_traffic(&traffic);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 40; i++) {
			hvpm_create_port(traffic.to->partition,
					 PORT + 1 + i * 7 % 40, 0, SINT, 0, 1);
			hvpm_join(traffic.from->partition,
				  CONNECTION + 1 + i * 11 % 40,
				  traffic.to->partition, PORT + 1 + i * 7 % 40);
		}
		for (i = 0; i < 40; i++) {
			hvpm_disconnect(traffic.from->partition,
					CONNECTION + 1 + i * 3 % 40);
			hvpm_delete_port(traffic.to->partition,
					 PORT + 1 + i * 13 % 40);
		}
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	/* Every lookup of the connection found it. */
	EXPECT_EQ(0, statuses(&traffic, HV_STATUS_INVALID_CONNECTION_ID));
	end_traffic(&traffic, HV_STATUS_INSUFFICIENT_BUFFERS);
}

TEST_F(life, receiver_detached_while_posting)
{
	struct traffic traffic;
	unsigned int i;

	start_traffic(&traffic);
	for (i = 0; i < 10; i++) {
		close(traffic.to->partition);
		traffic.to->partition = -1;
		wait_for(&traffic.from->vps[0].guest->data[DATA_STATUS +
			 HV_STATUS_INVALID_PORT_ID], 1);
		hvpm_vm_attach(traffic.to, 0);
		hvpm_create_port(traffic.to->partition, PORT, 0, SINT, 0, 0);
		hvpm_disconnect(traffic.from->partition, CONNECTION);
		hvpm_join(traffic.from->partition, CONNECTION,
			  traffic.to->partition, PORT);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
	}
	for (i = 0; i < 2; i++)
		traffic.from->vps[i].guest->data[DATA_STATUS +
			HV_STATUS_INVALID_CONNECTION_ID] = 0;
	end_traffic(&traffic, HV_STATUS_INVALID_PORT_ID);
}

/* Runs a posting VP whose VM is not always attached. */
static void *run_as_vmm(void *arg)
{
	struct hvpm_vp *vp = arg;

	for (;;) {
		switch (hvpm_vp_run(vp, NULL)) {
		case UCALL_DONE:
			return NULL;
		case UCALL_NONE:
			TEST_ASSERT(vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV,
				    "exit %u", vp->vcpu->run->exit_reason);
			vp->vcpu->run->hyperv.u.hcall.result =
				HV_STATUS_INVALID_HYPERCALL_CODE;
			break;
		}
	}
}

TEST_F(life, sender_detached_while_posting)
{
	struct traffic traffic;
	unsigned int i;

	traffic.from = hvpm_vm_create(2, guest_post_forever);
	traffic.to = hvpm_vm_create(1, guest_receive_forever);
	hvpm_vm_attach(traffic.to, 0);
	hvpm_create_port(traffic.to->partition, PORT, 0, SINT, 0, 0);
	make_ready(&traffic.to->vps[0]);
	hvpm_vp_start(&traffic.to->vps[0]);
	for (i = 0; i < 2; i++) {
		make_ready(&traffic.from->vps[i]);
		ASSERT_EQ(0, pthread_create(&traffic.from->vps[i].thread, NULL,
					    run_as_vmm, &traffic.from->vps[i]));
	}
	for (i = 0; i < 10; i++) {
		wait_for(&traffic.from->vps[1].guest->data[DATA_STATUS +
			 HV_STATUS_INVALID_HYPERCALL_CODE], 2);
		hvpm_vm_attach(traffic.from, 0);
		hvpm_join(traffic.from->partition, CONNECTION,
			  traffic.to->partition, PORT);
		wait_for(&traffic.to->vps[0].guest->data[DATA_RECEIVED], 5);
		close(traffic.from->partition);
		traffic.from->partition = -1;
	}
	for (i = 0; i < 2; i++) {
		stop(&traffic.from->vps[i]);
		EXPECT_LT(0, traffic.from->vps[i].exits);
	}
	stop(&traffic.to->vps[0]);
	hvpm_check_port(traffic.to->partition, PORT);
	hvpm_vm_free(traffic.from);
	hvpm_vm_free(traffic.to);
}

/* --- the next port of the same ID, and the same port after a pause --- */

/* A host process posts to a VM of one VP, a step at a time. */
struct steps {
	struct hvpm_vm *vm;
	struct hvpm_vp *vp;
	int host;
};

static void start_steps(struct steps *steps)
{
	steps->vm = hvpm_vm_create(1, NULL);
	steps->vp = &steps->vm->vps[0];
	hvpm_vm_attach(steps->vm, 0);
	steps->host = hvpm_create_host_partition();
	hvpm_vp_enable_synic(steps->vp, SINT);
}

static void end_steps(struct steps *steps)
{
	close(steps->host);
	hvpm_vm_free(steps->vm);
}

static uint32_t step_post(struct steps *steps, uint32_t connection,
			  uint64_t sequence)
{
	return hvpm_post(steps->host, connection, TYPE, SIZE,
			 HV_POSTMSG_POST_NONBLOCK, 0, sequence);
}

/* The number of the message that the VP takes next; -1 if there is none. */
static int step_take(struct steps *steps)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head;

	if (!hvpm_vp_take(steps->vp, SINT, &message))
		return -1;
	TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
				       message.payload_size, &head),
		    "damaged message");
	TEST_ASSERT(message.port_id == PORT, "message of port %llu",
		    message.port_id);
	return head.sequence;
}

/*
 * Ports follow one another under one ID. What belonged to one of them, messages,
 * counters, connections, files, is not its successor's, and never becomes it.
 */
TEST_F(life, port_created_anew_inherits_nothing)
{
	const unsigned int ports = 4;
	struct hv_postmsg_port_stats stats;
	struct steps steps;
	int port_fd[4];
	unsigned int i, old;

	start_steps(&steps);
	for (i = 0; i < ports; i++) {
		hvpm_create_port(steps.vm->partition, PORT, 0, SINT, 0, 5 + i);
		port_fd[i] = hvpm_port_fd(steps.vm->partition, PORT);
		/* It is not shared, and nobody is connected to it yet. */
		hvpm_connect(steps.host, CONNECTION + i, port_fd[i], 0);
		hvpm_port_stats(steps.vm->partition, PORT, &stats);
		EXPECT_EQ(5 + i, stats.buffers);
		EXPECT_EQ(5 + i, stats.free);
		EXPECT_EQ(0, stats.high_water);
		EXPECT_EQ(0, stats.posted);
		EXPECT_EQ(0, stats.delivered);
		EXPECT_EQ(0, stats.freed);
		EXPECT_EQ(0, stats.queued);

		/* Whoever was connected to a predecessor still is. */
		for (old = 0; old < i; old++) {
			EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
				  step_post(&steps, CONNECTION + old, 0));
			EXPECT_EQ(-1, __hvpm_connect(steps.host, CONNECTION + 9,
						     port_fd[old], 0));
			EXPECT_EQ(ENXIO, errno);
			EXPECT_EQ(-1, __hvpm_connect(steps.host, CONNECTION + old,
						     port_fd[i], 0));
			EXPECT_EQ(EEXIST, errno);
		}
		hvpm_port_stats(steps.vm->partition, PORT, &stats);
		EXPECT_EQ(0, stats.refused_port);
		EXPECT_EQ(0, stats.posted);

		/* The last one's message is in the slot, and what was queued is gone. */
		if (i) {
			hvpm_vp_poke(steps.vp);
			EXPECT_EQ(100 * (i - 1), step_take(&steps));
			EXPECT_EQ(-1, step_take(&steps));
		}
		for (old = 0; old < 5; old++)
			EXPECT_EQ(HV_STATUS_SUCCESS,
				  step_post(&steps, CONNECTION + i, 100 * i + old));
		hvpm_vp_poke(steps.vp);
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  step_post(&steps, CONNECTION + i, 100 * i + 5));
		hvpm_port_stats(steps.vm->partition, PORT, &stats);
		EXPECT_EQ(6, stats.posted);
		EXPECT_EQ(1, stats.delivered);
		EXPECT_EQ(5, stats.queued);
		if (i < ports - 1)
			hvpm_delete_port(steps.vm->partition, PORT);
	}

	/* Their ends do not touch the last. */
	for (old = 0; old < ports - 1; old++) {
		hvpm_disconnect(steps.host, CONNECTION + old);
		close(port_fd[old]);
		EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID,
			  step_post(&steps, CONNECTION + old, 0));
	}
	for (i = 0; i < 6; i++)
		EXPECT_EQ(100 * (ports - 1) + i, step_take(&steps));
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  step_post(&steps, CONNECTION + ports - 1, 999));
	hvpm_vp_poke(steps.vp);
	EXPECT_EQ(999, step_take(&steps));
	EXPECT_EQ(-1, step_take(&steps));
	hvpm_check_port(steps.vm->partition, PORT);
	close(port_fd[ports - 1]);
	end_steps(&steps);
}

/*
 * A partition that is inactive for a while keeps what is queued, its ports, and
 * who is connected to them; it accepts nothing, and then goes on where it was.
 */
TEST_F(life, inactive_and_active_again)
{
	struct hv_postmsg_partition_stats stats;
	unsigned int round, next = 0, taken = 0;
	struct steps steps;
	int port_fd;

	start_steps(&steps);
	hvpm_create_port(steps.vm->partition, PORT, 0, SINT,
			 HV_POSTMSG_PORT_SHARED, 0);
	port_fd = hvpm_port_fd(steps.vm->partition, PORT);
	hvpm_connect(steps.host, CONNECTION, port_fd, 0);
	for (round = 0; round < 4; round++) {
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  step_post(&steps, CONNECTION, next++));
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  step_post(&steps, CONNECTION, next++));
		hvpm_set_state(steps.vm->partition, HV_POSTMSG_STATE_INACTIVE);
		EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
			  step_post(&steps, CONNECTION, 1000));
		/* Every other time the VP takes one meanwhile. */
		if (round % 2) {
			hvpm_vp_poke(steps.vp);
			EXPECT_EQ(taken++, step_take(&steps));
		}
		hvpm_set_state(steps.vm->partition, HV_POSTMSG_STATE_ACTIVE);
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  step_post(&steps, CONNECTION, next++));
	}
	hvpm_partition_stats(steps.vm->partition, &stats);
	EXPECT_EQ(12, stats.posted);
	EXPECT_EQ(0, stats.freed);
	EXPECT_EQ(1, stats.ports);
	hvpm_partition_stats(steps.host, &stats);
	EXPECT_EQ(12, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(4, stats.status[HV_STATUS_INVALID_PORT_ID]);
	EXPECT_EQ(1, stats.connections);

	/* The file of before is one of the same port. */
	hvpm_connect(steps.host, CONNECTION + 1, port_fd, 0);
	close(port_fd);
	EXPECT_EQ(HV_STATUS_SUCCESS, step_post(&steps, CONNECTION + 1, next++));
	hvpm_vp_poke(steps.vp);
	while (taken < next)
		EXPECT_EQ(taken++, step_take(&steps));
	EXPECT_EQ(-1, step_take(&steps));
	hvpm_check_port(steps.vm->partition, PORT);
	end_steps(&steps);
}

/* --- everything at once --- */

#define CROWD		3		/* VMs */
#define CROWD_VPS	2		/* VPs of each, with a port each */
#define TARGETS		(CROWD * CROWD_VPS)
#define ROUNDS		32		/* ports deleted by each VM's owner */
#define GENERATIONS	64		/* of a port's ID, at most */

/*
 * Each generation of a port has connections of its own, so a message tells by
 * its type, which is its connection's ID, whose it was.
 */
#define CROWD_ID(target, generation) \
	(1 + (target) * GENERATIONS + (generation))

/**
 * struct ledger - what the VPs of one VM have done, in the VM's memory
 *
 * @connection: IDs to post to
 * @accepted: messages accepted, by VP, target and generation
 * @received: messages taken, by VP, sender and generation
 * @newest: newest generation seen, by VP and sender
 * @status: answers, by VP and status
 */
struct ledger {
	volatile uint32_t connection[TARGETS];
	volatile uint32_t accepted[CROWD_VPS][TARGETS][GENERATIONS];
	volatile uint32_t received[CROWD_VPS][TARGETS][GENERATIONS];
	volatile uint32_t newest[CROWD_VPS][TARGETS];
	volatile uint64_t status[CROWD_VPS][32];
};

static struct ledger ledger;

/* What a VP of the crowd finds in guest->data, beside DATA_STOP. */
enum {
	DATA_VM = 8,		/* which VM it is in */
	DATA_QUIET,		/* it does not post any more */
};

enum {
	CROWD_GO,
	CROWD_BE_QUIET,		/* do not post any more, but receive */
	CROWD_END,
};

static unsigned int crowd_self(struct hvpm_guest *guest)
{
	return guest->data[DATA_VM] * CROWD_VPS + guest->vp;
}

static void crowd_post(struct hvpm_guest *guest, unsigned int target)
{
	uint32_t id = ledger.connection[target];
	volatile uint32_t *accepted =
		&ledger.accepted[guest->vp][target][(id - 1) % GENERATIONS];
	uint16_t status;

	status = hvpm_guest_post(guest, id, id, hvpm_vary_size(*accepted),
				 crowd_self(guest), *accepted);
	GUEST_ASSERT(status < 32);
	ledger.status[guest->vp][status % 32]++;
	if (status == HV_STATUS_SUCCESS)
		++*accepted;
}

/*
 * Of the messages of one sender to one generation, what is freed is the end;
 * and none comes after one to the port's successor.
 */
static bool crowd_take(struct hvpm_guest *guest)
{
	struct hv_postmsg_message *message = &guest->message;
	unsigned int target, generation;
	struct hvpm_payload head;

	if (!hvpm_guest_take(guest, SINT, message))
		return false;
	GUEST_ASSERT(hvpm_payload_check(message->payload, message->type,
					message->payload_size, &head));
	target = (message->type - 1) / GENERATIONS;
	generation = (message->type - 1) % GENERATIONS;
	GUEST_ASSERT_EQ(target, crowd_self(guest));
	GUEST_ASSERT_EQ(message->port_id, PORT + guest->vp);
	GUEST_ASSERT(head.sender < TARGETS);
	GUEST_ASSERT(generation >= ledger.newest[guest->vp][head.sender]);
	ledger.newest[guest->vp][head.sender] = generation;
	GUEST_ASSERT_EQ(head.sequence,
			ledger.received[guest->vp][head.sender][generation]);
	ledger.received[guest->vp][head.sender][generation]++;
	return true;
}

static void guest_in_the_crowd(struct hvpm_guest *guest)
{
	unsigned int target;

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	GUEST_SYNC(0);
	while (guest->data[DATA_STOP] == CROWD_GO) {
		for (target = 0; target < TARGETS; target++) {
			crowd_post(guest, target);
			crowd_take(guest);
		}
	}
	guest->data[DATA_QUIET] = 1;
	while (guest->data[DATA_STOP] != CROWD_END)
		if (!crowd_take(guest))
			cpu_relax();
	while (crowd_take(guest))
		;
	GUEST_DONE();
}

/**
 * struct crowd - the VMs, and what the host knows of their ports
 *
 * @vm: the VMs
 * @ledger: their ledgers
 * @state_lock: whoever makes a partition inactive
 * @target: by port, that is by VP
 * @target.lock: whoever changes the port or its connections
 * @target.generation: the current one
 * @target.fd: its file
 * @target.old: a generation whose connections are still there, or -1
 * @target.posted: what the port said when nobody could post to it any more, or
 *	-1 if it was not asked
 * @stop: for those that go on as long as others
 */
struct crowd {
	struct hvpm_vm *vm[CROWD];
	struct ledger *ledger[CROWD];
	pthread_mutex_t state_lock[CROWD];
	struct {
		pthread_mutex_t lock;
		unsigned int generation;
		int fd;
		int old;
		int64_t posted[GENERATIONS];
	} target[TARGETS];
	volatile bool stop;
};

static void crowd_connect(struct crowd *crowd, unsigned int vm,
			  unsigned int target)
{
	hvpm_connect(crowd->vm[vm]->partition,
		     CROWD_ID(target, crowd->target[target].generation),
		     crowd->target[target].fd,
		     vm == target / CROWD_VPS ? HV_POSTMSG_CONNECT_SELF : 0);
}

static void crowd_disconnect_all(struct crowd *crowd, unsigned int target,
				 unsigned int generation)
{
	unsigned int vm;

	for (vm = 0; vm < CROWD; vm++)
		hvpm_disconnect(crowd->vm[vm]->partition,
				CROWD_ID(target, generation));
}

/* The current generation's port: create it, connect all, and tell them. */
static void crowd_create(struct crowd *crowd, unsigned int target)
{
	struct hvpm_vm *owner = crowd->vm[target / CROWD_VPS];
	unsigned int vp = target % CROWD_VPS, vm;

	hvpm_create_port(owner->partition, PORT + vp, vp, SINT,
			 HV_POSTMSG_PORT_SHARED, 0);
	crowd->target[target].fd = hvpm_port_fd(owner->partition, PORT + vp);
	for (vm = 0; vm < CROWD; vm++) {
		crowd_connect(crowd, vm, target);
		crowd->ledger[vm]->connection[target] =
			CROWD_ID(target, crowd->target[target].generation);
	}
}

/* Delete the port; with @ask, when it is known to have got its last message. */
static void crowd_delete(struct crowd *crowd, unsigned int target, bool ask)
{
	int partition = crowd->vm[target / CROWD_VPS]->partition;
	unsigned int generation = crowd->target[target].generation;
	uint32_t port = PORT + target % CROWD_VPS;
	struct hv_postmsg_port_stats stats;

	if (ask) {
		pthread_mutex_lock(&crowd->state_lock[target / CROWD_VPS]);
		hvpm_set_state(partition, HV_POSTMSG_STATE_INACTIVE);
		hvpm_port_stats(partition, port, &stats);
		crowd->target[target].posted[generation] = stats.posted;
	}
	hvpm_delete_port(partition, port);
	if (ask) {
		hvpm_set_state(partition, HV_POSTMSG_STATE_ACTIVE);
		pthread_mutex_unlock(&crowd->state_lock[target / CROWD_VPS]);
	}
}

/* Put another port in the place of one, in one of four ways. */
static void crowd_renew(struct crowd *crowd, unsigned int target,
			unsigned int way)
{
	unsigned int generation;
	int old_fd;

	pthread_mutex_lock(&crowd->target[target].lock);
	if (crowd->target[target].old >= 0)
		crowd_disconnect_all(crowd, target, crowd->target[target].old);
	crowd->target[target].old = -1;

	crowd_delete(crowd, target, way & 1);
	generation = crowd->target[target].generation++;
	old_fd = crowd->target[target].fd;
	if (way & 2)
		crowd_disconnect_all(crowd, target, generation);
	else
		crowd->target[target].old = generation;
	crowd_create(crowd, target);
	TEST_ASSERT(__hvpm_connect(crowd->vm[0]->partition, HV_POSTMSG_ID_MAX,
				   old_fd, HV_POSTMSG_CONNECT_SELF) == -1 &&
		    errno == ENXIO, "connected by the file of a dead port");
	close(old_fd);
	pthread_mutex_unlock(&crowd->target[target].lock);
}

/* Each VM's owner deletes and creates its ports. */
struct crowd_owner {
	struct crowd *crowd;
	unsigned int vm;
};

static void *crowd_own(void *arg)
{
	struct crowd_owner *owner = arg;
	struct crowd *crowd = owner->crowd;
	unsigned int round, target, i;

	for (round = 0; round < ROUNDS; round++) {
		target = owner->vm * CROWD_VPS + round % CROWD_VPS;
		crowd_renew(crowd, target, round / CROWD_VPS);
		/* On only when the new one has had a message of each VM's VP 0. */
		for (i = 0; i < CROWD; i++)
			wait_for_first(&crowd->ledger[owner->vm]->received
				       [target % CROWD_VPS][i * CROWD_VPS]
				       [crowd->target[target].generation]);
	}
	return NULL;
}

/* Somebody disconnects VMs from ports and connects them again. */
static void *crowd_reconnect(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int vm, target, i;

	for (i = 0; !crowd->stop; i++) {
		target = i % TARGETS;
		vm = i / TARGETS % CROWD;
		pthread_mutex_lock(&crowd->target[target].lock);
		hvpm_disconnect(crowd->vm[vm]->partition,
				CROWD_ID(target,
					 crowd->target[target].generation));
		usleep(500);
		crowd_connect(crowd, vm, target);
		pthread_mutex_unlock(&crowd->target[target].lock);
		usleep(500);
	}
	return NULL;
}

/* Somebody makes one partition after the other inactive for a moment. */
static void *crowd_pause(void *arg)
{
	struct crowd *crowd = arg;
	unsigned int i, vm;

	for (i = 0; !crowd->stop; i++) {
		vm = i % CROWD;
		pthread_mutex_lock(&crowd->state_lock[vm]);
		hvpm_set_state(crowd->vm[vm]->partition,
			       HV_POSTMSG_STATE_INACTIVE);
		usleep(500);
		hvpm_set_state(crowd->vm[vm]->partition, HV_POSTMSG_STATE_ACTIVE);
		pthread_mutex_unlock(&crowd->state_lock[vm]);
		usleep(5000);
	}
	return NULL;
}

static void crowd_start(struct crowd *crowd)
{
	unsigned int i, j;

	for (i = 0; i < CROWD; i++) {
		crowd->vm[i] = hvpm_vm_create(CROWD_VPS, guest_in_the_crowd);
		crowd->ledger[i] = addr_gva2hva(crowd->vm[i]->vm,
						(vm_vaddr_t)&ledger);
		pthread_mutex_init(&crowd->state_lock[i], NULL);
		hvpm_vm_attach(crowd->vm[i], 0);
	}
	for (i = 0; i < TARGETS; i++) {
		pthread_mutex_init(&crowd->target[i].lock, NULL);
		crowd->target[i].old = -1;
		for (j = 0; j < GENERATIONS; j++)
			crowd->target[i].posted[j] = -1;
		crowd_create(crowd, i);
	}
	for (i = 0; i < TARGETS; i++) {
		struct hvpm_vp *vp = &crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS];

		vp->guest->data[DATA_VM] = i / CROWD_VPS;
		make_ready(vp);
	}
	for (i = 0; i < TARGETS; i++)
		hvpm_vp_start(&crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS]);
}

/* Post no more, receive what is left, and end. */
static void crowd_end(struct crowd *crowd)
{
	struct hv_postmsg_partition_stats stats;
	struct hvpm_guest *guest;
	unsigned int i;
	time_t end;

	for (i = 0; i < TARGETS; i++)
		crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS].guest->data[DATA_STOP] =
			CROWD_BE_QUIET;
	for (i = 0; i < TARGETS; i++) {
		guest = crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS].guest;
		if (!guest->data[DATA_QUIET])
			wait_for(&guest->data[DATA_QUIET], 1);
	}
	end = seconds() + PATIENCE / 1000;
	for (i = 0; i < CROWD; i++) {
		for (;;) {
			hvpm_partition_stats(crowd->vm[i]->partition, &stats);
			if (!stats.queued || seconds() >= end)
				break;
			usleep(1000);
		}
		TEST_ASSERT(!stats.queued, "VM %u: %llu messages stay queued", i,
			    stats.queued);
	}
	for (i = 0; i < TARGETS; i++)
		crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS].guest->data[DATA_STOP] =
			CROWD_END;
	for (i = 0; i < TARGETS; i++)
		hvpm_vp_join(&crowd->vm[i / CROWD_VPS]->vps[i % CROWD_VPS]);
}

/* What one sender got accepted by one generation of a port. */
static uint64_t crowd_accepted(struct crowd *crowd, unsigned int sender,
			       unsigned int target, unsigned int generation)
{
	return crowd->ledger[sender / CROWD_VPS]->accepted[sender % CROWD_VPS]
		[target][generation];
}

/*
 * The books of all generations of a port: all that was accepted was received,
 * but for the end of what each sender had posted when it was deleted. Adds to
 * what its partition has to have counted.
 */
static void crowd_check_port(struct crowd *crowd, unsigned int target,
			     struct hv_postmsg_partition_stats *sum)
{
	unsigned int vm = target / CROWD_VPS, vp = target % CROWD_VPS;
	unsigned int last = crowd->target[target].generation, generation, sender;
	struct hv_postmsg_port_stats stats;
	uint64_t posted, received, taken, given;
	int64_t told;

	for (generation = 0; generation <= last; generation++) {
		posted = 0;
		received = 0;
		for (sender = 0; sender < TARGETS; sender++) {
			given = crowd_accepted(crowd, sender, target, generation);
			taken = crowd->ledger[vm]->received[vp][sender][generation];
			TEST_ASSERT(taken <= given,
				    "port %u.%u: %lu of %lu received from %u",
				    target, generation, taken, given, sender);
			posted += given;
			received += taken;
		}
		told = crowd->target[target].posted[generation];
		TEST_ASSERT(told < 0 || told == posted,
			    "port %u.%u: accepted %lu, and counted %ld",
			    target, generation, posted, told);
		sum->posted += posted;
		sum->delivered += received;
		sum->freed += posted - received;
	}
	/* The last has not been deleted. */
	hvpm_check_port(crowd->vm[vm]->partition, PORT + vp);
	hvpm_port_stats(crowd->vm[vm]->partition, PORT + vp, &stats);
	TEST_ASSERT(stats.posted == posted && stats.delivered == posted &&
		    received == posted && !stats.freed && !stats.queued,
		    "port %u.%u: accepted %lu, received %lu; posted %llu, delivered %llu, freed %llu, queued %llu",
		    target, last, posted, received, stats.posted,
		    stats.delivered, stats.freed, stats.queued);
}

/* What a VM's VPs were answered is what its partition says it has answered. */
static void crowd_check_answers(struct crowd *crowd, unsigned int vm,
				uint64_t answers[32])
{
	struct hv_postmsg_partition_stats stats;
	unsigned int status, vp;
	uint64_t count;

	hvpm_partition_stats(crowd->vm[vm]->partition, &stats);
	for (status = 0; status < 32; status++) {
		count = 0;
		for (vp = 0; vp < CROWD_VPS; vp++)
			count += crowd->ledger[vm]->status[vp][status];
		TEST_ASSERT(count == stats.status[status],
			    "VM %u: status 0x%x %lu times, counted %llu", vm,
			    status, count, stats.status[status]);
		TEST_ASSERT(!count || status == HV_STATUS_SUCCESS ||
			    status == HV_STATUS_INVALID_PORT_ID ||
			    status == HV_STATUS_INVALID_CONNECTION_ID ||
			    status == HV_STATUS_INSUFFICIENT_BUFFERS,
			    "VM %u: status 0x%x %lu times", vm, status, count);
		answers[status] += count;
	}
}

/*
 * Three VMs post to each other's ports and their own, which meanwhile are
 * deleted and created anew, disconnected and connected, and made inactive and
 * active, by five threads. The receivers check each message; in the end the
 * books of each generation of each port are balanced.
 */
TEST_F(life, everything_at_once)
{
	struct hv_postmsg_partition_stats sum[CROWD] = { 0 }, stats;
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	struct crowd_owner owner[CROWD];
	pthread_t owners[CROWD], reconnecting, pausing;
	uint64_t answers[32] = { 0 }, accepted = 0;
	unsigned int i;

	crowd_start(crowd);
	for (i = 0; i < CROWD; i++) {
		owner[i] = (struct crowd_owner){ crowd, i };
		ASSERT_EQ(0, pthread_create(&owners[i], NULL, crowd_own, &owner[i]));
	}
	ASSERT_EQ(0, pthread_create(&reconnecting, NULL, crowd_reconnect, crowd));
	ASSERT_EQ(0, pthread_create(&pausing, NULL, crowd_pause, crowd));
	for (i = 0; i < CROWD; i++)
		pthread_join(owners[i], NULL);
	crowd->stop = true;
	pthread_join(reconnecting, NULL);
	pthread_join(pausing, NULL);
	crowd_end(crowd);

	for (i = 0; i < TARGETS; i++)
		crowd_check_port(crowd, i, &sum[i / CROWD_VPS]);
	for (i = 0; i < CROWD; i++) {
		hvpm_partition_stats(crowd->vm[i]->partition, &stats);
		EXPECT_EQ(sum[i].posted, stats.posted);
		EXPECT_EQ(sum[i].delivered, stats.delivered);
		EXPECT_EQ(sum[i].freed, stats.freed);
		EXPECT_EQ(0, stats.queued);
		EXPECT_EQ(0, stats.faults);
		accepted += stats.posted;
		crowd_check_answers(crowd, i, answers);
		printf("# VM %u: posted %llu, delivered %llu, freed %llu\n", i,
		       stats.posted, stats.delivered, stats.freed);
	}
	EXPECT_EQ(answers[HV_STATUS_SUCCESS], accepted);
	printf("# accepted %lu, no port %lu, no connection %lu, no buffer %lu\n",
	       answers[HV_STATUS_SUCCESS], answers[HV_STATUS_INVALID_PORT_ID],
	       answers[HV_STATUS_INVALID_CONNECTION_ID],
	       answers[HV_STATUS_INSUFFICIENT_BUFFERS]);
	for (i = 0; i < TARGETS; i++)
		close(crowd->target[i].fd);
	for (i = 0; i < CROWD; i++)
		hvpm_vm_free(crowd->vm[i]);
	free(crowd);
}

/* --- processes that are killed --- */

/*
 * Child: a VM with a port, whose file goes to the parent, and a VP which runs
 * @code in a thread.  Never returns.
 */
static void be_receiver(int socket, void (*code)(struct hvpm_guest *), bool run)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, code);
	int port_fd;

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	port_fd = hvpm_port_fd(vm->partition, PORT);
	if (code)
		make_ready(&vm->vps[0]);
	else
		hvpm_vp_enable_synic(&vm->vps[0], SINT);
	hvpm_send_fd(socket, port_fd);
	close(port_fd);
	if (run)
		hvpm_vp_start(&vm->vps[0]);
	for (;;)
		pause();
}

TEST_F(life, killed_with_messages_queued)
{
	int partition = hvpm_create_host_partition();
	int sockets[2], port_fd, i;
	pid_t child;

	if (hvpm_spawn(&child, sockets))
		be_receiver(sockets[1], NULL, false);
	port_fd = hvpm_receive_fd(sockets[0]);
	hvpm_connect(partition, CONNECTION, port_fd, 0);
	for (i = 0; i < 16; i++)
		EXPECT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(partition, CONNECTION, TYPE, SIZE, 0, 0, i));
	kill_child(child);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
		  hvpm_post(partition, CONNECTION, TYPE, SIZE, 0, 0, i));
	hvpm_disconnect(partition, CONNECTION);
	EXPECT_EQ(-1, __hvpm_connect(partition, CONNECTION, port_fd, 0));
	EXPECT_EQ(ENXIO, errno);
	close(port_fd);
	close(partition);
}

/* The dead VM is gone although its port's file is not. */
TEST_F(life, port_file_keeps_no_vm)
{
	int sockets[2], port_fd;
	pid_t child;

	if (hvpm_spawn(&child, sockets))
		be_receiver(sockets[1], NULL, false);
	port_fd = hvpm_receive_fd(sockets[0]);
	EXPECT_LT(self->vendor_refs, module_refs(vendor_module()));
	kill_child(child);
	expect_refs(vendor_module(), self->vendor_refs);
	close(port_fd);
}

/* VPs of this process post into a VM whose process dies. */
TEST_F(life, receiver_killed_while_posting)
{
	struct hvpm_vm *from = hvpm_vm_create(2, guest_post_forever);
	unsigned int i;
	int sockets[2], port_fd;
	pid_t child;

	/* The child must not hold this process's VM: it would share its fate. */
	hvpm_vm_free(from);
	for (i = 0; i < 3; i++) {
		if (hvpm_spawn(&child, sockets))
			be_receiver(sockets[1], guest_receive_forever, true);
		port_fd = hvpm_receive_fd(sockets[0]);
		from = hvpm_vm_create(2, guest_post_forever);
		hvpm_vm_attach(from, 0);
		hvpm_connect(from->partition, CONNECTION, port_fd, 0);
		close(port_fd);
		make_ready(&from->vps[0]);
		make_ready(&from->vps[1]);
		hvpm_vp_start(&from->vps[0]);
		hvpm_vp_start(&from->vps[1]);
		wait_for(&from->vps[0].guest->data[DATA_POSTED], 50);
		kill_child(child);
		wait_for(&from->vps[0].guest->data[DATA_STATUS +
			 HV_STATUS_INVALID_PORT_ID], 5);
		wait_for(&from->vps[1].guest->data[DATA_STATUS +
			 HV_STATUS_INVALID_PORT_ID], 5);
		stop(&from->vps[0]);
		stop(&from->vps[1]);
		hvpm_vm_free(from);
		close(sockets[0]);
	}
}

/* A process dies while its VPs post into a VM of this one. */
TEST_F(life, sender_killed_while_posting)
{
	struct hv_postmsg_port_stats stats;
	int sockets[2], port_fd, i;
	struct hvpm_vm *to, *from;
	pid_t child;

	for (i = 0; i < 3; i++) {
		if (hvpm_spawn(&child, sockets)) {
			from = hvpm_vm_create(2, guest_post_forever);
			hvpm_vm_attach(from, 0);
			port_fd = hvpm_receive_fd(sockets[1]);
			hvpm_connect(from->partition, CONNECTION, port_fd, 0);
			make_ready(&from->vps[0]);
			make_ready(&from->vps[1]);
			hvpm_vp_start(&from->vps[0]);
			hvpm_vp_start(&from->vps[1]);
			for (;;)
				pause();
		}
		to = hvpm_vm_create(1, guest_receive_forever);
		hvpm_vm_attach(to, 0);
		hvpm_create_port(to->partition, PORT, 0, SINT, 0, 0);
		port_fd = hvpm_port_fd(to->partition, PORT);
		make_ready(&to->vps[0]);
		hvpm_send_fd(sockets[0], port_fd);
		close(port_fd);
		hvpm_vp_start(&to->vps[0]);
		wait_for(&to->vps[0].guest->data[DATA_RECEIVED], 50);
		kill_child(child);
		/* What was accepted arrives. */
		usleep(100000);
		stop(&to->vps[0]);
		hvpm_check_port(to->partition, PORT);
		hvpm_port_stats(to->partition, PORT, &stats);
		printf("# posted %llu, delivered %llu\n", stats.posted,
		       stats.delivered);
		/* Its connection went with it: the port is free again. */
		hvpm_join(to->partition, CONNECTION, to->partition, PORT);
		hvpm_vm_free(to);
		close(sockets[0]);
	}
}

/* A process dies with a VP of its own asleep in HLT, and the post comes then. */
static void guest_sleep(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	GUEST_SYNC(0);
	for (;;)
		asm volatile("cli; hlt" : : : "memory");
}

TEST_F(life, killed_while_halted)
{
	int partition = hvpm_create_host_partition();
	int sockets[2], port_fd, i;
	uint32_t status = 0;
	pid_t child;

	if (hvpm_spawn(&child, sockets))
		be_receiver(sockets[1], guest_sleep, true);
	port_fd = hvpm_receive_fd(sockets[0]);
	hvpm_connect(partition, CONNECTION, port_fd, 0);
	close(port_fd);
	/* Its SINT's interrupt never gets through; the slot fills up. */
	for (i = 0; i < 50 && status != HV_STATUS_INSUFFICIENT_BUFFERS; i++)
		status = hvpm_post(partition, CONNECTION, TYPE, SIZE,
				   HV_POSTMSG_POST_NONBLOCK, 0, i);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, status);
	kill_child(child);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
		  hvpm_post(partition, CONNECTION, TYPE, SIZE, 0, 0, 0));
	close(partition);
}

/* --- a page fault that is not answered --- */

#define PAGE_GPA	0x20000000ULL
#define PAGE_SLOT	6

static void *run_vp(void *vp)
{
	hvpm_vp_run(vp, NULL);
	return NULL;
}

/* --- a file that outlives its VM --- */

/* A new VM posts a message to itself. */
static void post_once(void)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hv_postmsg_message message;
	uint16_t status;

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(vm->partition, CONNECTION, vm->partition, PORT);
	hvpm_vp_enable_synic(&vm->vps[0], SINT);
	status = hvpm_vp_post(&vm->vps[0], CONNECTION, TYPE, SIZE, 0, 0);
	TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
	TEST_ASSERT(hvpm_vp_take(&vm->vps[0], SINT, &message), "no message");
	hvpm_vm_free(vm);
}

/*
 * A vCPU sleeps in its post until its VMM answers a page fault, and the partition is
 * closed: that ends later, and is nothing to all the others that end.
 */
TEST_F(life, post_asleep_in_a_page_fault)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hvpm_vp *vp = &vm->vps[0];
	static const uint8_t content[4096];
	const char *vendor = vendor_module();
	pthread_t thread;
	unsigned int i;
	int faults;
	void *page;
	long refs;

	hvpm_vm_attach(vm, 0);
	hvpm_vp_enable_synic(vp, SINT);
	page = mmap(NULL, sizeof(content), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	faults = absent_page(page);
	ASSERT_LE(0, faults);
	vm_set_user_memory_region(vm->vm, PAGE_SLOT, 0, PAGE_GPA, sizeof(content), page);

	vp->guest->command = HVPM_HYPERCALL;
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = PAGE_GPA;
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_vp, vp));
	ASSERT_TRUE(absent_page_touched(faults));
	refs = settled_refs(vendor);
	hvpm_close_partition(vm->partition);
	vm->partition = -1;
	for (i = 0; i < 3; i++)
		post_once();
	expect_refs(vendor, refs);

	ASSERT_EQ(0, absent_page_provide(faults, page, content));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	/* It came too late for an answer of the module's. */
	EXPECT_EQ(KVM_EXIT_HYPERV, vp->vcpu->run->exit_reason);
	hvpm_vm_free(vm);
	close(faults);
	munmap(page, sizeof(content));
}

/*
 * A helper holds the partition of a VM whose process, and so all of its files,
 * is gone: nothing of the VM is left, and KVM's vendor module can go.
 */
TEST_F(life, helper_holds_the_partition)
{
	struct hv_postmsg_partition_stats stats = { .size = sizeof(stats) };
	int sockets[2], partition, port_fd, host;
	const char *vendor = vendor_module();
	char command[64];
	struct stat kvm;
	pid_t child;

	if (hvpm_spawn(&child, sockets)) {
		struct hvpm_vm *vm = hvpm_vm_create(1, guest_receive_forever);

		hvpm_vm_attach(vm, 0);
		hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
		make_ready(&vm->vps[0]);
		hvpm_send_fd(sockets[1], vm->partition);
		close(vm->partition);
		hvpm_vp_start(&vm->vps[0]);
		for (;;)
			pause();
	}
	partition = hvpm_receive_fd(sockets[0]);
	host = hvpm_create_host_partition();
	port_fd = hvpm_port_fd(partition, PORT);
	hvpm_connect(host, CONNECTION, port_fd, 0);
	close(port_fd);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 0));
	hvpm_partition_stats(partition, &stats);
	EXPECT_EQ(1, stats.posted);

	kill_child(child);
	EXPECT_EQ(-1, __hvpm_ioctl(partition, HV_POSTMSG_PARTITION_STATS, &stats));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(-1, __hvpm_set_state(partition, HV_POSTMSG_STATE_ACTIVE));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(-1, __hvpm_port_fd(partition, PORT));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(-1, __hvpm_reset_vp(partition, 0));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
		  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 1));

	/* Nothing of KVM is in use: it unloads while the partition is held. */
	EXPECT_EQ(0, self->vendor_refs);
	expect_refs(vendor, 0);
	ASSERT_EQ(0, stat("/dev/kvm", &kvm));
	ASSERT_EQ(0, syscall(SYS_delete_module, vendor, O_NONBLOCK))
		TH_LOG("%s: %s", vendor, strerror(errno));
	EXPECT_EQ(-1, __hvpm_ioctl(partition, HV_POSTMSG_PARTITION_STATS, &stats));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
		  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 2));
	close(partition);
	close(host);

	/* It comes back, and all works as before. */
	snprintf(command, sizeof(command), "modprobe %s", vendor);
	ASSERT_EQ(0, system(command));
	/* What udev does where there is one. */
	ASSERT_EQ(0, chown("/dev/kvm", kvm.st_uid, kvm.st_gid));
	ASSERT_EQ(0, chmod("/dev/kvm", kvm.st_mode & 07777));
	post_once();
}

/* The module itself stays while a partition is there. */
TEST_F(life, module_stays_while_in_use)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);

	hvpm_vm_attach(vm, 0);
	close(__hvpm_device());
	EXPECT_EQ(-1, syscall(SYS_delete_module, "hv_postmsg", O_NONBLOCK));
	EXPECT_EQ(EAGAIN, errno);
	hvpm_vm_free(vm);
	/* The teardown counts the device file, which is closed now. */
	self->refs--;
}

TEST_HARNESS_MAIN
