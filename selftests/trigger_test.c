// SPDX-License-Identifier: GPL-2.0-only
/*
 * Triggers: each of the reasons to look at a queue again, alone
 *
 * A message is queued and does not come, although its VP runs, until the trigger
 * is pulled: by the guest, by another VP, or by the VMM.
 */
#include "slot.h"

#include "apic.h"

/* --- why the message does not come --- */

/* The guest has emptied the slot, but nobody was told. */
static void slot_emptied(struct _test_data_slot *self)
{
	self->vp->guest->no_eoi = true;
	post_to(self, CONNECTION, 0);
	hvpm_vp_poke(self->vp);
	post_to(self, CONNECTION, 1);
	hvpm_vp_poke(self->vp);
	empty_slot(self->vp, SINT);
}

static void slot_full(struct _test_data_slot *self)
{
	slot_emptied(self);
	self->vp->slots[SINT].type = TYPE;
}

static void simp_disabled(struct _test_data_slot *self)
{
	post_to(self, CONNECTION, 1);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SIMP, self->vp->guest->slots_gpa);
}

static void scontrol_disabled(struct _test_data_slot *self)
{
	post_to(self, CONNECTION, 1);
	vcpu_set_msr(self->vp->vcpu, HV_X64_MSR_SCONTROL, 0);
}

/* --- who writes a register --- */

static void by_guest(struct hvpm_vp *vp, uint32_t msr, uint64_t value)
{
	hvpm_vp_wrmsr(vp, msr, value);
}

static void by_vmm(struct hvpm_vp *vp, uint32_t msr, uint64_t value)
{
	vcpu_set_msr(vp->vcpu, msr, value);
}

typedef void (*writer)(struct hvpm_vp *vp, uint32_t msr, uint64_t value);

/* --- what is written --- */

static void eom(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_EOM, 0);
}

static void eom_of_any_value(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_EOM, ~0ULL);
}

/* As Linux does on a crash: another VP empties the slot and writes EOM. */
static void eom_on_another_vp(struct _test_data_slot *self, writer write)
{
	write(self->other, HV_X64_MSR_EOM, 0);
}

static void eoi(struct _test_data_slot *self, writer write)
{
	write(self->vp, APIC_BASE_MSR + (APIC_EOI >> 4), 0);
}

static void sint(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_SINT0 + SINT, HVPM_VECTOR(0, SINT));
}

static void sint_masked(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
}

static void simp(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_SIMP,
	      self->vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
}

static void simp_elsewhere(struct _test_data_slot *self, writer write)
{
	memset(self->vp->input, 0, 4096);
	self->vp->slots = (void *)self->vp->input;
	write(self->vp, HV_X64_MSR_SIMP,
	      self->vp->guest->input_gpa | HV_SYNIC_SIMP_ENABLE);
}

static void scontrol(struct _test_data_slot *self, writer write)
{
	write(self->vp, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
}

static void pull_trigger(struct _test_data_slot *self,
			 struct __test_metadata *_metadata,
			 void (*prepare)(struct _test_data_slot *self),
			 void (*pull)(struct _test_data_slot *self, writer write),
			 writer write)
{
	unsigned int i;

	prepare(self);
	for (i = 0; i < 3; i++)
		hvpm_vp_poke(self->vp);
	ASSERT_NE(TYPE + 1, self->vp->slots[SINT].type);
	EXPECT_QUEUED(1);
	pull(self, write);
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_QUEUED(0);
}

#define TEST_TRIGGER(name, prepare, pull, write)			\
TEST_F(slot, name)							\
{									\
	pull_trigger(self, _metadata, prepare, pull, write);		\
}

TEST_TRIGGER(eom_by_guest, slot_emptied, eom, by_guest)
TEST_TRIGGER(eom_by_vmm, slot_emptied, eom, by_vmm)
TEST_TRIGGER(eom_of_any_value_by_guest, slot_emptied, eom_of_any_value, by_guest)
TEST_TRIGGER(eom_on_another_vp_by_guest, slot_emptied, eom_on_another_vp, by_guest)
TEST_TRIGGER(eom_on_another_vp_by_vmm, slot_emptied, eom_on_another_vp, by_vmm)
TEST_TRIGGER(eoi_by_guest, slot_emptied, eoi, by_guest)
TEST_TRIGGER(sint_by_guest, slot_emptied, sint, by_guest)
TEST_TRIGGER(sint_by_vmm, slot_emptied, sint, by_vmm)
TEST_TRIGGER(sint_masked_by_guest, slot_emptied, sint_masked, by_guest)
TEST_TRIGGER(sint_masked_by_vmm, slot_emptied, sint_masked, by_vmm)
TEST_TRIGGER(simp_by_guest, simp_disabled, simp, by_guest)
TEST_TRIGGER(simp_by_vmm, simp_disabled, simp, by_vmm)
TEST_TRIGGER(simp_elsewhere_by_guest, slot_full, simp_elsewhere, by_guest)
TEST_TRIGGER(simp_elsewhere_by_vmm, slot_full, simp_elsewhere, by_vmm)
TEST_TRIGGER(scontrol_by_guest, scontrol_disabled, scontrol, by_guest)
TEST_TRIGGER(scontrol_by_vmm, scontrol_disabled, scontrol, by_vmm)

/* Written anew, though the value is the old one. */
TEST_TRIGGER(simp_again_by_guest, slot_emptied, simp, by_guest)
TEST_TRIGGER(simp_again_by_vmm, slot_emptied, simp, by_vmm)
TEST_TRIGGER(scontrol_again_by_guest, slot_emptied, scontrol, by_guest)
TEST_TRIGGER(scontrol_again_by_vmm, slot_emptied, scontrol, by_vmm)

/* The second post is one: see that both come, in order. */
TEST_F(slot, next_post)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	empty_slot(self->vp, SINT);
	POST_AND_POKE(2);
	EXPECT_SLOT(self->vp, SINT, 1, true);
	EXPECT_INTERRUPTS(self->vp, 2);
	EXPECT_TAKE(self->vp, SINT, 1);
	EXPECT_TAKE(self->vp, SINT, 2);
}

/* A post for another SINT of the VP is a reason to look at all of them. */
TEST_F(slot, next_post_to_another_sint)
{
	hvpm_create_port(self->partition, PORT + 1, 0, SINT + 1, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, self->partition, PORT + 1);
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	empty_slot(self->vp, SINT);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_to(self, CONNECTION + 1, 2));
	hvpm_vp_poke(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
	EXPECT_SLOT(self->vp, SINT + 1, 2, false);
}

TEST_HARNESS_MAIN
