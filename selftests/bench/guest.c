// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted inside a guest
 */
#include "apic.h"
#include "bench.h"

struct bench_plan bench_plan;
uint32_t bench_connections[BENCH_ROUNDS];
uint64_t bench_costs[BENCH_ROUNDS];

uint64_t bench_guest_settle(struct hvpm_guest *guest, uint64_t unused)
{
	/* Any vector does for which there is a handler, also on a VP without one. */
	x2apic_write_reg(APIC_ICR, APIC_DEST_SELF | HVPM_VECTOR(0, 0));
	return 0;
}

uint64_t bench_guest_call(struct hvpm_guest *guest, uint64_t unused)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];
	struct hvpm_input *input = (void *)guest->input;
	const struct bench_plan plan = bench_plan;
	uint64_t start, status, arrived = 0;
	unsigned int i;

	asm volatile("cli");
	for (i = 0; i < BENCH_ROUNDS; i++) {
		if (plan.vary)
			input->connection_id = bench_connections[i];
		start = rdtsc();
		status = hvpm_guest_hypercall(guest, plan.control, plan.gpa, 0);
		arrived += slot->type;
		slot->type = 0;
		bench_costs[i] = rdtsc() - start;
		GUEST_ASSERT_EQ(status, plan.status);
	}
	asm volatile("sti; nop");
	return arrived / BENCH_TYPE;
}

/* Make room in the slot, as the specification wants it, and ask for what waits. */
static inline void empty_slot(volatile struct hv_postmsg_message *slot)
{
	slot->type = 0;
	asm volatile("mfence" : : : "memory");
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_X64_MSR_EOM, 0);
}

uint64_t bench_guest_interrupted(struct hvpm_guest *guest, uint64_t unused)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];
	uint64_t start, status, arrived;
	uint32_t seen;
	unsigned int i;

	for (i = 0; i < BENCH_ROUNDS; i++) {
		seen = guest->interrupts[BENCH_SINT];
		start = rdtsc();
		status = hvpm_guest_hypercall(guest, HVPM_POST, guest->input_gpa, 0);
		arrived = slot->type;
		empty_slot(slot);
		bench_costs[i] = rdtsc() - start;
		GUEST_ASSERT_EQ(status, HV_STATUS_SUCCESS);
		GUEST_ASSERT_EQ(arrived, BENCH_TYPE);
		GUEST_ASSERT_EQ(guest->interrupts[BENCH_SINT], seen + 1);
	}
	return 0;
}

uint64_t bench_guest_drain(struct hvpm_guest *guest, uint64_t depth)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];
	unsigned int i, j, taken;
	uint64_t start;

	for (i = 0; i < BENCH_ROUNDS; i++) {
		for (j = 0; j < depth + 1; j++)
			GUEST_ASSERT_EQ(hvpm_guest_post_block(guest), HV_STATUS_SUCCESS);
		GUEST_ASSERT(slot->flags & HV_MESSAGE_FLAG_PENDING);
		start = rdtsc();
		for (taken = 0; slot->type; taken++)
			empty_slot(slot);
		bench_costs[i] = rdtsc() - start;
		GUEST_ASSERT_EQ(taken, depth + 1);
	}
	return 0;
}

uint64_t bench_guest_post_once(struct hvpm_guest *guest, uint64_t unused)
{
	uint64_t start, status, cost;

	/* The first hypercall behind an entry is not the one that is counted. */
	hvpm_guest_hypercall(guest, BENCH_UNKNOWN_CALL, guest->input_gpa, 0);
	start = rdtsc();
	status = hvpm_guest_hypercall(guest, HVPM_POST, guest->input_gpa, 0);
	cost = rdtsc() - start;
	GUEST_ASSERT_EQ(status, HV_STATUS_SUCCESS);
	return cost;
}

static void receive(struct hvpm_guest *guest)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[BENCH_SINT];

	if (!slot->type)
		return;
	empty_slot(slot);
	guest->data[BENCH_DATA_RECEIVED]++;
}

uint64_t bench_guest_receive(struct hvpm_guest *guest, uint64_t unused)
{
	for (;;) {
		asm volatile("outb %%al, %0" : : "N"(BENCH_RECEIVE_PORT) : "memory");
		receive(guest);
	}
}

uint64_t bench_guest_sleep(struct hvpm_guest *guest, uint64_t unused)
{
	uint32_t seen = 0;

	while (!guest->data[BENCH_DATA_STOP]) {
		hvpm_guest_halt(guest, BENCH_SINT, seen++);
		receive(guest);
	}
	return 0;
}
