// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VP that posts to itself: order, registers, memory that changes
 *
 * That is what the module has a short way for.  post_test has what it accepts and
 * refuses; here is what must not be taken over from one post to the next.
 */
#include "smm.h"

#define OTHER		11
#define LOW_SINT	1

/* Guest memory of its own: a page for slots, one for the input block. */
#define REGION_GPA	0x10000000ULL
#define REGION_SLOT	5
#define REGION_BYTES	(2 * 4096)
#define REGION_INPUT	(REGION_GPA + 4096)

static uint16_t post(struct hvpm_vp *vp, uint32_t connection, uint64_t sequence)
{
	return hvpm_vp_post(vp, connection, TYPE + sequence, SIZE, 0, sequence);
}

#define EXPECT_POST(number)						\
	EXPECT_EQ(HV_STATUS_SUCCESS, post(self->vp, CONNECTION, number))

/* --- one VP --- */

TEST_F(slot, message)
{
	uint8_t beyond[HV_POSTMSG_PAYLOAD_MAX - SIZE];
	struct hv_postmsg_port_stats stats;
	struct hv_postmsg_message message;

	connect_to_self(self);
	memset((void *)&self->vp->slots[SINT], 0xee, sizeof(message));
	self->vp->slots[SINT].type = 0;
	EXPECT_POST(5);
	EXPECT_INTERRUPTS(self->vp, 1);
	message = self->vp->slots[SINT];
	EXPECT_EQ(SIZE, message.payload_size);
	EXPECT_EQ(0, message.flags);
	EXPECT_EQ(0, message.reserved);
	EXPECT_EQ(SELF, message.port_id);
	memset(beyond, 0xee, sizeof(beyond));
	EXPECT_EQ(0, memcmp(message.payload + SIZE, beyond, sizeof(beyond)));
	EXPECT_TAKE(self->vp, SINT, 5);

	hvpm_port_stats(self->partition, SELF, &stats);
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(1, stats.high_water);
}

/* An empty slot is for those that wait. */
TEST_F(slot, not_before_what_is_queued)
{
	unsigned int i;

	connect_to_self(self);
	for (i = 0; i < 3; i++)
		EXPECT_POST(i);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	empty_slot(self->vp, SINT);
	EXPECT_POST(3);
	for (i = 1; i < 4; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
}

/* A second port of the VP, for another SINT. */
static void connect_other(struct _test_data_slot *self)
{
	hvpm_create_port(self->partition, OTHER, 0, LOW_SINT, 0, 0);
	hvpm_join(self->partition, OTHER, self->partition, OTHER);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + LOW_SINT,
		      HVPM_VECTOR(0, LOW_SINT));
}

TEST_F(slot, two_connections)
{
	unsigned int i;

	connect_to_self(self);
	connect_other(self);
	for (i = 0; i < 4; i++) {
		EXPECT_POST(i);
		EXPECT_TAKE(self->vp, SINT, i);
		EXPECT_EQ(HV_STATUS_SUCCESS, post(self->vp, OTHER, i));
		EXPECT_TAKE(self->vp, LOW_SINT, i);
	}
	EXPECT_INTERRUPTS(self->vp, 4);
	EXPECT_EQ(4, self->vp->guest->interrupts[LOW_SINT]);
	/* One connection less: what was found of the other has to be found again. */
	hvpm_disconnect(self->partition, OTHER);
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID, post(self->vp, OTHER, i));
	EXPECT_POST(i);
	EXPECT_TAKE(self->vp, SINT, i);
}

TEST_F(slot, masked_and_polling)
{
	connect_to_self(self);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HVPM_VECTOR(0, SINT) | HV_SYNIC_SINT_MASKED);
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HVPM_VECTOR(0, SINT) | 1 << 18);
	EXPECT_POST(1);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_INTERRUPTS(self->vp, 0);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HVPM_VECTOR(0, SINT));
	EXPECT_POST(2);
	EXPECT_TAKE(self->vp, SINT, 2);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/* Posts to two SINTs, higher vector first, before it takes interrupts. */
static uint64_t post_twice(struct hvpm_guest *guest, uint64_t connection)
{
	struct hvpm_input *input = (void *)guest->input;
	uint16_t status[2];

	asm volatile("cli" : : : "memory");
	input->connection_id = CONNECTION;
	status[0] = hvpm_guest_post_block(guest);
	input->connection_id = connection;
	status[1] = hvpm_guest_post_block(guest);
	asm volatile("sti; nop" : : : "memory");
	return status[0] | status[1];
}

TEST_F(slot, two_vectors)
{
	connect_to_self(self);
	connect_other(self);
	hvpm_vp_fill(self->vp, 0, 0, TYPE, SIZE);
	EXPECT_EQ(HV_STATUS_SUCCESS, hvpm_vp_call(self->vp, post_twice, OTHER));
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_EQ(1, self->vp->guest->interrupts[LOW_SINT]);
}

/* --- which VP it is --- */

TEST_F(slot, other_vp)
{
	hvpm_create_port(self->partition, OTHER, 1, SINT, 0, 0);
	hvpm_join(self->partition, OTHER, self->partition, OTHER);
	hvpm_vp_enable_synic(self->other, SINT);
	EXPECT_EQ(HV_STATUS_SUCCESS, post(self->vp, OTHER, 0));
	hvpm_vp_poke(self->other);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_TAKE(self->other, SINT, 0);
}

/* A port for an endpoint has no VP and no SINT: both are 0, as this one's. */
TEST_F(slot, own_endpoint)
{
	struct hv_postmsg_message message;
	int endpoint;

	hvpm_vp_enable_synic(self->vp, 0);
	endpoint = hvpm_create_endpoint(self->partition, 0);
	hvpm_create_endpoint_port(self->partition, OTHER, endpoint, 0, 0);
	hvpm_join(self->partition, OTHER, self->partition, OTHER);
	EXPECT_EQ(HV_STATUS_SUCCESS, post(self->vp, OTHER, 0));
	EXPECT_SLOT_EMPTY(self->vp, 0);
	EXPECT_EQ(sizeof(message), read(endpoint, &message, sizeof(message)));
	EXPECT_EQ(TYPE, message.type);
	close(endpoint);
}

/* The VMM gives two vCPUs each other's VP index. */
TEST_F(slot, swapped)
{
	connect_to_self(self);
	hvpm_vp_enable_synic(self->other, SINT);
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_VP_INDEX, 1);
	vcpu_set_msr(self->other->vcpu, HV_X64_MSR_VP_INDEX, 0);
	EXPECT_POST(1);
	hvpm_vp_poke(self->other);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_TAKE(self->other, SINT, 1);
	EXPECT_EQ(HV_STATUS_SUCCESS, post(self->other, CONNECTION, 2));
	EXPECT_TAKE(self->other, SINT, 2);
}

TEST_F(slot, without_synic)
{
	connect_to_self(self);
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SCONTROL, 0);
	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, post(self->vp, CONNECTION, 1));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, self->vp->guest->slots_gpa);
	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, post(self->vp, CONNECTION, 2));
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	EXPECT_POST(3);
	EXPECT_TAKE(self->vp, SINT, 3);
}

/* --- memory --- */

static struct hv_postmsg_message *set_region(struct _test_data_slot *self,
					     uint32_t flags)
{
	void *memory = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	TEST_ASSERT(memory != MAP_FAILED, "mmap");
	memset(memory, 0, REGION_BYTES);
	vm_set_user_memory_region(self->vm->vm, REGION_SLOT, flags, REGION_GPA,
				  REGION_BYTES, memory);
	return memory;
}

static void delete_region(struct _test_data_slot *self)
{
	vm_set_user_memory_region(self->vm->vm, REGION_SLOT, 0, REGION_GPA, 0, NULL);
}

/* Post message number @sequence by a block in the region. */
static uint16_t post_from_region(struct _test_data_slot *self,
				 struct hv_postmsg_message *slots,
				 uint64_t sequence)
{
	struct hvpm_input *input = (void *)slots + 4096;

	input->connection_id = CONNECTION;
	input->message_type = TYPE + sequence;
	input->payload_size = SIZE;
	hvpm_payload_fill(input->payload, TYPE + sequence, SIZE, 0, sequence);
	return hvpm_vp_hypercall(self->vp, HVPM_POST, REGION_INPUT, 0);
}

static void set_sim_page(struct _test_data_slot *self, uint64_t gpa)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, gpa | HV_SYNIC_SIMP_ENABLE);
}

/* Both pages are somewhere else at the next post. */
TEST_F(slot, memory_moves)
{
	struct hv_postmsg_message *slots, *before = NULL;
	unsigned int i;

	connect_to_self(self);
	set_sim_page(self, REGION_GPA);
	for (i = 0; i < 4; i++) {
		slots = set_region(self, 0);
		EXPECT_EQ(HV_STATUS_SUCCESS, post_from_region(self, slots, i));
		EXPECT_EQ(TYPE + i, slots[SINT].type);
		EXPECT_INTERRUPTS(self->vp, i + 1);
		if (before)
			EXPECT_EQ(0, before[SINT].type);
		slots[SINT].type = 0;
		delete_region(self);
		before = slots;
	}
	/* Without any the block cannot be read, and a message cannot be delivered. */
	EXPECT_EQ(HV_STATUS_INVALID_ALIGNMENT,
		  post_from_region(self, before, i));
	EXPECT_POST(i);
	EXPECT_EQ(0, before[SINT].type);
	set_sim_page(self, self->vp->guest->slots_gpa);
	EXPECT_TAKE(self->vp, SINT, i);
}

/*
 * Slots that cannot be written because there is only ROM, or nothing, and then the
 * guest comes back to those it had.
 */
static void leave_and_come_back(struct _test_data_slot *self,
				struct __test_metadata *_metadata, uint64_t gpa)
{
	connect_to_self(self);
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	set_sim_page(self, gpa);
	EXPECT_POST(1);
	EXPECT_INTERRUPTS(self->vp, 1);
	set_sim_page(self, self->vp->guest->slots_gpa);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_POST(2);
	EXPECT_TAKE(self->vp, SINT, 2);
	EXPECT_INTERRUPTS(self->vp, 3);
}

TEST_F(slot, slots_in_rom_and_back)
{
	struct hv_postmsg_message *slots = set_region(self, KVM_MEM_READONLY);

	leave_and_come_back(self, _metadata, REGION_GPA);
	EXPECT_EQ(0, slots[SINT].type);
}

TEST_F(slot, slots_nowhere_and_back)
{
	leave_and_come_back(self, _metadata, REGION_GPA);
}

/* A block in ROM can be read, and one elsewhere as before. */
TEST_F(slot, block_in_rom_and_back)
{
	struct hv_postmsg_message *slots = set_region(self, KVM_MEM_READONLY);

	connect_to_self(self);
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_EQ(HV_STATUS_SUCCESS, post_from_region(self, slots, 1));
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_POST(2);
	EXPECT_TAKE(self->vp, SINT, 2);
}

/* The VMM has the page, but not now. */
TEST_F(slot, memory_protected_by_the_vmm)
{
	struct hv_postmsg_message *slots = set_region(self, 0);

	connect_to_self(self);
	set_sim_page(self, REGION_GPA);
	EXPECT_POST(0);
	EXPECT_EQ(TYPE + 0, slots[SINT].type);
	slots[SINT].type = 0;
	ASSERT_EQ(0, mprotect(slots, 4096, PROT_READ));
	EXPECT_POST(1);
	EXPECT_EQ(0, slots[SINT].type);
	ASSERT_EQ(0, mprotect(slots, 4096, PROT_READ | PROT_WRITE));
	/* Two of them, in their order. */
	EXPECT_POST(2);
	EXPECT_EQ(TYPE + 1, slots[SINT].type);
	slots[SINT].type = 0;
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_EQ(TYPE + 2, slots[SINT].type);
	slots[SINT].type = 0;

	/* And a block. */
	ASSERT_EQ(0, mprotect((void *)slots + 4096, 4096, PROT_NONE));
	EXPECT_EQ(HV_STATUS_INVALID_ALIGNMENT,
		  hvpm_vp_hypercall(self->vp, HVPM_POST, REGION_INPUT, 0));
	ASSERT_EQ(0, mprotect((void *)slots + 4096, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(HV_STATUS_SUCCESS, post_from_region(self, slots, 3));
	EXPECT_EQ(TYPE + 3, slots[SINT].type);
}

/* Pages that are not resident are brought in. */
TEST_F(slot, memory_not_resident)
{
	struct hv_postmsg_message *slots = set_region(self, 0);

	connect_to_self(self);
	set_sim_page(self, REGION_GPA);
	ASSERT_EQ(0, madvise(slots, 4096, MADV_DONTNEED));
	EXPECT_EQ(HV_STATUS_SUCCESS, post_from_region(self, slots, 0));
	EXPECT_EQ(TYPE + 0, slots[SINT].type);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/*
 * A block that ends in the slot: nothing is written to the slot before all of it has
 * been read.
 */
TEST_F(slot, block_across_the_slot)
{
	const size_t into = 128;
	struct hv_postmsg_message *slots = set_region(self, 0);
	struct hvpm_input *input = (void *)&slots[SINT] - into;
	uint8_t payload[HV_POSTMSG_PAYLOAD_MAX];
	unsigned int i;

	connect_to_self(self);
	set_sim_page(self, REGION_GPA);
	for (i = 0; i < sizeof(payload); i++)
		payload[i] = i ^ 0x5a;
	/* The slot is empty where the block is across its type. */
	memset(payload + into - offsetof(struct hvpm_input, payload), 0,
	       sizeof(slots->type));
	input->connection_id = CONNECTION;
	input->message_type = TYPE;
	input->payload_size = sizeof(payload);
	memcpy(input->payload, payload, sizeof(payload));
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_hypercall(self->vp, HVPM_POST,
				    REGION_GPA + ((uint8_t *)input - (uint8_t *)slots), 0));
	EXPECT_EQ(TYPE, slots[SINT].type);
	EXPECT_EQ(SELF, slots[SINT].port_id);
	EXPECT_EQ(0, memcmp(slots[SINT].payload, payload, sizeof(payload)));
}

TEST_F(slot, sim_page_dirty)
{
	static unsigned long log[4096];
	uint64_t gfn = self->vp->guest->slots_gpa >> 12;
	unsigned int i;

	connect_to_self(self);
	/* Found before there was anything to log. */
	EXPECT_POST(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	vm_mem_region_set_flags(self->vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	for (i = 1; i < 4; i++) {
		hvpm_vp_poke(self->vp);
		kvm_vm_get_dirty_log(self->vm->vm, 0, log);
		hvpm_vp_poke(self->vp);
		kvm_vm_get_dirty_log(self->vm->vm, 0, log);
		EXPECT_FALSE(log[gfn / 64] >> gfn % 64 & 1);
		EXPECT_POST(i);
		kvm_vm_get_dirty_log(self->vm->vm, 0, log);
		EXPECT_TRUE(log[gfn / 64] >> gfn % 64 & 1);
		empty_slot(self->vp, SINT);
	}
	vm_mem_region_set_flags(self->vm->vm, 0, 0);
}

/* --- system management mode --- */

#define SMRAM_INPUT	(SMRAM_GPA + 0x2000)
#define BYTES(word)	(word) & 0xff, (word) >> 8 & 0xff, (word) >> 16 & 0xff, (word) >> 24

/* Has an exit, posts from protected mode, and has another exit with the status. */
static uint8_t smi_handler[] = {
	0xe4, SMM_PORT,				/* in $SMM_PORT, %al */
	0x0f, 0x20, 0xc0,			/* mov %cr0, %eax */
	0x0c, 0x01,				/* or $1, %al */
	0x0f, 0x22, 0xc0,			/* mov %eax, %cr0 */
	0x66, 0x31, 0xd2,			/* xor %edx, %edx */
	0x66, 0xb8, BYTES(HVPM_POST),		/* mov $HVPM_POST, %eax */
	0x66, 0x31, 0xdb,			/* xor %ebx, %ebx */
	0x66, 0xb9, BYTES(SMRAM_INPUT),		/* mov $SMRAM_INPUT, %ecx */
	0x66, 0x31, 0xf6,			/* xor %esi, %esi */
	0x66, 0x31, 0xff,			/* xor %edi, %edi */
#define SMI_CALL	34
	0x90, 0x90, 0x90,			/* what the hypercall page has */
	0x66, 0x89, 0xc3,			/* mov %eax, %ebx */
	0x0f, 0x20, 0xc0,			/* mov %cr0, %eax */
	0x24, 0xfe,				/* and $0xfe, %al */
	0x0f, 0x22, 0xc0,			/* mov %eax, %cr0 */
	0x66, 0x89, 0xd8,			/* mov %ebx, %eax */
	0xe6, SMM_PORT,				/* out %al, $SMM_PORT */
	0x0f, 0xaa,				/* rsm */
};

/* What SMRAM hides is not what a VP in it means. */
TEST_F(slot, block_in_smram)
{
	struct kvm_run *run = self->vp->vcpu->run;
	struct hvpm_input *input;
	uint8_t *smram, *under;

	if (!kvm_check_cap(KVM_CAP_X86_SMM))
		SKIP(return, "no system management mode in this KVM");
	connect_to_self(self);
	memcpy(smi_handler + SMI_CALL,
	       addr_gpa2hva(self->vm->vm, self->vp->guest->hypercall_gpa), 3);
	smram = create_smram(self, smi_handler, sizeof(smi_handler));
	under = create_under_smram(self, REGION_SLOT);
	input = hvpm_vp_fill(self->vp, 0, CONNECTION, TYPE, SIZE);
	hvpm_payload_fill(input->payload, TYPE, SIZE, 0, 0);
	memcpy(under + (SMRAM_INPUT - SMRAM_GPA), input, sizeof(*input));
	/* Ordinary memory first, from outside. */
	ASSERT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_hypercall(self->vp, HVPM_POST, SMRAM_INPUT, 0));
	EXPECT_TAKE(self->vp, SINT, 0);

	input->message_type = TYPE + 1;
	hvpm_payload_fill(input->payload, TYPE + 1, SIZE, 0, 1);
	memcpy(smram + (SMRAM_INPUT - SMRAM_GPA), input, sizeof(*input));
	enter_smm(self, _metadata);
	ASSERT_EQ(UCALL_NONE, hvpm_vp_run(self->vp, NULL));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	ASSERT_EQ(KVM_EXIT_IO_OUT, run->io.direction);
	EXPECT_EQ(HV_STATUS_SUCCESS, *((uint8_t *)run + run->io.data_offset));
	ASSERT_EQ(UCALL_SYNC, hvpm_vp_run(self->vp, NULL));
	EXPECT_TAKE(self->vp, SINT, 1);
}

TEST_HARNESS_MAIN
