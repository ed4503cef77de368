// SPDX-License-Identifier: GPL-2.0-only
/*
 * Floods: a VM that posts without end beside a quiet one.
 *
 * For a lab that counts time in instructions (see selftests/run): there the time
 * stamp counter is the number of instructions that were executed, so what a post
 * costs the quiet VM is the same figure on a busy machine.  Its guest posts to
 * itself, which is the way in and the way out: from before the call to behind it,
 * when the message is in its slot.  The flood has a thread of its own and the same
 * CPU, so a few of the samples also count what the scheduler gave to the other;
 * the median does not.
 *
 * All figures are from one boot: without the flood, then with it.
 */
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "hvpm_test.h"

#define SINT		2
#define FLOOD_SINT	3
#define PORT		7
#define CONNECTION	7
#define FLOOD_PORT	8
#define FLOOD_CONNECTION	8
#define TYPE		1

/* The quiet guest posts so many times, comes back, and does so again. */
#define POSTS		10
#define ROUNDS		200
#define SAMPLES		(POSTS * ROUNDS)

/* Instructions for which the quiet VM sleeps between two rounds. */
#define PAUSE		100000

/* Data of the flooding guest. */
enum {
	DATA_STOP,
	DATA_POSTED,
	DATA_REFUSED,
};

/* Where the quiet guest leaves its samples, and the sequence of its messages. */
static uint64_t samples[POSTS];
static uint64_t sequence;

FIXTURE(flood) {
	struct hvpm_vm *quiet;
	struct hvpm_vp *vp;
	struct hvpm_vm *flood;
	bool flooding;
};

/* --- guests --- */

/* Post and find the message in the slot. */
static uint64_t guest_post_quietly(struct hvpm_guest *guest, uint64_t unused)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[SINT];
	struct hvpm_input *input = (void *)guest->input;
	uint64_t start, status;
	unsigned int i;

	for (i = 0; i < POSTS; i++) {
		*(uint64_t *)input->payload = ++sequence;
		start = rdtsc();
		status = hvpm_guest_hypercall(guest, HVPM_POST, guest->input_gpa, 0);
		samples[i] = rdtsc() - start;
		GUEST_ASSERT_EQ(status, HV_STATUS_SUCCESS);
		GUEST_ASSERT_EQ(slot->type, TYPE);
		GUEST_ASSERT_EQ(*(volatile uint64_t *)slot->payload, sequence);
		slot->type = 0;
	}
	return 0;
}

/* Post without end what is in the input page, take what comes. */
static void guest_flood(struct hvpm_guest *guest)
{
	uint16_t status;

	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	while (!guest->data[DATA_STOP]) {
		status = hvpm_guest_post_block(guest);
		guest->data[status ? DATA_REFUSED : DATA_POSTED]++;
		guest->slots[SINT].type = 0;
	}
	GUEST_DONE();
}

/* --- the quiet VM --- */

FIXTURE_SETUP(flood)
{
	self->quiet = hvpm_vm_create(1, NULL);
	self->vp = &self->quiet->vps[0];
	hvpm_vp_enable_synic(self->vp, SINT);
	/* No interrupts: their number would be in the figures. */
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT));
	hvpm_vm_attach(self->quiet, 0);
	hvpm_create_port(self->quiet->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(self->quiet->partition, CONNECTION, self->quiet->partition, PORT);
	hvpm_vp_fill(self->vp, 0, CONNECTION, TYPE, HV_POSTMSG_PAYLOAD_MAX);

	self->flood = hvpm_vm_create(1, guest_flood);
	hvpm_vm_attach(self->flood, 0);
	self->flooding = false;
}

static struct hvpm_guest *flooder(struct _test_data_flood *self)
{
	return self->flood->vps[0].guest;
}

static void end_flood(struct _test_data_flood *self)
{
	if (!self->flooding)
		return;
	flooder(self)->data[DATA_STOP] = 1;
	hvpm_vp_join(&self->flood->vps[0]);
	self->flooding = false;
}

FIXTURE_TEARDOWN(flood)
{
	end_flood(self);
	hvpm_vm_free(self->flood);
	hvpm_vm_free(self->quiet);
}

static uint64_t flooded(struct _test_data_flood *self)
{
	return flooder(self)->data[DATA_POSTED] + flooder(self)->data[DATA_REFUSED];
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Instructions that a post costs the quiet VM: the median. */
static uint64_t measure(struct _test_data_flood *self)
{
	const struct timespec pause = { .tv_nsec = PAUSE };
	static uint64_t all[SAMPLES];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		nanosleep(&pause, NULL);
		hvpm_vp_call(self->vp, guest_post_quietly, 0);
		sync_global_from_guest(self->quiet->vm, samples);
		memcpy(&all[i * POSTS], samples, sizeof(samples));
	}
	qsort(all, SAMPLES, sizeof(all[0]), compare);
	return all[SAMPLES / 2];
}

/* What the quiet VM has posted has all come, also in the module's books. */
static void check_quiet(struct __test_metadata *_metadata, struct _test_data_flood *self,
			uint64_t posts)
{
	struct hv_postmsg_port_stats stats;

	hvpm_port_stats(self->quiet->partition, PORT, &stats);
	EXPECT_EQ(posts, stats.posted);
	EXPECT_EQ(posts, stats.delivered);
	EXPECT_EQ(0, stats.refused_buffers);
}

/* Measure without the flood and with it, which posts to @connection. */
static void check_flood(struct __test_metadata *_metadata, struct _test_data_flood *self,
			uint32_t connection)
{
	uint64_t alone, beside, before;

	hvpm_vp_fill(&self->flood->vps[0], 0, connection, TYPE, HV_POSTMSG_PAYLOAD_MAX);
	/* Whatever is done only once is done before. */
	measure(self);
	alone = measure(self);

	hvpm_vp_start(&self->flood->vps[0]);
	self->flooding = true;
	while (flooded(self) < 100)
		usleep(1000);
	before = flooded(self);
	beside = measure(self);
	before = flooded(self) - before;
	end_flood(self);

	TH_LOG("a post costs %lu instructions, %lu beside %lu others, %lu ever accepted",
	       alone, beside, before, flooder(self)->data[DATA_POSTED]);
	/* There was a flood: about as many posts of the other, or more. */
	EXPECT_LT(SAMPLES / 2, before);
	EXPECT_LE(beside * 10, alone * 11);
	check_quiet(_metadata, self, 3 * SAMPLES);
}

/* --- where the flood goes --- */

TEST_F_TIMEOUT(flood, to_itself, 120)
{
	hvpm_create_port(self->flood->partition, FLOOD_PORT, 0, SINT, 0, 0);
	hvpm_join(self->flood->partition, FLOOD_CONNECTION, self->flood->partition,
		  FLOOD_PORT);
	check_flood(_metadata, self, FLOOD_CONNECTION);
	EXPECT_LT(0, flooder(self)->data[DATA_POSTED]);
}

TEST_F_TIMEOUT(flood, to_nowhere, 120)
{
	check_flood(_metadata, self, FLOOD_CONNECTION);
	EXPECT_EQ(0, flooder(self)->data[DATA_POSTED]);
}

/* A flood to the quiet VP's own slot of another SINT, which it does not look into. */
static void check_flood_to_the_quiet_vp(struct __test_metadata *_metadata,
					struct _test_data_flood *self)
{
	hvpm_create_port(self->quiet->partition, FLOOD_PORT, 0, FLOOD_SINT, 0, 64);
	hvpm_join(self->flood->partition, FLOOD_CONNECTION, self->quiet->partition,
		  FLOOD_PORT);
	check_flood(_metadata, self, FLOOD_CONNECTION);
	/* One in the slot, and the port's buffers. */
	EXPECT_EQ(65, flooder(self)->data[DATA_POSTED]);
}

TEST_F_TIMEOUT(flood, to_the_quiet_vp, 120)
{
	check_flood_to_the_quiet_vp(_metadata, self);
}

/* The same where each post is queued, and a scan looks at the full slot, too. */
TEST_F_TIMEOUT(flood, to_the_quiet_vp_that_scans, 120)
{
	int partition = self->quiet->partition;

	hvpm_disconnect(partition, CONNECTION);
	hvpm_delete_port(partition, PORT);
	hvpm_create_port(partition, PORT, HV_POSTMSG_ANY_VP, SINT, 0, 0);
	hvpm_join(partition, CONNECTION, partition, PORT);
	check_flood_to_the_quiet_vp(_metadata, self);
}

TEST_F_TIMEOUT(flood, to_a_full_endpoint, 120)
{
	int host = hvpm_create_host_partition();
	int endpoint = hvpm_create_endpoint(host, 0);

	hvpm_create_endpoint_port(host, FLOOD_PORT, endpoint, 0, 64);
	hvpm_join(self->flood->partition, FLOOD_CONNECTION, host, FLOOD_PORT);
	check_flood(_metadata, self, FLOOD_CONNECTION);
	EXPECT_EQ(64, flooder(self)->data[DATA_POSTED]);
	close(endpoint);
	close(host);
}

/* --- refusals that only a guest can see --- */

#define REFUSALS	2000

/* Each status, many times; those of ports are the host's as well. */
static uint64_t guest_be_refused(struct hvpm_guest *guest, uint64_t unused)
{
	struct hvpm_input *input = (void *)guest->input;
	const uint64_t gpa = guest->input_gpa;
	unsigned int i;

	for (i = 0; i < REFUSALS; i++) {
		input->connection_id = CONNECTION;
		input->message_type = TYPE;
#define EXPECTED(status, control, address) \
		GUEST_ASSERT_EQ(hvpm_guest_hypercall(guest, control, address, 0), status)
		EXPECTED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVPM_POST | BIT_ULL(16), gpa);
		EXPECTED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVPM_POST | BIT_ULL(31), gpa);
		EXPECTED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVPM_POST | BIT_ULL(63), gpa);
		EXPECTED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST, gpa + 1);
		EXPECTED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST, gpa + 4096 - 8);
		EXPECTED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST, BIT_ULL(45));
		input->message_type = 0;
		EXPECTED(HV_STATUS_INVALID_PARAMETER, HVPM_POST, gpa);
		input->message_type = TYPE;
		input->connection_id = UINT32_MAX;
		EXPECTED(HV_STATUS_INVALID_CONNECTION_ID, HVPM_POST, gpa);
		/* What is queued, and whoever waits for it, is looked for. */
		wrmsr(HV_X64_MSR_EOM, 0);
		wrmsr(HV_X64_MSR_SINT0 + FLOOD_SINT, HV_SYNIC_SINT_MASKED);
	}
	input->connection_id = CONNECTION;
	return 0;
}

/* A SIM page without memory is a fault of each delivery. */
static uint64_t guest_move_slots(struct hvpm_guest *guest, uint64_t unused)
{
	unsigned int i;

	for (i = 0; i < REFUSALS; i++) {
		wrmsr(HV_X64_MSR_SIMP, BIT_ULL(45) | HV_SYNIC_SIMP_ENABLE);
		hvpm_guest_post_block(guest);
	}
	wrmsr(HV_X64_MSR_SIMP, guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	return 0;
}

/* Lines in the kernel's log behind where @log stands. */
static unsigned int count_lines(int log)
{
	unsigned int lines = 0;
	char record[8192];
	ssize_t size;

	while ((size = read(log, record, sizeof(record))) > 0 || errno == EPIPE)
		lines += size > 0 ? 1 : REFUSALS;
	return lines;
}

TEST_F_TIMEOUT(flood, refusals_leave_the_log_alone, 120)
{
	struct hv_postmsg_partition_stats stats;
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	ASSERT_LE(0, log);
	ASSERT_LE(0, lseek(log, 0, SEEK_END));
	hvpm_vp_call(self->vp, guest_be_refused, 0);
	hvpm_vp_call(self->vp, guest_move_slots, 0);
	hvpm_partition_stats(self->quiet->partition, &stats);
	EXPECT_LE(REFUSALS, stats.faults);
	EXPECT_LE(3 * REFUSALS, stats.status[HV_STATUS_INVALID_ALIGNMENT]);
	EXPECT_GT(REFUSALS / 100, count_lines(log));
	close(log);
}

TEST_HARNESS_MAIN
