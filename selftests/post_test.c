// SPDX-License-Identifier: GPL-2.0-only
/*
 * HvCallPostMessage from a 64-bit guest: what is accepted, and every refusal
 *
 * Each case runs twice: the port belongs to another VM (peer), or to the VP
 * that posts (self).
 */
#include "hvpm_test.h"

#define PORT		0x00abcdefu
#define CONNECTION	0x00123456u
#define SINT		2
#define TYPE		0x12345678u
#define SIZE		100

FIXTURE(post) {
	struct hvpm_vm *from_vm;
	struct hvpm_vm *to_vm;
	struct hvpm_vp *from;
	struct hvpm_vp *to;
};

FIXTURE_VARIANT(post) {
	bool self;		/* the port belongs to the VP that posts */
};

FIXTURE_VARIANT_ADD(post, peer) { .self = false };
FIXTURE_VARIANT_ADD(post, self) { .self = true };

FIXTURE_SETUP(post)
{
	self->from_vm = hvpm_vm_create(1, NULL);
	self->to_vm = variant->self ? self->from_vm : hvpm_vm_create(1, NULL);
	self->from = &self->from_vm->vps[0];
	self->to = &self->to_vm->vps[0];
}

FIXTURE_TEARDOWN(post)
{
	struct hv_postmsg_port_stats stats = {
		.size = sizeof(stats),
		.port_id = PORT,
	};

	if (!__hvpm_ioctl(self->to_vm->partition, HV_POSTMSG_PORT_STATS, &stats))
		hvpm_check_port(self->to_vm->partition, PORT);
	if (self->to_vm != self->from_vm)
		hvpm_vm_free(self->to_vm);
	hvpm_vm_free(self->from_vm);
}

/* What makes no sense from a VP to itself. */
FIXTURE(post_peer) {
	FIXTURE_DATA(post) post;
};

FIXTURE_SETUP(post_peer)
{
	post_setup(_metadata, &self->post, &_post_peer_variant);
}

FIXTURE_TEARDOWN(post_peer)
{
	post_teardown(_metadata, &self->post, &_post_peer_variant);
}

/* Attach the VMs; @flags are those of the posting VM's partition. */
static void attach(struct _test_data_post *self, uint32_t flags)
{
	hvpm_vm_attach(self->from_vm, flags);
	if (self->to_vm != self->from_vm)
		hvpm_vm_attach(self->to_vm, 0);
}

/* Attach, and connect to a port of VP @vp. */
static void connect_vp(struct _test_data_post *self, uint32_t flags, uint32_t vp)
{
	attach(self, flags);
	hvpm_create_port(self->to_vm->partition, PORT, vp, SINT, 0, 0);
	hvpm_join(self->from_vm->partition, CONNECTION, self->to_vm->partition,
		  PORT);
	/* Initialises the guest, also where the SynIC is left as it is. */
	hvpm_vp_poke(self->from);
}

/* The world of most cases: everything in place for a post to succeed. */
static void prepare(struct _test_data_post *self, uint32_t flags)
{
	connect_vp(self, flags, 0);
	hvpm_vp_enable_synic(self->to, SINT);
}

/*
 * Check the slot, byte by byte: the message is what was posted last, and
 * nothing beyond its payload was written.  Then take the message.
 */
static void expect_message(struct _test_data_post *self,
			   struct __test_metadata *_metadata,
			   struct hvpm_vp *vp, uint32_t type, uint32_t size,
			   const uint8_t *payload, uint8_t beyond)
{
	struct hv_postmsg_message message;
	unsigned int i;

	ASSERT_TRUE(hvpm_vp_take(vp, SINT, &message));
	EXPECT_EQ(type, message.type);
	EXPECT_EQ(size, message.payload_size);
	EXPECT_EQ(0, message.flags);
	EXPECT_EQ(0, message.reserved);
	EXPECT_EQ(PORT, message.port_id);
	EXPECT_EQ(0, memcmp(message.payload, payload, size));
	for (i = size; i < sizeof(message.payload); i++)
		ASSERT_EQ(beyond, message.payload[i])
			TH_LOG("byte %u, payload size %u", i, size);
}

/* Post with @control and the block at @gpa; it must succeed and arrive at @vp. */
static void expect_delivery(struct _test_data_post *self,
			    struct __test_metadata *_metadata,
			    struct hvpm_vp *vp, uint64_t control, uint64_t gpa,
			    uint32_t offset)
{
	struct hvpm_input input = *(struct hvpm_input *)(self->from->input + offset);
	uint32_t before = vp->guest->interrupts[SINT];
	struct hv_postmsg_port_stats stats, now;

	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	memset((void *)&vp->slots[SINT], 0, sizeof(vp->slots[SINT]));
	memset((void *)vp->slots[SINT].payload, 0xee, HV_POSTMSG_PAYLOAD_MAX);

	ASSERT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_hypercall(self->from, control, gpa, 0));
	hvpm_vp_poke(vp);
	EXPECT_EQ(before + 1, vp->guest->interrupts[SINT]);
	expect_message(self, _metadata, vp, input.message_type,
		       input.payload_size, input.payload, 0xee);

	hvpm_port_stats(self->to_vm->partition, PORT, &now);
	EXPECT_EQ(stats.posted + 1, now.posted);
	EXPECT_EQ(stats.delivered + 1, now.delivered);
	EXPECT_EQ(0, now.queued);
	EXPECT_EQ(now.buffers, now.free);
}

/* A well-formed post must succeed: what was refused before left no trace. */
#define EXPECT_ACCEPTED() do {						\
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);		\
	expect_delivery(self, _metadata, self->to, HVPM_POST,		\
			hvpm_vp_input_gpa(self->from), 0);		\
} while (0)

/*
 * A call that must get @status and leave no trace.  @module: the status comes
 * from the module and not from KVM's own checks, so it is counted.
 */
static void expect_refused(struct _test_data_post *self,
			   struct __test_metadata *_metadata, uint16_t status,
			   uint64_t control, uint64_t gpa, bool module)
{
	struct hv_postmsg_partition_stats before, after;
	struct hvpm_watch watch;
	uint16_t seen;

	hvpm_partition_stats(self->from_vm->partition, &before);
	hvpm_watch_start(&watch, self->to_vm);
	seen = hvpm_vp_hypercall(self->from, control, gpa, 0);
	EXPECT_EQ(status, seen)
		TH_LOG("control 0x%lx, input at 0x%lx", control, gpa);
	hvpm_watch_nothing(&watch);
	hvpm_partition_stats(self->from_vm->partition, &after);
	EXPECT_EQ(before.status[HV_STATUS_SUCCESS],
		  after.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(before.passed, after.passed);
	if (!module)
		return;
	EXPECT_EQ(before.status[status] + 1, after.status[status]);
}

#define EXPECT_REFUSED(status, control, gpa) \
	expect_refused(self, _metadata, status, control, gpa, true)
#define EXPECT_REFUSED_BY_KVM(status, control, gpa) \
	expect_refused(self, _metadata, status, control, gpa, false)

/* Refuse the block just filled in. */
#define EXPECT_BLOCK_REFUSED(status) \
	EXPECT_REFUSED(status, HVPM_POST, hvpm_vp_input_gpa(self->from))

/* --- accepted --- */

TEST_F(post, accepted)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	EXPECT_ACCEPTED();
}

TEST_F(post, status_counted)
{
	struct hv_postmsg_partition_stats stats;

	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_partition_stats(self->from_vm->partition, &stats);
	EXPECT_EQ(1, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(0, stats.passed);
	hvpm_partition_stats(self->to_vm->partition, &stats);
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(1, stats.ports);
}

/* Only PayloadSize bytes reach the slot; what was beyond them stays. */
static void payload_size(struct _test_data_post *self,
			 struct __test_metadata *_metadata, uint32_t size)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, size);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

TEST_F(post, payload_size_0)
{
	payload_size(self, _metadata, 0);
}

TEST_F(post, payload_size_1)
{
	payload_size(self, _metadata, 1);
}

TEST_F(post, payload_size_239)
{
	payload_size(self, _metadata, 239);
}

TEST_F(post, payload_size_240)
{
	payload_size(self, _metadata, 240);
}

TEST_F(post, message_type_limits)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, 1, SIZE);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, 0x7fffffff, SIZE);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

TEST_F(post, connection_id_limits)
{
	int port_fd;

	attach(self, 0);
	hvpm_create_port(self->to_vm->partition, PORT, 0, SINT,
			 HV_POSTMSG_PORT_SHARED, 0);
	port_fd = hvpm_port_fd(self->to_vm->partition, PORT);
	hvpm_connect(self->from_vm->partition, 0, port_fd,
		     variant->self ? HV_POSTMSG_CONNECT_SELF : 0);
	hvpm_connect(self->from_vm->partition, HV_POSTMSG_ID_MAX, port_fd,
		     variant->self ? HV_POSTMSG_CONNECT_SELF : 0);
	close(port_fd);
	hvpm_vp_enable_synic(self->to, SINT);

	hvpm_vp_fill(self->from, 0, 0, TYPE, SIZE);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
	hvpm_vp_fill(self->from, 0, HV_POSTMSG_ID_MAX, TYPE, SIZE);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
	hvpm_vp_fill(self->from, 0, 1, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
}

/* The call has no output: the register for it is not looked at. */
TEST_F(post, output_address_ignored)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_hypercall(self->from, HVPM_POST,
				    hvpm_vp_input_gpa(self->from), ~0ULL));
}

/* --- 0x06 --- */

/* CPUID is fixed once a vCPU has run, so this comes before everything. */
static void clear_privilege(struct hvpm_vp *vp)
{
	vcpu_clear_cpuid_feature(vp->vcpu, HV_POST_MESSAGES);
}

TEST_F(post, access_denied_by_capability)
{
	clear_privilege(self->from);
	prepare(self, 0);
	vcpu_enable_cap(self->from->vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_REFUSED_BY_KVM(HV_STATUS_ACCESS_DENIED, HVPM_POST,
			      hvpm_vp_input_gpa(self->from));
	/* Before everything else, so that it tells nothing. */
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, 0, SIZE);
	EXPECT_REFUSED_BY_KVM(HV_STATUS_ACCESS_DENIED,
			      HVPM_POST | HV_HYPERCALL_FAST_BIT,
			      hvpm_vp_input_gpa(self->from) + 1);
	EXPECT_REFUSED_BY_KVM(HV_STATUS_ACCESS_DENIED, HVPM_POST | BIT_ULL(63),
			      hvpm_vp_input_gpa(self->from) + 1);
}

TEST_F(post, access_denied_by_flag)
{
	clear_privilege(self->from);
	prepare(self, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_ACCESS_DENIED);
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, 0, SIZE);
	EXPECT_REFUSED(HV_STATUS_ACCESS_DENIED,
		       HVPM_POST | HV_HYPERCALL_FAST_BIT,
		       hvpm_vp_input_gpa(self->from) + 1);
}

TEST_F(post, privilege_granted)
{
	prepare(self, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE);
	vcpu_enable_cap(self->from->vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	EXPECT_ACCEPTED();
}

TEST_F(post, privilege_not_enforced)
{
	clear_privilege(self->from);
	prepare(self, 0);
	EXPECT_ACCEPTED();
}

/* --- 0x12 --- */

TEST_F(post, unknown_connection)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	hvpm_vp_fill(self->from, 0, CONNECTION - 1, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	hvpm_vp_fill(self->from, 0, 0, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	EXPECT_ACCEPTED();
}

TEST_F(post, connection_id_high_byte)
{
	unsigned int bit;

	prepare(self, 0);
	for (bit = 24; bit < 32; bit++) {
		hvpm_vp_fill(self->from, 0, CONNECTION | 1u << bit, TYPE, SIZE);
		EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	}
	EXPECT_ACCEPTED();
}

TEST_F(post, disconnected)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_disconnect(self->from_vm->partition, CONNECTION);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	hvpm_join(self->from_vm->partition, CONNECTION, self->to_vm->partition,
		  PORT);
	EXPECT_ACCEPTED();
}

/* A connection is the sender's own: another VM's ID means nothing. */
TEST_F(post, connection_of_another_partition)
{
	struct hvpm_watch watch;
	struct hvpm_vm *other;

	prepare(self, 0);
	other = hvpm_vm_create(1, NULL);
	hvpm_vm_attach(other, 0);
	hvpm_vp_enable_synic(&other->vps[0], SINT);
	hvpm_watch_start(&watch, self->to_vm);
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID,
		  hvpm_vp_post(&other->vps[0], CONNECTION, TYPE, SIZE, 0, 0));
	hvpm_watch_nothing(&watch);
	hvpm_vm_free(other);
	EXPECT_ACCEPTED();
}

/* --- 0x11 --- */

TEST_F(post, deleted_port)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_delete_port(self->to_vm->partition, PORT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
	/* A new port of the same ID is another port. */
	hvpm_create_port(self->to_vm->partition, PORT, 0, SINT, 0, 0);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
	hvpm_disconnect(self->from_vm->partition, CONNECTION);
	hvpm_join(self->from_vm->partition, CONNECTION, self->to_vm->partition,
		  PORT);
	EXPECT_ACCEPTED();
}

TEST_F(post, inactive_partition)
{
	struct hv_postmsg_port_stats stats;

	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_set_state(self->to_vm->partition, HV_POSTMSG_STATE_INACTIVE);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(1, stats.refused_port);
	hvpm_set_state(self->to_vm->partition, HV_POSTMSG_STATE_ACTIVE);
	EXPECT_ACCEPTED();
}

TEST_F(post, event_port)
{
	struct hv_postmsg_port_stats stats;

	attach(self, 0);
	hvpm_create_event_port(self->to_vm->partition, PORT, 0, SINT, 0);
	hvpm_join(self->from_vm->partition, CONNECTION, self->to_vm->partition,
		  PORT);
	hvpm_vp_enable_synic(self->to, SINT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(1, stats.refused_port);
	EXPECT_EQ(0, stats.buffers);
}

static void closed_partition(struct _test_data_post *self,
			     struct __test_metadata *_metadata)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	close(self->to_vm->partition);
	self->to_vm->partition = -1;
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
}

TEST_F(post_peer, closed_partition)
{
	closed_partition(&self->post, _metadata);
}

/* --- 0x05 --- */

TEST_F(post, message_type_zero)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, 0, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	EXPECT_ACCEPTED();
}

TEST_F(post, message_type_top_bit)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, 0x80000000, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	hvpm_vp_fill(self->from, 0, CONNECTION, 0x80000010, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	hvpm_vp_fill(self->from, 0, CONNECTION, 0xffffffff, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	EXPECT_ACCEPTED();
}

TEST_F(post, payload_size_241)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, 241);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	EXPECT_ACCEPTED();
}

TEST_F(post, payload_size_all_ones)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, 0xffffffff);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	/* One that fits once cut to the header's 8 bits. */
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, 0x100);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, 0x80000010);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	EXPECT_ACCEPTED();
}

TEST_F(post, reserved_word_ignored)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE)->reserved = 0xffffffff;
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

TEST_F(post, reserved_word_strict)
{
	unsigned int bit;

	prepare(self, HV_POSTMSG_PARTITION_STRICT_RESERVED);
	for (bit = 0; bit < 32; bit += 31) {
		hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE)->reserved = 1u << bit;
		EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	}
	EXPECT_ACCEPTED();
}

/* --- 0x13 --- */

TEST_F(post, insufficient_buffers)
{
	struct hv_postmsg_port_stats stats;
	struct hv_postmsg_message message;
	struct hvpm_payload head;
	unsigned int i;

	prepare(self, 0);
	/* One in the slot, 16 in the port's buffers. */
	for (i = 0; i < 17; i++) {
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(self->from, CONNECTION, TYPE, SIZE, 1, i))
			TH_LOG("post %u", i);
		hvpm_vp_poke(self->to);
	}
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(16, stats.buffers);
	EXPECT_EQ(0, stats.free);
	EXPECT_EQ(16, stats.queued);
	EXPECT_EQ(16, stats.high_water);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INSUFFICIENT_BUFFERS);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INSUFFICIENT_BUFFERS);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(2, stats.refused_buffers);

	/* One consumed makes room for one. */
	ASSERT_TRUE(hvpm_vp_take(self->to, SINT, &message));
	hvpm_vp_poke(self->to);
	ASSERT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_post(self->from, CONNECTION, TYPE, SIZE, 1, 17));
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INSUFFICIENT_BUFFERS);

	/* All come, in the order in which they were accepted. */
	for (i = 0; i < 18; i++) {
		if (i)
			ASSERT_TRUE(hvpm_vp_take(self->to, SINT, &message))
				TH_LOG("message %u", i);
		ASSERT_TRUE(hvpm_payload_check(message.payload, message.type,
					       message.payload_size, &head));
		EXPECT_EQ(i, head.sequence);
	}
	EXPECT_FALSE(hvpm_vp_take(self->to, SINT, &message));
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(16, stats.free);
	EXPECT_EQ(18, stats.delivered);
}

/* A VP that does not run keeps its queue, and its slot stays empty. */
static void insufficient_buffers_paused(struct _test_data_post *self,
					struct __test_metadata *_metadata)
{
	unsigned int i;

	prepare(self, 0);
	for (i = 0; i < 16; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(self->from, CONNECTION, TYPE, SIZE, 1, i));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
		  hvpm_vp_post(self->from, CONNECTION, TYPE, SIZE, 1, i));
	EXPECT_EQ(0, self->to->slots[SINT].type);
}

TEST_F(post_peer, insufficient_buffers_paused)
{
	insufficient_buffers_paused(&self->post, _metadata);
}

/* --- 0x0E --- */

TEST_F(post, vp_not_yet_created)
{
	struct hv_postmsg_port_stats stats;
	struct hvpm_vp *vp;

	hvpm_vm_free(self->to_vm);
	self->to_vm = hvpm_vm_create_empty(2);
	if (variant->self)
		self->from_vm = self->to_vm;
	self->to = hvpm_vm_add_vp(self->to_vm, NULL, true);
	self->from = &self->from_vm->vps[0];
	connect_vp(self, 0, 1);
	hvpm_vp_enable_synic(self->to, SINT);

	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(2, stats.refused_vp);

	/* It comes, without a SIM page first. */
	vp = hvpm_vm_add_vp(self->to_vm, NULL, true);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vp_enable_synic(vp, SINT);
	expect_delivery(self, _metadata, vp, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

TEST_F(post, vp_index_changed_away)
{
	struct hv_postmsg_port_stats stats;

	prepare(self, 0);
	EXPECT_ACCEPTED();
	vcpu_set_msr(self->to->vcpu, HV_X64_MSR_VP_INDEX, 5);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(1, stats.refused_vp);
	vcpu_set_msr(self->to->vcpu, HV_X64_MSR_VP_INDEX, 0);
	EXPECT_ACCEPTED();
}

/* The port names an index; which vCPU has it may change. */
TEST_F(post, vp_index_changed_hither)
{
	connect_vp(self, 0, 5);
	hvpm_vp_enable_synic(self->to, SINT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);
	vcpu_set_msr(self->to->vcpu, HV_X64_MSR_VP_INDEX, 5);
	EXPECT_ACCEPTED();
}

static void any_vp_without_vp(struct _test_data_post *self,
			      struct __test_metadata *_metadata)
{
	hvpm_vm_free(self->to_vm);
	self->to_vm = hvpm_vm_create_empty(1);
	connect_vp(self, 0, HV_POSTMSG_ANY_VP);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);

	self->to = hvpm_vm_add_vp(self->to_vm, NULL, true);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vp_enable_synic(self->to, SINT);
	EXPECT_ACCEPTED();
}

TEST_F(post_peer, any_vp_without_vp)
{
	any_vp_without_vp(&self->post, _metadata);
}

/* --- 0x18 --- */

TEST_F(post, simp_never_enabled)
{
	struct hv_postmsg_port_stats stats;

	connect_vp(self, 0, 0);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_port_stats(self->to_vm->partition, PORT, &stats);
	EXPECT_EQ(1, stats.refused_synic);
}

TEST_F(post, simp_disabled)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SIMP, self->to->guest->slots_gpa);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SIMP,
		      self->to->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	EXPECT_ACCEPTED();
}

TEST_F(post, scontrol_disabled)
{
	prepare(self, 0);
	EXPECT_ACCEPTED();
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	EXPECT_ACCEPTED();
}

/* The VMM never gave the target a SynIC. */
static void target_without_synic(struct _test_data_post *self,
				 struct __test_metadata *_metadata)
{
	hvpm_vm_free(self->to_vm);
	self->to_vm = hvpm_vm_create_empty(1);
	self->to = hvpm_vm_add_vp(self->to_vm, NULL, false);
	connect_vp(self, 0, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
}

TEST_F(post_peer, target_without_synic)
{
	target_without_synic(&self->post, _metadata);
}

TEST_F(post, any_vp_none_eligible)
{
	struct hvpm_vp *second;

	hvpm_vm_free(self->to_vm);
	self->to_vm = hvpm_vm_create(2, NULL);
	if (variant->self)
		self->from_vm = self->to_vm;
	self->from = &self->from_vm->vps[0];
	self->to = &self->to_vm->vps[0];
	second = &self->to_vm->vps[1];
	connect_vp(self, 0, HV_POSTMSG_ANY_VP);
	hvpm_vp_enable_synic(self->to, SINT);
	hvpm_vp_enable_synic(second, SINT);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, 0);
	hvpm_vp_wrmsr(second, HV_X64_MSR_SIMP, second->guest->slots_gpa);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);

	/* One is enough, whichever. */
	hvpm_vp_wrmsr(second, HV_X64_MSR_SIMP,
		      second->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	expect_delivery(self, _metadata, second, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
	hvpm_vp_wrmsr(second, HV_X64_MSR_SIMP, second->guest->slots_gpa);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	expect_delivery(self, _metadata, self->to, HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

TEST_F(post, any_vp_preferred)
{
	struct hv_postmsg_port_property property = {
		.size = sizeof(property),
		.port_id = PORT,
		.property = HV_POSTMSG_PROPERTY_PREFERRED_VP,
	};
	unsigned int i;

	hvpm_vm_free(self->to_vm);
	self->to_vm = hvpm_vm_create(2, NULL);
	if (variant->self)
		self->from_vm = self->to_vm;
	self->from = &self->from_vm->vps[0];
	connect_vp(self, 0, HV_POSTMSG_ANY_VP);
	hvpm_vp_enable_synic(&self->to_vm->vps[0], SINT);
	hvpm_vp_enable_synic(&self->to_vm->vps[1], SINT);
	/* The same several times, so that it is no turn that it takes. */
	for (i = 0; i < 8; i++) {
		property.value = i / 4;
		hvpm_ioctl(self->to_vm->partition, HV_POSTMSG_SET_PORT_PROPERTY,
			   &property);
		hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
		expect_delivery(self, _metadata, &self->to_vm->vps[i / 4],
				HVPM_POST, hvpm_vp_input_gpa(self->from), 0);
	}
	/* A VP that cannot is passed over. */
	property.value = 1;
	hvpm_ioctl(self->to_vm->partition, HV_POSTMSG_SET_PORT_PROPERTY,
		   &property);
	hvpm_vp_wrmsr(&self->to_vm->vps[1], HV_X64_MSR_SCONTROL, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	expect_delivery(self, _metadata, &self->to_vm->vps[0], HVPM_POST,
			hvpm_vp_input_gpa(self->from), 0);
}

/* --- 0x03 --- */

TEST_F(post, fast)
{
	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT,
		       HVPM_POST | HV_HYPERCALL_FAST_BIT,
		       hvpm_vp_input_gpa(self->from));
	EXPECT_ACCEPTED();
}

static void control_bits(struct _test_data_post *self,
			 struct __test_metadata *_metadata, unsigned int low,
			 unsigned int high)
{
	unsigned int bit;

	prepare(self, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	for (bit = low; bit <= high; bit++)
		EXPECT_REFUSED_BY_KVM(HV_STATUS_INVALID_HYPERCALL_INPUT,
				      HVPM_POST | BIT_ULL(bit),
				      hvpm_vp_input_gpa(self->from));
	EXPECT_ACCEPTED();
}

TEST_F(post, variable_header)
{
	control_bits(self, _metadata, 17, 26);
}

TEST_F(post, reserved_bits_30_27)
{
	control_bits(self, _metadata, 27, 30);
}

TEST_F(post, nested_bit_31)
{
	control_bits(self, _metadata, 31, 31);
}

TEST_F(post, rep_count)
{
	control_bits(self, _metadata, 32, 43);
}

TEST_F(post, reserved_bits_47_44)
{
	control_bits(self, _metadata, 44, 47);
}

TEST_F(post, rep_start_index)
{
	control_bits(self, _metadata, 48, 59);
}

TEST_F(post, reserved_bits_63_60)
{
	control_bits(self, _metadata, 60, 63);
}

TEST_F(post, caller_without_synic)
{
	hvpm_vm_free(self->from_vm);
	self->from_vm = hvpm_vm_create_empty(1);
	self->from = hvpm_vm_add_vp(self->from_vm, NULL, false);
	if (variant->self) {
		self->to_vm = self->from_vm;
		self->to = self->from;
	}
	connect_vp(self, 0, 0);
	if (!variant->self)
		hvpm_vp_enable_synic(self->to, SINT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_REFUSED_BY_KVM(HV_STATUS_INVALID_HYPERCALL_INPUT, HVPM_POST,
			      hvpm_vp_input_gpa(self->from));
}

/* --- 0x04 --- */

TEST_F(post, misaligned)
{
	unsigned int offset;

	prepare(self, 0);
	for (offset = 1; offset < 8; offset++) {
		hvpm_vp_fill(self->from, offset, CONNECTION, TYPE, SIZE);
		EXPECT_REFUSED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST,
			       hvpm_vp_input_gpa(self->from) + offset);
	}
	EXPECT_ACCEPTED();
}

TEST_F(post, last_offset_of_a_page)
{
	unsigned int offset;

	prepare(self, 0);
	for (offset = 8; offset <= 0xf00; offset += 0xf00 - 8) {
		hvpm_vp_fill(self->from, offset, CONNECTION, TYPE, 240);
		expect_delivery(self, _metadata, self->to, HVPM_POST,
				hvpm_vp_input_gpa(self->from) + offset, offset);
	}
}

/* Both pages are there; a block may still not cross from one to the other. */
TEST_F(post, page_crossing)
{
	static const unsigned int offsets[] = { 0xf08, 0xf80, 0xff8 };
	unsigned int i;

	prepare(self, 0);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		hvpm_vp_fill(self->from, offsets[i], CONNECTION, TYPE, 8);
		EXPECT_REFUSED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST,
			       hvpm_vp_input_gpa(self->from) + offsets[i]);
	}
	EXPECT_ACCEPTED();
}

TEST_F(post, unmapped_address)
{
	static const uint64_t gpas[] = {
		0xc0000000,			/* no memory slot */
		0xfee00000,			/* the local APIC */
		1ULL << 51,
		1ULL << 52,			/* beyond any address space */
		1ULL << 63,
		0xfffffffffffff000ULL,
	};
	unsigned int i;

	prepare(self, 0);
	for (i = 0; i < ARRAY_SIZE(gpas); i++)
		EXPECT_REFUSED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST, gpas[i]);
	EXPECT_ACCEPTED();
}

/* --- which of several faults counts --- */

TEST_F(post, order_of_checks)
{
	uint64_t gpa;

	prepare(self, 0);
	gpa = hvpm_vp_input_gpa(self->from);

	/* control word before address */
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, 0, 241);
	EXPECT_REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT,
		       HVPM_POST | HV_HYPERCALL_FAST_BIT, gpa + 1);
	/* address before content */
	EXPECT_REFUSED(HV_STATUS_INVALID_ALIGNMENT, HVPM_POST, gpa + 1);
	/* type and size before connection */
	EXPECT_REFUSED(HV_STATUS_INVALID_PARAMETER, HVPM_POST, gpa);
	/* connection before port */
	hvpm_set_state(self->to_vm->partition, HV_POSTMSG_STATE_INACTIVE);
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_CONNECTION_ID);
	/* port before VP */
	vcpu_set_msr(self->to->vcpu, HV_X64_MSR_VP_INDEX, 5);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, 0);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
	/* VP before its SynIC */
	hvpm_set_state(self->to_vm->partition, HV_POSTMSG_STATE_ACTIVE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_VP_INDEX);
	vcpu_set_msr(self->to->vcpu, HV_X64_MSR_VP_INDEX, 0);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	EXPECT_ACCEPTED();
}

/* SynIC before buffers. */
TEST_F(post, order_of_checks_buffers)
{
	unsigned int i;

	prepare(self, 0);
	for (i = 0; i < 17; i++) {
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_vp_post(self->from, CONNECTION, TYPE, SIZE, 1, i));
		hvpm_vp_poke(self->to);
	}
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INSUFFICIENT_BUFFERS);
	hvpm_vp_wrmsr(self->to, HV_X64_MSR_SCONTROL, 0);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_set_state(self->to_vm->partition, HV_POSTMSG_STATE_INACTIVE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
}

/* --- passing on to the VMM --- */

/*
 * Post the block just filled in; KVM must exit to user space with it, exactly
 * as it does without the module.  Answer with @result.
 */
static void expect_exit(struct hvpm_vp *vp, struct __test_metadata *_metadata,
			uint64_t result)
{
	struct kvm_run *run = vp->vcpu->run;

	vp->guest->command = HVPM_HYPERCALL;
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = vp->guest->input_gpa;
	vp->guest->argument[2] = 0x1234000;
	ASSERT_EQ(UCALL_NONE, hvpm_vp_run(vp, NULL));
	ASSERT_EQ(KVM_EXIT_HYPERV, run->exit_reason);
	EXPECT_EQ(KVM_EXIT_HYPERV_HCALL, run->hyperv.type);
	EXPECT_EQ(HVPM_POST, run->hyperv.u.hcall.input);
	EXPECT_EQ(vp->guest->input_gpa, run->hyperv.u.hcall.params[0]);
	EXPECT_EQ(0x1234000, run->hyperv.u.hcall.params[1]);
	run->hyperv.u.hcall.result = result;
	ASSERT_EQ(UCALL_SYNC, hvpm_vp_run(vp, NULL));
	EXPECT_EQ(result, vp->guest->result[0]);
}

TEST_F(post, pass_unknown)
{
	struct hv_postmsg_partition_stats stats;
	struct hvpm_watch watch;

	prepare(self, HV_POSTMSG_PARTITION_PASS_UNKNOWN);
	hvpm_watch_start(&watch, self->to_vm);
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, TYPE, SIZE);
	expect_exit(self->from, _metadata, HV_STATUS_INSUFFICIENT_BUFFERS);
	expect_exit(self->from, _metadata, HV_STATUS_SUCCESS);
	hvpm_watch_nothing(&watch);
	hvpm_partition_stats(self->from_vm->partition, &stats);
	EXPECT_EQ(2, stats.passed);
	EXPECT_EQ(0, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(0, stats.status[HV_STATUS_INVALID_CONNECTION_ID]);

	/* What is known, or malformed, is the kernel's. */
	EXPECT_ACCEPTED();
	hvpm_vp_fill(self->from, 0, CONNECTION + 1, 0, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PARAMETER);
	hvpm_delete_port(self->to_vm->partition, PORT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	EXPECT_BLOCK_REFUSED(HV_STATUS_INVALID_PORT_ID);
}

/* Without an attached VM the module is invisible. */
TEST_F(post, not_attached)
{
	hvpm_vp_enable_synic(self->from, SINT);
	hvpm_vp_fill(self->from, 0, CONNECTION, TYPE, SIZE);
	expect_exit(self->from, _metadata, HV_STATUS_INVALID_CONNECTION_ID);
	/* Also what the module would refuse: that is for the VMM to judge. */
	hvpm_vp_fill(self->from, 0, CONNECTION, 0, 241);
	expect_exit(self->from, _metadata, HV_STATUS_SUCCESS);
	EXPECT_EQ(HV_STATUS_INVALID_HYPERCALL_INPUT,
		  hvpm_vp_hypercall(self->from, HVPM_POST | BIT_ULL(32),
				    hvpm_vp_input_gpa(self->from), 0));
}

TEST_HARNESS_MAIN
