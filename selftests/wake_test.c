// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wake-up: targets that are asleep in HLT, on the way there, or running
 *
 * These want more than one CPU, and then QEMU's emulation may deliver an
 * interrupt twice, so none of them asserts an exact number of interrupts.
 */
#include <sched.h>

#include "slot.h"

/* Set when the guest is about to wait. */
#define DATA_WAITING	0

static uint64_t guest_wait_halted(struct hvpm_guest *guest, uint64_t sint)
{
	uint32_t seen = guest->interrupts[sint];

	guest->data[DATA_WAITING] = 1;
	hvpm_guest_halt(guest, sint, seen);
	return 0;
}

static uint64_t guest_wait_running(struct hvpm_guest *guest, uint64_t sint)
{
	uint32_t seen = guest->interrupts[sint];

	guest->data[DATA_WAITING] = 1;
	while (guest->interrupts[sint] == seen)
		;
	return 0;
}

/* Have the VP wait for an interrupt of the SINT in a thread of its own. */
static void start_waiting(struct hvpm_vp *vp,
			  uint64_t (*wait)(struct hvpm_guest *guest,
					   uint64_t sint))
{
	vp->guest->data[DATA_WAITING] = 0;
	vp->guest->argument[0] = (uint64_t)wait;
	vp->guest->argument[1] = SINT;
	hvpm_vp_command_start(vp, HVPM_CALL);
	while (!vp->guest->data[DATA_WAITING])
		sched_yield();
}

/* From there to HLT, and to where KVM puts the thread to sleep. */
static void let_it_sleep(void)
{
	usleep(200000);
}

TEST_F(slot, halted_target_wakes)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		start_waiting(self->vp, guest_wait_halted);
		let_it_sleep();
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

/* The same without the pause: the post races with the way to sleep. */
TEST_F(slot, halting_target_wakes)
{
	unsigned int i;

	for (i = 0; i < 200; i++) {
		start_waiting(self->vp, guest_wait_halted);
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

TEST_F(slot, running_target_is_interrupted)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		start_waiting(self->vp, guest_wait_running);
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

/* Without an interrupt the message is still written at once. */
static uint64_t guest_wait_slot(struct hvpm_guest *guest, uint64_t sint)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[sint];

	guest->data[DATA_WAITING] = 1;
	while (!slot->type)
		;
	return slot->type;
}

TEST_F(slot, running_target_sees_a_masked_message)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
	start_waiting(self->vp, guest_wait_slot);
	POST(0);
	hvpm_vp_command_join(self->vp);
	EXPECT_EQ(TYPE + 0, self->vp->guest->result[0]);
	EXPECT_TAKE(self->vp, SINT, 0);
}

TEST_F(slot, eom_from_another_vp_wakes)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	start_waiting(self->vp, guest_wait_halted);
	let_it_sleep();
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	hvpm_vp_command_join(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
}

TEST_F(slot, eom_from_another_vp_interrupts)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	start_waiting(self->vp, guest_wait_running);
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	hvpm_vp_command_join(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
}

/* --- with a dirty ring --- */

/* Take @count messages, asleep in between. */
static uint64_t guest_take_many(struct hvpm_guest *guest, uint64_t count)
{
	uint64_t taken = 0;
	uint32_t seen;

	for (;;) {
		seen = guest->interrupts[SINT];
		while (hvpm_guest_take(guest, SINT, &guest->message))
			taken++;
		if (taken == count)
			return taken;
		hvpm_guest_halt(guest, SINT, seen);
	}
}

/* The VMM's way with a full ring: give all of it back. */
static void harvest(struct hvpm_vp *vp, struct kvm_dirty_gfn *ring,
		    uint32_t entries)
{
	uint32_t i;

	for (i = 0; i < entries; i++)
		if (ring[i].flags & KVM_DIRTY_GFN_F_DIRTY)
			ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	kvm_vm_reset_dirty_ring(vp->vm->vm);
}

struct ring_vp {
	struct hvpm_vp *vp;
	struct kvm_dirty_gfn *ring;
	uint32_t entries;
	unsigned int full;
};

static void *run_with_ring(void *arg)
{
	struct ring_vp *ring = arg;

	while (hvpm_vp_run(ring->vp, NULL) != UCALL_SYNC) {
		TEST_ASSERT(ring->vp->vcpu->run->exit_reason ==
			    KVM_EXIT_DIRTY_RING_FULL, "exit %u",
			    ring->vp->vcpu->run->exit_reason);
		ring->full++;
		harvest(ring->vp, ring->ring, ring->entries);
	}
	return NULL;
}

/* A ring never overflows: a VP that wakes for a message can exit before it. */
TEST_F(slot, dirty_ring_full)
{
	struct ring_vp ring = { .entries = 256 };
	const unsigned int count = 1000;
	struct hvpm_vm *vm;
	pthread_t thread;
	unsigned int i;

	if (!kvm_check_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL))
		SKIP(return, "no dirty ring in this KVM");
	vm = hvpm_vm_create_empty(1);
	vm_enable_dirty_ring(vm->vm, ring.entries * sizeof(*ring.ring));
	ring.vp = hvpm_vm_add_vp(vm, NULL, true);
	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, vm->partition, PORT);
	hvpm_vp_enable_synic(ring.vp, SINT);
	ring.ring = vcpu_map_dirty_ring(ring.vp->vcpu);
	vm_mem_region_set_flags(vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);

	ring.vp->guest->command = HVPM_CALL;
	ring.vp->guest->argument[0] = (uint64_t)guest_take_many;
	ring.vp->guest->argument[1] = count;
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_with_ring, &ring));
	for (i = 0; i < count; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(self->host, CONNECTION + 1, TYPE, SIZE, 0,
				    0, i));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(count, ring.vp->guest->result[0]);
	EXPECT_LE(2, ring.full);
	hvpm_check_port(vm->partition, PORT);
	hvpm_vm_free(vm);
}

TEST_HARNESS_MAIN
