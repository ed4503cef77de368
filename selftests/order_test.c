// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many messages: none lost, doubled, damaged, and on a port with a fixed target
 * VP none out of order
 *
 * The guests run freely, each VP in a thread; receivers check what they get.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "hvpm_test.h"

#define PORT		1
#define CONNECTION	1
#define SINT		2

/* What each VP finds in guest->data, and leaves there. */
enum {
	DATA_CONNECTION,	/* connection to post to */
	DATA_SENDER,		/* who this VP is, in its payloads */
	DATA_SEND,		/* messages to post */
	DATA_RECEIVE,		/* messages to wait for */
	DATA_POSTED,		/* messages accepted */
	DATA_REFUSED,		/* posts refused for want of a buffer */
	DATA_STATUS,		/* any other status */
	DATA_TALLY = 16,	/* struct hvpm_tally, one for each sender */
};

#define MAX_SENDERS	8

static volatile struct hvpm_tally *tally_of(struct hvpm_guest *guest,
					    unsigned int sender)
{
	return (volatile struct hvpm_tally *)&guest->data[DATA_TALLY] + sender;
}

/* --- guests --- */

static void guest_start(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	GUEST_SYNC(0);
}

/* Post the next message; false if there was no buffer for it. */
static bool guest_send_one(struct hvpm_guest *guest)
{
	uint64_t sequence = guest->data[DATA_POSTED];
	uint16_t status;

	status = hvpm_guest_post(guest, guest->data[DATA_CONNECTION],
				 hvpm_vary_type(sequence),
				 hvpm_vary_size(sequence),
				 guest->data[DATA_SENDER], sequence);
	switch (status) {
	case HV_STATUS_SUCCESS:
		guest->data[DATA_POSTED]++;
		return true;
	case HV_STATUS_INSUFFICIENT_BUFFERS:
		guest->data[DATA_REFUSED]++;
		return false;
	default:
		guest->data[DATA_STATUS] = status;
		GUEST_FAIL("post %lu: status 0x%x", sequence, status);
		return false;
	}
}

static bool guest_receive_one(struct hvpm_guest *guest)
{
	struct hv_postmsg_message *message = &guest->message;
	volatile struct hvpm_tally *tally;
	struct hvpm_payload head;

	if (!hvpm_guest_take(guest, SINT, message))
		return false;
	if (!hvpm_payload_check(message->payload, message->type,
				message->payload_size, &head) ||
	    head.sender >= MAX_SENDERS ||
	    message->type != hvpm_vary_type(head.sequence) ||
	    message->payload_size != hvpm_vary_size(head.sequence) ||
	    message->reserved ||
	    message->flags & ~HV_MESSAGE_FLAG_PENDING) {
		tally_of(guest, 0)->corrupt++;
		GUEST_FAIL("corrupt message, type 0x%x, size %u", message->type,
			   message->payload_size);
		return true;
	}
	tally = tally_of(guest, head.sender);
	hvpm_tally_count((struct hvpm_tally *)tally, head.sequence);
	return true;
}

static uint64_t guest_received(struct hvpm_guest *guest)
{
	uint64_t received = 0;
	unsigned int i;

	for (i = 0; i < MAX_SENDERS; i++)
		received += tally_of(guest, i)->received;
	return received;
}

static void guest_sender(struct hvpm_guest *guest)
{
	guest_start(guest);
	while (guest->data[DATA_POSTED] < guest->data[DATA_SEND])
		if (!guest_send_one(guest))
			cpu_relax();
	GUEST_DONE();
}

/* Sleeps when there is nothing, so every wake-up counts. */
static void guest_receiver(struct hvpm_guest *guest)
{
	uint32_t seen;

	guest_start(guest);
	for (;;) {
		seen = guest->interrupts[SINT];
		while (guest_receive_one(guest))
			;
		if (guest_received(guest) >= guest->data[DATA_RECEIVE])
			break;
		hvpm_guest_halt(guest, SINT, seen);
	}
	GUEST_DONE();
}

/* Looks at the slot only, on a masked SINT. */
static void guest_poller(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	wrmsr(HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
	GUEST_SYNC(0);
	while (guest_received(guest) < guest->data[DATA_RECEIVE])
		if (!guest_receive_one(guest))
			cpu_relax();
	GUEST_ASSERT(!guest->interrupts[SINT]);
	GUEST_DONE();
}

/* Does both, and sleeps when it can do neither. */
static void guest_both(struct hvpm_guest *guest)
{
	bool sent, received;
	uint32_t seen;

	guest_start(guest);
	for (;;) {
		seen = guest->interrupts[SINT];
		sent = guest->data[DATA_POSTED] < guest->data[DATA_SEND] &&
		       guest_send_one(guest);
		received = guest_receive_one(guest);
		if (sent || received)
			continue;
		if (guest->data[DATA_POSTED] < guest->data[DATA_SEND]) {
			cpu_relax();
			continue;
		}
		if (guest_received(guest) >= guest->data[DATA_RECEIVE])
			break;
		hvpm_guest_halt(guest, SINT, seen);
	}
	GUEST_DONE();
}

/* --- the host --- */

/* Run the VP to the point where its SynIC is enabled. */
static void make_ready(struct hvpm_vp *vp)
{
	uint64_t ucall = hvpm_vp_run(vp, NULL);

	TEST_ASSERT(ucall == UCALL_SYNC, "VP %u: ucall %lu", vp->index, ucall);
}

static void set_sender(struct hvpm_vp *vp, uint32_t connection, uint32_t sender,
		       uint64_t count)
{
	vp->guest->data[DATA_CONNECTION] = connection;
	vp->guest->data[DATA_SENDER] = sender;
	vp->guest->data[DATA_SEND] = count;
}

static void expect_all(struct hvpm_guest *guest, unsigned int sender,
		       uint64_t count)
{
	volatile struct hvpm_tally *tally = tally_of(guest, sender);

	TEST_ASSERT(tally->received == count && tally->next == count &&
		    !tally->lost && !tally->duplicated && !tally->reordered &&
		    !tally->corrupt,
		    "sender %u: received %lu of %lu, next %lu, lost %lu, doubled %lu, reordered %lu",
		    sender, tally->received, count, tally->next, tally->lost,
		    tally->duplicated, tally->reordered);
}

/* All that was posted has been delivered, and nothing else. */
static void expect_stats(int partition, uint32_t port, uint64_t count)
{
	struct hv_postmsg_port_stats stats;

	hvpm_check_port(partition, port);
	hvpm_port_stats(partition, port, &stats);
	TEST_ASSERT(stats.posted == count && stats.delivered == count &&
		    !stats.freed && !stats.queued && stats.free == stats.buffers,
		    "port %u: posted %llu, delivered %llu, freed %llu, queued %llu of %lu",
		    port, stats.posted, stats.delivered, stats.freed,
		    stats.queued, count);
}

/*
 * Four VPs of two VMs post to VP 0 of a third: through one shared port, or
 * through a port each.
 */
static void four_senders(void (*receiver)(struct hvpm_guest *), bool shared,
			 uint64_t count)
{
	struct hvpm_vm *to = hvpm_vm_create(1, receiver), *from[2];
	unsigned int i, vm, vp;

	hvpm_vm_attach(to, 0);
	for (vm = 0; vm < 2; vm++) {
		from[vm] = hvpm_vm_create(2, guest_sender);
		hvpm_vm_attach(from[vm], 0);
	}
	if (shared)
		hvpm_create_port(to->partition, PORT, 0, SINT,
				 HV_POSTMSG_PORT_SHARED, 0);
	for (i = 0; i < 4; i++) {
		vm = i / 2;
		vp = i % 2;
		if (!shared) {
			hvpm_create_port(to->partition, PORT + i, 0, SINT, 0, 0);
			hvpm_join(from[vm]->partition, CONNECTION + vp,
				  to->partition, PORT + i);
		} else if (!vp) {
			hvpm_join(from[vm]->partition, CONNECTION, to->partition,
				  PORT);
		}
		set_sender(&from[vm]->vps[vp],
			   CONNECTION + (shared ? 0 : vp), i, count);
		make_ready(&from[vm]->vps[vp]);
	}
	to->vps[0].guest->data[DATA_RECEIVE] = 4 * count;
	make_ready(&to->vps[0]);

	hvpm_vp_start(&to->vps[0]);
	for (i = 0; i < 4; i++)
		hvpm_vp_start(&from[i / 2]->vps[i % 2]);
	for (i = 0; i < 4; i++)
		hvpm_vp_join(&from[i / 2]->vps[i % 2]);
	hvpm_vp_join(&to->vps[0]);

	for (i = 0; i < 4; i++) {
		expect_all(to->vps[0].guest, i, count);
		printf("# sender %u: %lu posts refused for want of a buffer\n", i,
		       from[i / 2]->vps[i % 2].guest->data[DATA_REFUSED]);
		if (!shared)
			expect_stats(to->partition, PORT + i, count);
	}
	if (shared)
		expect_stats(to->partition, PORT, 4 * count);
	for (vm = 0; vm < 2; vm++)
		hvpm_vm_free(from[vm]);
	hvpm_vm_free(to);
}

TEST(four_senders_one_port)
{
	four_senders(guest_receiver, true, fewer(2500));
}

TEST(four_senders_four_ports)
{
	four_senders(guest_receiver, false, fewer(2500));
}

TEST(four_senders_polling_receiver)
{
	four_senders(guest_poller, true, fewer(1000));
}

/* Several VPs of several VMs, each to its own VP of one VM. */
TEST(four_receivers)
{
	struct hvpm_vm *to = hvpm_vm_create(4, guest_receiver);
	struct hvpm_vm *from = hvpm_vm_create(4, guest_sender);
	const uint64_t count = fewer(1000);
	unsigned int i;

	hvpm_vm_attach(to, 0);
	hvpm_vm_attach(from, 0);
	for (i = 0; i < 4; i++) {
		hvpm_create_port(to->partition, PORT + i, i, SINT, 0, 0);
		hvpm_join(from->partition, CONNECTION + i, to->partition, PORT + i);
		set_sender(&from->vps[i], CONNECTION + i, i, count);
		to->vps[i].guest->data[DATA_RECEIVE] = count;
		make_ready(&from->vps[i]);
		make_ready(&to->vps[i]);
	}
	for (i = 0; i < 4; i++) {
		hvpm_vp_start(&to->vps[i]);
		hvpm_vp_start(&from->vps[i]);
	}
	for (i = 0; i < 4; i++) {
		hvpm_vp_join(&from->vps[i]);
		hvpm_vp_join(&to->vps[i]);
		expect_all(to->vps[i].guest, i, count);
		expect_stats(to->partition, PORT + i, count);
	}
	hvpm_vm_free(from);
	hvpm_vm_free(to);
}

/* Each VP posts to itself. */
TEST(to_self)
{
	struct hvpm_vm *vm = hvpm_vm_create(2, guest_both);
	const uint64_t count = fewer(5000);
	unsigned int i;

	hvpm_vm_attach(vm, 0);
	for (i = 0; i < 2; i++) {
		hvpm_create_port(vm->partition, PORT + i, i, SINT, 0, 0);
		hvpm_join(vm->partition, CONNECTION + i, vm->partition, PORT + i);
		set_sender(&vm->vps[i], CONNECTION + i, i, count);
		vm->vps[i].guest->data[DATA_RECEIVE] = count;
		make_ready(&vm->vps[i]);
	}
	for (i = 0; i < 2; i++)
		hvpm_vp_start(&vm->vps[i]);
	for (i = 0; i < 2; i++) {
		hvpm_vp_join(&vm->vps[i]);
		expect_all(vm->vps[i].guest, i, count);
		expect_stats(vm->partition, PORT + i, count);
	}
	hvpm_vm_free(vm);
}

/* Two VMs, both ways at the same time, a VP each that does both. */
TEST(vm_to_vm)
{
	const uint64_t count = fewer(5000);
	struct hvpm_vm *vm[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		vm[i] = hvpm_vm_create(1, guest_both);
		hvpm_vm_attach(vm[i], 0);
		hvpm_create_port(vm[i]->partition, PORT, 0, SINT, 0, 0);
	}
	for (i = 0; i < 2; i++) {
		hvpm_join(vm[i]->partition, CONNECTION, vm[!i]->partition, PORT);
		set_sender(&vm[i]->vps[0], CONNECTION, i, count);
		vm[i]->vps[0].guest->data[DATA_RECEIVE] = count;
		make_ready(&vm[i]->vps[0]);
	}
	for (i = 0; i < 2; i++)
		hvpm_vp_start(&vm[i]->vps[0]);
	for (i = 0; i < 2; i++)
		hvpm_vp_join(&vm[i]->vps[0]);
	for (i = 0; i < 2; i++) {
		expect_all(vm[i]->vps[0].guest, !i, count);
		expect_stats(vm[i]->partition, PORT, count);
	}
	for (i = 0; i < 2; i++)
		hvpm_vm_free(vm[i]);
}

/* One side of the same in two processes; all they share is the port files. */
static void one_process(int socket, unsigned int me, uint64_t count)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, guest_both);
	int port_fd;
	char byte = 0;

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	port_fd = hvpm_port_fd(vm->partition, PORT);
	hvpm_send_fd(socket, port_fd);
	close(port_fd);
	port_fd = hvpm_receive_fd(socket);
	hvpm_connect(vm->partition, CONNECTION, port_fd, 0);
	close(port_fd);

	set_sender(&vm->vps[0], CONNECTION, me, count);
	vm->vps[0].guest->data[DATA_RECEIVE] = count;
	make_ready(&vm->vps[0]);
	TEST_ASSERT(write(socket, &byte, 1) == 1, "write: %s", strerror(errno));
	TEST_ASSERT(read(socket, &byte, 1) == 1, "read: %s", strerror(errno));

	hvpm_vp_start(&vm->vps[0]);
	hvpm_vp_join(&vm->vps[0]);
	expect_all(vm->vps[0].guest, !me, count);
	expect_stats(vm->partition, PORT, count);
	TEST_ASSERT(!vm->vps[0].exits, "%lu posts reached the VMM",
		    vm->vps[0].exits);
	/* The other side may not have everything yet. */
	TEST_ASSERT(write(socket, &byte, 1) == 1, "write: %s", strerror(errno));
	TEST_ASSERT(read(socket, &byte, 1) == 1, "read: %s", strerror(errno));
	hvpm_vm_free(vm);
}

TEST(across_processes)
{
	int sockets[2], status;
	pid_t child;

	if (hvpm_spawn(&child, sockets)) {
		one_process(sockets[1], 1, fewer(5000));
		_exit(0);
	}
	one_process(sockets[0], 0, fewer(5000));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* --- a host process --- */

struct host_sender {
	pthread_t thread;
	int partition;
	uint32_t connection;
	uint32_t sender;
	uint64_t count;
};

/* Posts that wait for a buffer, so none is refused. */
static void *host_sender(void *arg)
{
	struct host_sender *host = arg;
	uint32_t status;
	uint64_t i;

	for (i = 0; i < host->count; i++) {
		status = hvpm_post(host->partition, host->connection,
				   hvpm_vary_type(i), hvpm_vary_size(i), 0,
				   host->sender, i);
		TEST_ASSERT(status == HV_STATUS_SUCCESS, "post %lu: status 0x%x",
			    i, status);
	}
	return NULL;
}

TEST(host_to_guest)
{
	struct hvpm_vm *to = hvpm_vm_create(1, guest_receiver);
	int partition = hvpm_create_host_partition();
	struct host_sender senders[2];
	const uint64_t count = fewer(2500);
	unsigned int i;

	hvpm_vm_attach(to, 0);
	hvpm_create_port(to->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(partition, CONNECTION, to->partition, PORT);
	to->vps[0].guest->data[DATA_RECEIVE] = 2 * count;
	make_ready(&to->vps[0]);
	hvpm_vp_start(&to->vps[0]);
	for (i = 0; i < 2; i++) {
		senders[i] = (struct host_sender) {
			.partition = partition,
			.connection = CONNECTION,
			.sender = i,
			.count = count,
		};
		ASSERT_EQ(0, pthread_create(&senders[i].thread, NULL,
					    host_sender, &senders[i]));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(senders[i].thread, NULL));
	hvpm_vp_join(&to->vps[0]);
	for (i = 0; i < 2; i++)
		expect_all(to->vps[0].guest, i, count);
	expect_stats(to->partition, PORT, 2 * count);
	hvpm_close_partition(partition);
	hvpm_vm_free(to);
}

TEST(guest_to_host)
{
	struct hvpm_vm *from = hvpm_vm_create(2, guest_sender);
	int partition = hvpm_create_host_partition();
	int endpoint = hvpm_create_endpoint(partition, 0);
	struct hvpm_tally tally[2] = { 0 };
	struct hv_postmsg_message messages[32];
	const uint64_t count = fewer(2500);
	struct hvpm_payload head;
	uint64_t received = 0;
	unsigned int i;
	ssize_t bytes;

	hvpm_vm_attach(from, 0);
	hvpm_create_endpoint_port(partition, PORT, endpoint, 0, 0);
	hvpm_join(from->partition, CONNECTION, partition, PORT);
	for (i = 0; i < 2; i++) {
		set_sender(&from->vps[i], CONNECTION, i, count);
		make_ready(&from->vps[i]);
		hvpm_vp_start(&from->vps[i]);
	}
	while (received < 2 * count) {
		bytes = read(endpoint, messages, sizeof(messages));
		ASSERT_LT(0, bytes);
		ASSERT_EQ(0, bytes % sizeof(messages[0]));
		for (i = 0; i < bytes / sizeof(messages[0]); i++) {
			ASSERT_TRUE(hvpm_payload_check(messages[i].payload,
						       messages[i].type,
						       messages[i].payload_size,
						       &head));
			ASSERT_EQ(PORT, messages[i].port_id);
			ASSERT_GT(2, head.sender);
			hvpm_tally_count(&tally[head.sender], head.sequence);
			received++;
		}
	}
	for (i = 0; i < 2; i++) {
		hvpm_vp_join(&from->vps[i]);
		EXPECT_EQ(count, tally[i].received);
		EXPECT_EQ(count, tally[i].next);
		EXPECT_EQ(0, tally[i].lost + tally[i].duplicated +
			  tally[i].reordered);
	}
	ASSERT_EQ(0, fcntl(endpoint, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-1, read(endpoint, messages, sizeof(messages)));
	EXPECT_EQ(EAGAIN, errno);
	expect_stats(partition, PORT, 2 * count);
	hvpm_vm_free(from);
	close(endpoint);
	hvpm_close_partition(partition);
}

/* --- any VP --- */

#define ANY_COUNT	3000

/* Notes each sequence number in its input pages, which nothing else uses. */
static void guest_any_receiver(struct hvpm_guest *guest)
{
	struct hvpm_payload head;
	uint32_t seen;

	guest_start(guest);
	for (;;) {
		seen = guest->interrupts[SINT];
		while (hvpm_guest_take(guest, SINT, &guest->message)) {
			GUEST_ASSERT(hvpm_payload_check(guest->message.payload,
							guest->message.type,
							guest->message.payload_size,
							&head));
			if (head.sequence == ANY_COUNT)
				GUEST_DONE();
			GUEST_ASSERT(head.sequence < ANY_COUNT);
			GUEST_ASSERT(!guest->input[head.sequence]);
			guest->input[head.sequence] = 1;
			guest->data[DATA_RECEIVE]++;
		}
		hvpm_guest_halt(guest, SINT, seen);
	}
}

/* No order, but each exactly once. */
TEST(any_vp)
{
	struct hvpm_vm *to = hvpm_vm_create(3, guest_any_receiver);
	struct hvpm_vm *from = hvpm_vm_create(1, guest_sender);
	int host = hvpm_create_host_partition();
	unsigned int i, vp, seen;
	uint64_t received;

	hvpm_vm_attach(to, 0);
	hvpm_vm_attach(from, 0);
	hvpm_create_port(to->partition, PORT, HV_POSTMSG_ANY_VP, SINT, 0, 0);
	hvpm_join(from->partition, CONNECTION, to->partition, PORT);
	set_sender(&from->vps[0], CONNECTION, 0, ANY_COUNT);
	make_ready(&from->vps[0]);
	for (vp = 0; vp < 3; vp++) {
		make_ready(&to->vps[vp]);
		hvpm_vp_start(&to->vps[vp]);
	}
	hvpm_vp_start(&from->vps[0]);
	hvpm_vp_join(&from->vps[0]);
	do {
		usleep(10000);
		for (received = 0, vp = 0; vp < 3; vp++)
			received += to->vps[vp].guest->data[DATA_RECEIVE];
	} while (received < ANY_COUNT);
	/* One more message each, to end them. */
	for (vp = 0; vp < 3; vp++) {
		hvpm_create_port(to->partition, PORT + 1 + vp, vp, SINT, 0, 0);
		hvpm_join(host, CONNECTION + vp, to->partition, PORT + 1 + vp);
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(host, CONNECTION + vp, 1, HVPM_PAYLOAD_MIN, 0,
				    0, ANY_COUNT));
	}
	for (vp = 0; vp < 3; vp++) {
		hvpm_vp_join(&to->vps[vp]);
		printf("# VP %u received %lu\n", vp,
		       to->vps[vp].guest->data[DATA_RECEIVE]);
	}
	for (i = 0; i < ANY_COUNT; i++) {
		for (seen = 0, vp = 0; vp < 3; vp++)
			seen += to->vps[vp].input[i];
		ASSERT_EQ(1, seen) TH_LOG("message %u", i);
	}
	expect_stats(to->partition, PORT, ANY_COUNT);
	close(host);
	hvpm_vm_free(from);
	hvpm_vm_free(to);
}

TEST_HARNESS_MAIN
