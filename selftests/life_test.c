// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lifetimes: attach and detach, processes that die, files that outlive them
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

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

/*
 * Fork; the child dies with its parent.  Returns true in the child.  @sockets
 * is a pair: the parent's end first.
 */
static bool spawn(pid_t *child, int sockets[2])
{
	pid_t parent = getpid();

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets),
		    "socketpair: %s", strerror(errno));
	*child = fork();
	TEST_ASSERT(*child >= 0, "fork: %s", strerror(errno));
	if (*child) {
		close(sockets[1]);
		return false;
	}
	close(sockets[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return true;
}

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
	EXPECT_LE(0, statuses(&traffic, HV_STATUS_INVALID_CONNECTION_ID));
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

	if (spawn(&child, sockets))
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

	if (spawn(&child, sockets))
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
		if (spawn(&child, sockets))
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
		if (spawn(&child, sockets)) {
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

	if (spawn(&child, sockets))
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
 * A helper holds the partition of a VM whose process, and so all of its files,
 * is gone: nothing of the VM is left, and KVM's vendor module can go.
 */
TEST_F(life, helper_holds_the_partition)
{
	struct hv_postmsg_partition_stats stats = { .size = sizeof(stats) };
	int sockets[2], partition, port_fd, host;
	const char *vendor = vendor_module();
	char command[64];
	pid_t child;

	if (spawn(&child, sockets)) {
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
