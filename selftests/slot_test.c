// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delivery: message slots, MessagePending, EOM, SINTs, SIM pages
 *
 * A host process posts; a guest with two VPs receives, a step at a time.
 */
#include "smm.h"

#include "apic.h"

/* --- one slot --- */

TEST_F(slot, empty_slot)
{
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	POST(0);
	/* Not before its VP runs. */
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_QUEUED(1);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(0);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 1);
}

TEST_F(slot, busy_slot_message_pending_eom)
{
	struct hv_postmsg_message first;

	POST_AND_POKE(0);
	first = *(struct hv_postmsg_message *)&self->vp->slots[SINT];
	EXPECT_EQ(0, first.flags);

	/* Accepted, flagged in the slot, and nothing else is done to it. */
	POST_AND_POKE(1);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(1);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	first.flags = HV_MESSAGE_FLAG_PENDING;
	EXPECT_EQ(0, memcmp(&first, (void *)&self->vp->slots[SINT], sizeof(first)));

	/* Emptied and EOM: the next one, once, without the flag. */
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_QUEUED(0);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 2);
}

/* A guest that waits for MessagePending alone gets everything. */
TEST_F(slot, message_pending_suffices)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		POST(i);
	hvpm_vp_poke(self->vp);
	for (i = 0; i < 16; i++) {
		EXPECT_SLOT(self->vp, SINT, i, i < 15);
		EXPECT_INTERRUPTS(self->vp, i + 1);
		EXPECT_TAKE(self->vp, SINT, i);
		hvpm_vp_poke(self->vp);
	}
	EXPECT_SLOT_EMPTY(self->vp, SINT);
}

TEST_F(slot, eom_with_full_slot)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(1);
}

TEST_F(slot, eom_with_empty_queue)
{
	struct hvpm_watch watch;

	hvpm_watch_start(&watch, self->vm);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_watch_nothing(&watch);
	POST_AND_POKE(0);
	hvpm_watch_start(&watch, self->vm);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_watch_nothing(&watch);
}

/* Something that is not a message of ours is not overwritten. */
TEST_F(slot, foreign_message_in_slot)
{
	struct hv_postmsg_message foreign = {
		.type = 0x80000010,
		.payload_size = 24,
		.payload = { 1, 2, 3 },
	};

	memcpy((void *)&self->vp->slots[SINT], &foreign, sizeof(foreign));
	POST_AND_POKE(0);
	EXPECT_INTERRUPTS(self->vp, 0);
	EXPECT_QUEUED(1);
	foreign.flags = HV_MESSAGE_FLAG_PENDING;
	EXPECT_EQ(0, memcmp(&foreign, (void *)&self->vp->slots[SINT],
			    sizeof(foreign)));
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

/* Only the header and PayloadSize bytes are written; the neighbours never. */
TEST_F(slot, neighbours_untouched)
{
	uint8_t *page = (uint8_t *)self->vp->slots, *slot = page + 256 * SINT;
	unsigned int i;

	memset(page, 0x5a, 4096);
	memset(slot, 0, 4);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	for (i = 0; i < 4096; i++)
		if (page + i < slot || page + i >= slot + 16 + SIZE)
			ASSERT_EQ(0x5a, page[i])
				TH_LOG("offset 0x%x of the SIM page", i);
}

/* --- buffers --- */

TEST_F(slot, sixteen_queued_and_one_in_the_slot)
{
	unsigned int i, next = 17;

	for (i = 0; i < 17; i++)
		POST_AND_POKE(i);
	EXPECT_QUEUED(16);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, post_to(self, CONNECTION, 99));
	/* For each one consumed exactly one more. */
	for (i = 0; i < 5; i++) {
		EXPECT_TAKE(self->vp, SINT, i);
		hvpm_vp_poke(self->vp);
		EXPECT_QUEUED(15);
		POST_AND_POKE(next);
		next++;
		EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
			  post_to(self, CONNECTION, 99));
	}
	for (; i < next; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_QUEUED(0);
}

static void buffers(struct _test_data_slot *self, struct __test_metadata *_metadata,
		    unsigned int count)
{
	struct hv_postmsg_port_stats stats;
	unsigned int i;

	hvpm_create_port(self->partition, PORT + 1, 0, SINT, 0, count);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	for (i = 0; i < count + 1; i++) {
		ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, i));
		hvpm_vp_poke(self->vp);
	}
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
		  post_to(self, CONNECTION + 1, i));
	hvpm_port_stats(self->partition, PORT + 1, &stats);
	EXPECT_EQ(count, stats.buffers);
	EXPECT_EQ(0, stats.free);
	EXPECT_EQ(count, stats.high_water);
	/* Another port of the VP has its own. */
	POST(0);
	for (i = 0; i < count + 1; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	hvpm_check_port(self->partition, PORT + 1);
}

TEST_F(slot, one_buffer)
{
	buffers(self, _metadata, 1);
}

TEST_F(slot, sixty_four_buffers)
{
	buffers(self, _metadata, 64);
}

/* A message leaves its buffer when it reaches the slot, not when it is read. */
TEST_F(slot, slot_holds_no_buffer)
{
	struct hv_postmsg_port_stats stats;

	POST_AND_POKE(0);
	hvpm_port_stats(self->partition, PORT, &stats);
	EXPECT_EQ(16, stats.free);
	EXPECT_EQ(1, stats.high_water);
	EXPECT_EQ(1, stats.delivered);
}

/* --- several ports, SINTs, VPs --- */

TEST_F(slot, ports_sharing_a_sint_share_its_order)
{
	unsigned int i;

	hvpm_create_port(self->partition, PORT + 1, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	for (i = 0; i < 16; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  post_to(self, CONNECTION + i % 2, i));
	hvpm_vp_poke(self->vp);
	for (i = 0; i < 16; i++) {
		EXPECT_EQ(PORT + i % 2, self->vp->slots[SINT].port_id);
		EXPECT_TAKE(self->vp, SINT, i);
		hvpm_vp_poke(self->vp);
	}
	hvpm_check_port(self->partition, PORT + 1);
}

TEST_F(slot, sints_are_independent)
{
	unsigned int sint;

	/* SINT 2 is stuck; the others flow. */
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	for (sint = 1; sint < HV_SYNIC_SINT_COUNT; sint++) {
		if (sint == SINT)
			continue;
		hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + sint,
			      HVPM_VECTOR(0, sint));
		hvpm_create_port(self->partition, PORT + sint, 0, sint, 0, 0);
		hvpm_join(self->host, CONNECTION + sint, self->partition,
			  PORT + sint);
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  post_to(self, CONNECTION + sint, 100 + sint));
		hvpm_vp_poke(self->vp);
		EXPECT_SLOT(self->vp, sint, 100 + sint, false);
		EXPECT_EQ(PORT + sint, self->vp->slots[sint].port_id);
		EXPECT_EQ(1, self->vp->guest->interrupts[sint]);
	}
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	/* One EOM is for all of them. */
	for (sint = 1; sint < HV_SYNIC_SINT_COUNT; sint++)
		empty_slot(self->vp, sint);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_EQ(0, self->vp->slots[0].type);
}

/* All that can be used, all busy. */
TEST_F(slot, fifteen_sints_at_once)
{
	const unsigned int last = HV_SYNIC_SINT_COUNT - 1, count = 10;
	unsigned int sint, i;

	for (sint = 1; sint <= last; sint++) {
		hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + sint,
			      HVPM_VECTOR(0, sint));
		hvpm_create_port(self->partition, 100 + sint, 0, sint, 0, 0);
		hvpm_join(self->host, 100 + sint, self->partition, 100 + sint);
	}
	for (i = 0; i < count; i++)
		for (sint = 1; sint <= last; sint++)
			ASSERT_EQ(HV_STATUS_SUCCESS,
				  post_to(self, 100 + sint, sint * 100 + i));
	hvpm_vp_poke(self->vp);
	for (i = 0; i < count; i++) {
		for (sint = 1; sint <= last; sint++) {
			EXPECT_EQ(100 + sint, self->vp->slots[sint].port_id);
			EXPECT_SLOT(self->vp, sint, sint * 100 + i,
				    i + 1 < count);
			EXPECT_TAKE(self->vp, sint, sint * 100 + i);
			hvpm_vp_poke(self->vp);
		}
	}
	for (sint = 1; sint <= last; sint++) {
		EXPECT_SLOT_EMPTY(self->vp, sint);
		EXPECT_EQ(count, self->vp->guest->interrupts[sint]);
	}
	EXPECT_SLOT_EMPTY(self->vp, 0);
}

TEST_F(slot, vps_are_independent)
{
	hvpm_vp_enable_synic(self->other, SINT);
	hvpm_create_port(self->partition, PORT + 1, 1, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 5));
	hvpm_vp_poke(self->other);
	EXPECT_SLOT(self->other, SINT, 5, false);
	EXPECT_INTERRUPTS(self->other, 1);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	hvpm_check_port(self->partition, PORT + 1);
}

/* --- the SINT's bits --- */

TEST_F(slot, masked_sint)
{
	unsigned int i;

	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_MASKED | HVPM_VECTOR(0, SINT));
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_INTERRUPTS(self->vp, 0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	/* EOM drains the queue; the interrupts are lost. */
	for (i = 0; i < 3; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	EXPECT_INTERRUPTS(self->vp, 0);

	/* Unmasking brings none of them back. */
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HVPM_VECTOR(0, SINT));
	hvpm_vp_poke(self->vp);
	EXPECT_INTERRUPTS(self->vp, 0);
	POST_AND_POKE(3);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/* As a SINT is after reset: masked, vector 0. */
TEST_F(slot, sint_after_reset)
{
	EXPECT_EQ(HV_SYNIC_SINT_MASKED,
		  hvpm_vp_rdmsr(self->vp, HV_X64_MSR_SINT0 + SINT + 1));
	hvpm_create_port(self->partition, PORT + 1, 0, SINT + 1, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 0));
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT + 1, 0, false);
	EXPECT_EQ(0, self->vp->guest->interrupts[SINT + 1]);
}

TEST_F(slot, polling_sint)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT));
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_INTERRUPTS(self->vp, 0);
}

TEST_F(slot, auto_eoi_sint)
{
	unsigned int i;

	self->vp->guest->no_eoi = true;
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_AUTO_EOI | HVPM_VECTOR(0, SINT));
	for (i = 0; i < 3; i++)
		POST(i);
	hvpm_vp_poke(self->vp);
	for (i = 0; i < 3; i++) {
		EXPECT_INTERRUPTS(self->vp, i + 1);
		EXPECT_TAKE(self->vp, SINT, i);
		hvpm_vp_poke(self->vp);
	}
}

/* No EOI is seen under AutoEOI: the next post serves as well as EOM. */
TEST_F(slot, auto_eoi_next_post)
{
	self->vp->guest->no_eoi = true;
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_AUTO_EOI | HVPM_VECTOR(0, SINT));
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	empty_slot(self->vp, SINT);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 1);
	POST_AND_POKE(2);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_TAKE(self->vp, SINT, 2);
}

/* What is queued comes with what the SINT says by then. */
TEST_F(slot, unmasked_with_messages_queued)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_MASKED | HVPM_VECTOR(0, SINT));
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HVPM_VECTOR(0, SINT));
	hvpm_vp_poke(self->vp);
	/* The slot is full: nothing comes, no interrupt is made up for. */
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 0);
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_TAKE(self->vp, SINT, 1);
	hvpm_vp_poke(self->vp);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_TAKE(self->vp, SINT, 2);
}

TEST_F(slot, masked_with_messages_queued)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HV_SYNIC_SINT_MASKED | HVPM_VECTOR(0, SINT));
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_INTERRUPTS(self->vp, 1);
}

TEST_F(slot, vector_changed_with_messages_queued)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	EXPECT_INTERRUPTS(self->vp, 1);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT,
		      HVPM_VECTOR(0, SINT + 1));
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_EQ(1, self->vp->guest->interrupts[SINT + 1]);
}

/* Several SINTs may share a vector. */
TEST_F(slot, sints_sharing_a_vector)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT + 1,
		      HVPM_VECTOR(0, SINT));
	hvpm_create_port(self->partition, PORT + 1, 0, SINT + 1, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	POST_AND_POKE(0);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 1));
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_SLOT(self->vp, SINT + 1, 1, false);
	EXPECT_INTERRUPTS(self->vp, 2);
}

/* Only a VMM can set such a vector. */
TEST_F(slot, vector_below_16)
{
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SINT0 + SINT, 5);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_INTERRUPTS(self->vp, 0);
	/* Not even one that the local APIC would hold back for ever. */
	EXPECT_EQ(0, hvpm_vp_rdmsr(self->vp, APIC_BASE_MSR + (APIC_IRR >> 4)) &
		  0xffff);
}

TEST_F(slot, local_apic_disabled)
{
	uint64_t spiv = hvpm_vp_rdmsr(self->vp, APIC_BASE_MSR + (APIC_SPIV >> 4));

	hvpm_vp_wrmsr(self->vp, APIC_BASE_MSR + (APIC_SPIV >> 4),
		      spiv & ~APIC_SPIV_APIC_ENABLED);
	POST_AND_POKE(0);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	hvpm_vp_wrmsr(self->vp, APIC_BASE_MSR + (APIC_SPIV >> 4), spiv);
	hvpm_vp_poke(self->vp);
	EXPECT_INTERRUPTS(self->vp, 0);
}

/* --- SynIC and SIM page switched off and on --- */

TEST_F(slot, simp_disabled_with_messages_queued)
{
	POST(0);
	POST(1);
	/* By the VMM, so that the guest has no chance to run before. */
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SIMP, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 0);
	EXPECT_QUEUED(2);
	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, post_to(self, CONNECTION, 9));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

TEST_F(slot, simp_disabled_with_slot_full)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, self->vp->guest->slots_gpa);
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(2);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_INTERRUPTS(self->vp, 2);
}

TEST_F(slot, scontrol_disabled_with_messages_queued)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SCONTROL, 0);
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(2);
	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, post_to(self, CONNECTION, 9));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_INTERRUPTS(self->vp, 2);
}

TEST_F(slot, simp_moved)
{
	volatile struct hv_postmsg_message *second = (void *)self->vp->input;

	POST_AND_POKE(0);
	POST_AND_POKE(1);
	memset(self->vp->input, 0, 4096);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->input_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_EQ(TYPE + 1, second[SINT].type);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_EQ(TYPE + 0, self->vp->slots[SINT].type);
	EXPECT_QUEUED(0);
}

/* What a VMM writes to MSRs may be a migration: it empties no queue. */
TEST_F(slot, vmm_msr_writes_keep_the_queue)
{
	POST(0);
	POST(1);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SCONTROL, 0);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SIMP, 0);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SINT0 + SINT,
		     HV_SYNIC_SINT_MASKED);
	EXPECT_QUEUED(2);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SCONTROL,
		     HV_SYNIC_CONTROL_ENABLE);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SIMP,
		     self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SINT0 + SINT,
		     HVPM_VECTOR(0, SINT));
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, true);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

/* They are a reason to look at it. */
TEST_F(slot, vmm_msr_writes_are_triggers)
{
	const struct {
		uint32_t msr;
		uint64_t value;
	} writes[] = {
		{ HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE },
		{ HV_X64_MSR_SIMP,
		  self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE },
		{ HV_X64_MSR_SINT0 + SINT, HVPM_VECTOR(0, SINT) },
	};
	unsigned int i;

	POST_AND_POKE(0);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		POST_AND_POKE(i + 1);
		empty_slot(self->vp, SINT);
		hvpm_vp_poke(self->vp);
		EXPECT_SLOT_EMPTY(self->vp, SINT);
		vcpu_set_msr(self->vp->vcpu, writes[i].msr, writes[i].value);
		hvpm_vp_poke(self->vp);
		EXPECT_SLOT(self->vp, SINT, i + 1, false);
	}
}

/* --- slots that cannot be written --- */

/* A region of guest memory of its own, for a SIM page. */
#define REGION_GPA	0x10000000ULL
#define REGION_SLOT	5
#define REGION_PAGES	4

static uint64_t faults(struct _test_data_slot *self)
{
	struct hv_postmsg_partition_stats stats;

	hvpm_partition_stats(self->partition, &stats);
	return stats.faults;
}

/*
 * With the SIM page where it cannot be written: accepted, stays queued, counted,
 * and not tried again without a reason.
 */
static void expect_stuck(struct _test_data_slot *self,
			 struct __test_metadata *_metadata)
{
	uint64_t before;
	unsigned int i;

	POST_AND_POKE(0);
	EXPECT_QUEUED(1);
	EXPECT_INTERRUPTS(self->vp, 0);
	before = faults(self);
	EXPECT_LE(1, before);
	for (i = 0; i < 5; i++)
		hvpm_vp_poke(self->vp);
	EXPECT_EQ(before, faults(self));
	/* A trigger is a reason. */
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_LT(before, faults(self));
	EXPECT_QUEUED(1);
	EXPECT_INTERRUPTS(self->vp, 0);
}

TEST_F(slot, sim_page_without_memory)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	expect_stuck(self, _metadata);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
	EXPECT_INTERRUPTS(self->vp, 1);
}

TEST_F(slot, sim_page_beyond_physical_memory)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      0xfffffffffffff000ULL | HV_SYNIC_SIMP_ENABLE);
	expect_stuck(self, _metadata);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

TEST_F(slot, sim_page_read_only)
{
	struct hv_postmsg_message *slots;

	vm_userspace_mem_region_add(self->vm->vm, VM_MEM_SRC_ANONYMOUS,
				    REGION_GPA, REGION_SLOT, REGION_PAGES,
				    KVM_MEM_READONLY);
	slots = addr_gpa2hva(self->vm->vm, REGION_GPA);
	memset(slots, 0, 4096);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	expect_stuck(self, _metadata);
	EXPECT_EQ(0, slots[SINT].type);
	EXPECT_EQ(0, slots[SINT].payload_size);
	vm_mem_region_delete(self->vm->vm, REGION_SLOT);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 0, false);
}

/* The memory is there, but the VMM has taken some of its own access away. */
static void sim_page_protected(struct _test_data_slot *self,
			       struct __test_metadata *_metadata, int protection)
{
	struct hv_postmsg_message *slots;

	vm_userspace_mem_region_add(self->vm->vm, VM_MEM_SRC_ANONYMOUS,
				    REGION_GPA, REGION_SLOT, REGION_PAGES, 0);
	slots = addr_gpa2hva(self->vm->vm, REGION_GPA);
	memset(slots, 0, 4096);
	ASSERT_EQ(0, mprotect(slots, 4096, protection));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	expect_stuck(self, _metadata);
	ASSERT_EQ(0, mprotect(slots, 4096, PROT_READ | PROT_WRITE));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_EQ(TYPE + 0, slots[SINT].type);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(0);
}

TEST_F(slot, sim_page_unmapped_by_the_vmm)
{
	sim_page_protected(self, _metadata, PROT_NONE);
}

/* It looks empty, and then cannot be written. */
TEST_F(slot, sim_page_write_protected_by_the_vmm)
{
	sim_page_protected(self, _metadata, PROT_READ);
}

/* A page that is not resident is brought in, as for any write by KVM. */
TEST_F(slot, sim_page_not_resident)
{
	struct hv_postmsg_message *slots;

	vm_userspace_mem_region_add(self->vm->vm, VM_MEM_SRC_ANONYMOUS,
				    REGION_GPA, REGION_SLOT, REGION_PAGES, 0);
	slots = addr_gpa2hva(self->vm->vm, REGION_GPA);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	ASSERT_EQ(0, madvise(slots, 4096, MADV_DONTNEED));
	POST_AND_POKE(0);
	EXPECT_EQ(TYPE + 0, slots[SINT].type);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/* --- dirty pages --- */

static bool sim_page_dirty(struct _test_data_slot *self)
{
	static unsigned long log[4096];
	uint64_t gfn = self->vp->guest->slots_gpa >> 12;

	kvm_vm_get_dirty_log(self->vm->vm, 0, log);
	return log[gfn / 64] >> gfn % 64 & 1;
}

TEST_F(slot, dirty_log)
{
	vm_mem_region_set_flags(self->vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	hvpm_vp_poke(self->vp);
	sim_page_dirty(self);
	hvpm_vp_poke(self->vp);
	EXPECT_FALSE(sim_page_dirty(self));
	POST_AND_POKE(0);
	EXPECT_TRUE(sim_page_dirty(self));
	/* MessagePending is a write, too. */
	hvpm_vp_poke(self->vp);
	EXPECT_FALSE(sim_page_dirty(self));
	POST_AND_POKE(1);
	EXPECT_TRUE(sim_page_dirty(self));
	vm_mem_region_set_flags(self->vm->vm, 0, 0);
}

/* The same where the VMM clears the bitmap itself, which is all ones at first. */
TEST_F(slot, dirty_log_cleared_by_the_vmm)
{
	struct kvm_vm *vm = self->vm->vm;
	const struct userspace_mem_region *region = memslot2region(vm, 0);
	static unsigned long log[4096];
	uint64_t manual;
	uint32_t pages;

	manual = kvm_check_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	manual &= KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	if (!manual)
		SKIP(return, "no KVM_CLEAR_DIRTY_LOG in this KVM");
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual);
	vm_mem_region_set_flags(vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	pages = region->region.memory_size / getpagesize();
	hvpm_vp_poke(self->vp);
	kvm_vm_get_dirty_log(vm, 0, log);
	kvm_vm_clear_dirty_log(vm, 0, log, 0, pages);
	hvpm_vp_poke(self->vp);
	EXPECT_FALSE(sim_page_dirty(self));

	/* Dirty until it is cleared, not until it is read. */
	POST_AND_POKE(0);
	EXPECT_TRUE(sim_page_dirty(self));
	EXPECT_TRUE(sim_page_dirty(self));
	kvm_vm_get_dirty_log(vm, 0, log);
	kvm_vm_clear_dirty_log(vm, 0, log, 0, pages);
	EXPECT_FALSE(sim_page_dirty(self));
	POST_AND_POKE(1);
	EXPECT_TRUE(sim_page_dirty(self));
	EXPECT_SLOT(self->vp, SINT, 0, true);
	vm_mem_region_set_flags(vm, 0, 0);
}

/* One entry of the dirty ring for each message. */
TEST_F(slot, dirty_ring)
{
	struct kvm_dirty_gfn *ring;
	unsigned int i, pushes, passes;
	uint32_t entries = 1024, end;
	struct hvpm_vm *vm;
	struct hvpm_vp *vp;
	uint64_t gfn;

	if (!kvm_check_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL))
		SKIP(return, "no dirty ring in this KVM");
	vm = hvpm_vm_create_empty(1);
	vm_enable_dirty_ring(vm->vm, entries * sizeof(*ring));
	vp = hvpm_vm_add_vp(vm, NULL, true);
	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, vm->partition, PORT);
	hvpm_vp_enable_synic(vp, SINT);
	ring = vcpu_map_dirty_ring(vp->vcpu);
	vm_mem_region_set_flags(vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	gfn = vp->guest->slots_gpa >> 12;

	for (passes = 1; passes <= 3; passes++) {
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  post_to(self, CONNECTION + 1, passes));
		hvpm_vp_poke(vp);
		EXPECT_EQ(TYPE + passes, vp->slots[SINT].type);
		empty_slot(vp, SINT);
		pushes = 0;
		end = 0;
		for (i = 0; i < entries; i++) {
			if (!(ring[i].flags & KVM_DIRTY_GFN_F_DIRTY))
				break;
			pushes += ring[i].offset == gfn;
			end = i;
		}
		EXPECT_EQ(passes, pushes)
			TH_LOG("of %u entries", end + 1);
	}
	hvpm_vm_free(vm);
}

/* --- what empties a queue, and what does not --- */

TEST_F(slot, delete_port)
{
	struct hv_postmsg_partition_stats stats;

	POST_AND_POKE(0);
	POST_AND_POKE(1);
	POST_AND_POKE(2);
	hvpm_delete_port(self->partition, PORT);
	hvpm_partition_stats(self->partition, &stats);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(2, stats.freed);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(3, stats.posted);
	/* What is in the slot stays there; nothing follows. */
	EXPECT_EQ(TYPE + 0, self->vp->slots[SINT].type);
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	EXPECT_INTERRUPTS(self->vp, 1);
}

/* Only its own messages go, and the rest keeps its order. */
TEST_F(slot, delete_port_among_others)
{
	unsigned int i;

	hvpm_create_port(self->partition, PORT + 1, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	for (i = 0; i < 12; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  post_to(self, CONNECTION + i % 2, i));
	hvpm_delete_port(self->partition, PORT + 1);
	hvpm_vp_poke(self->vp);
	for (i = 0; i < 12; i += 2) {
		EXPECT_TAKE(self->vp, SINT, i);
		hvpm_vp_poke(self->vp);
	}
	EXPECT_SLOT_EMPTY(self->vp, SINT);
}

TEST_F(slot, disconnect_keeps_messages)
{
	POST(0);
	POST(1);
	hvpm_disconnect(self->host, CONNECTION);
	hvpm_vp_poke(self->vp);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

TEST_F(slot, closed_sender_keeps_messages)
{
	POST(0);
	POST(1);
	close(self->host);
	self->host = -1;
	hvpm_vp_poke(self->vp);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

TEST_F(slot, inactive_partition_delivers_what_is_queued)
{
	POST(0);
	POST(1);
	hvpm_set_state(self->partition, HV_POSTMSG_STATE_INACTIVE);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, post_to(self, CONNECTION, 2));
	EXPECT_QUEUED(2);
	hvpm_vp_poke(self->vp);
	EXPECT_TAKE(self->vp, SINT, 0);
	EXPECT_TAKE(self->vp, SINT, 1);
}

TEST_F(slot, reset_vp)
{
	struct hv_postmsg_port_stats stats;
	unsigned int i;

	hvpm_vp_enable_synic(self->other, SINT);
	hvpm_create_port(self->partition, PORT + 1, 1, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 50));
	for (i = 0; i < 17; i++)
		POST_AND_POKE(i);
	hvpm_reset_vp(self->partition, 0);
	hvpm_port_stats(self->partition, PORT, &stats);
	EXPECT_EQ(16, stats.free);
	EXPECT_EQ(16, stats.freed);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(1, stats.delivered);
	/* The slot is the guest's; nothing follows what is in it. */
	EXPECT_EQ(TYPE + 0, self->vp->slots[SINT].type);
	EXPECT_TAKE(self->vp, SINT, 0);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT_EMPTY(self->vp, SINT);
	/* Life goes on, and another VP noticed nothing. */
	POST_AND_POKE(20);
	EXPECT_TAKE(self->vp, SINT, 20);
	hvpm_vp_poke(self->other);
	EXPECT_TAKE(self->other, SINT, 50);
}

static uint64_t guest_send_init(struct hvpm_guest *guest, uint64_t target)
{
	x2apic_write_reg(APIC_ICR, target << 32 | APIC_DEST_PHYSICAL |
			 APIC_DM_INIT | APIC_INT_ASSERT);
	return 0;
}

TEST_F(slot, init_empties_the_queue)
{
	struct hv_postmsg_port_stats stats;
	unsigned int i;

	for (i = 0; i < 5; i++)
		POST_AND_POKE(i);
	EXPECT_QUEUED(4);
	hvpm_vp_call(self->other, guest_send_init, 0);
	/*
	 * The bootstrap processor starts at the reset vector, where there is
	 * nothing, so the vCPU comes back at once.
	 */
	self->vp->guest->command = HVPM_NOP;
	EXPECT_EQ(0, _vcpu_run(self->vp->vcpu));
	EXPECT_NE(KVM_EXIT_IO, self->vp->vcpu->run->exit_reason);
	hvpm_port_stats(self->partition, PORT, &stats);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(4, stats.freed);
	EXPECT_EQ(16, stats.free);
}

/* --- system management mode --- */

#define SMRAM_SIM	(SMRAM_GPA + 0x1000)

/* Stays in SMM, exiting over and over, until it reads 1. */
static const uint8_t smi_handler[] = {
	0xb0, 0xfe,		/* 1: mov $0xfe, %al */
	0xe4, SMM_PORT,		/* in $SMM_PORT, %al */
	0x3c, 0x01,		/* cmp $1, %al */
	0x75, 0xf8,		/* jne 1b */
	0x0f, 0xaa,		/* rsm */
};

TEST_F(slot, sim_page_in_smram)
{
	uint8_t *smram, *copy = malloc(SMRAM_PAGES * 4096);
	unsigned int i;

	if (!kvm_check_cap(KVM_CAP_X86_SMM))
		SKIP(return, "no system management mode in this KVM");
	smram = create_smram(self, smi_handler, sizeof(smi_handler));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, SMRAM_SIM | HV_SYNIC_SIMP_ENABLE);

	enter_smm(self, _metadata);
	memcpy(copy, smram, SMRAM_PAGES * 4096);
	for (i = 0; i < 5; i++) {
		POST(i);
		run_in_smm(self, 0, _metadata);
		ASSERT_EQ(0, memcmp(copy, smram, SMRAM_PAGES * 4096));
	}
	EXPECT_QUEUED(5);
	run_in_smm(self, 1, _metadata);
	ASSERT_EQ(UCALL_SYNC, hvpm_vp_run(self->vp, NULL));
	hvpm_vp_poke(self->vp);
	EXPECT_EQ(0, memcmp(copy, smram, SMRAM_PAGES * 4096));
	EXPECT_QUEUED(5);
	EXPECT_INTERRUPTS(self->vp, 0);

	/* Out of SMM, and back where there is memory, all of it comes. */
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_poke(self->vp);
	for (i = 0; i < 5; i++)
		EXPECT_TAKE(self->vp, SINT, i);
	free(copy);
}

/* The same address is ordinary memory outside SMM: that is what is meant. */
TEST_F(slot, sim_page_under_smram)
{
	uint8_t *smram, *copy = malloc(SMRAM_PAGES * 4096);
	struct hv_postmsg_message *slots;
	uint8_t *under;

	if (!kvm_check_cap(KVM_CAP_X86_SMM))
		SKIP(return, "no system management mode in this KVM");
	smram = create_smram(self, smi_handler, sizeof(smi_handler));
	under = create_under_smram(self, REGION_SLOT);
	slots = (void *)(under + (SMRAM_SIM - SMRAM_GPA));
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, SMRAM_SIM | HV_SYNIC_SIMP_ENABLE);

	enter_smm(self, _metadata);
	memcpy(copy, smram, SMRAM_PAGES * 4096);
	POST(0);
	run_in_smm(self, 0, _metadata);
	run_in_smm(self, 0, _metadata);
	EXPECT_EQ(0, memcmp(copy, smram, SMRAM_PAGES * 4096));
	run_in_smm(self, 1, _metadata);
	ASSERT_EQ(UCALL_SYNC, hvpm_vp_run(self->vp, NULL));
	hvpm_vp_poke(self->vp);
	EXPECT_EQ(0, memcmp(copy, smram, SMRAM_PAGES * 4096));
	EXPECT_EQ(TYPE + 0, slots[SINT].type);
	EXPECT_EQ(PORT, slots[SINT].port_id);
	EXPECT_INTERRUPTS(self->vp, 1);
	EXPECT_QUEUED(0);
	free(copy);
}

TEST_HARNESS_MAIN
