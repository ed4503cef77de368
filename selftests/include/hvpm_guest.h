/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's side: what runs inside the VMs of the selftests and of the demo
 *
 * Guest code is 64-bit, at CPL 0, and shares the program's text with the host
 * side; each VM has its own copy of the program's data.
 */
#ifndef SELFTESTS_HVPM_GUEST_H
#define SELFTESTS_HVPM_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "hyperv.h"

#include <linux/hv_postmsg.h>

#include "hvpm_payload.h"

/* Status codes that the KVM selftests library does not name. */
#define HV_STATUS_INVALID_VP_INDEX	0x0e
#define HV_STATUS_INVALID_SYNIC_STATE	0x18

/* Bits of the SynIC's registers. */
#define HV_SYNIC_CONTROL_ENABLE		BIT_ULL(0)
#define HV_SYNIC_SIMP_ENABLE		BIT_ULL(0)
#define HV_SYNIC_SINT_MASKED		BIT_ULL(16)
#define HV_SYNIC_SINT_AUTO_EOI		BIT_ULL(17)
#define HV_SYNIC_SINT_POLLING		BIT_ULL(18)
#define HV_SYNIC_SINT_COUNT		16

#define HV_MESSAGE_FLAG_PENDING		BIT(0)

/*
 * This many VPs of a VM have vectors of their own.  Those beyond take no
 * interrupts of SINTs.
 */
#define HVPM_MAX_VPS			8

/* Interrupt vector of a SINT, chosen so that the vector tells the VP. */
#define HVPM_VECTOR(vp, sint)		(0x40 + HV_SYNIC_SINT_COUNT * (vp) + (sint))

/**
 * struct hvpm_input - the input block of HvCallPostMessage
 */
struct hvpm_input {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t message_type;
	uint32_t payload_size;
	uint8_t payload[HV_POSTMSG_PAYLOAD_MAX];
};

/* What hvpm_guest_main() does on behalf of the host. */
enum hvpm_command {
	HVPM_NOP,
	HVPM_HYPERCALL,
	HVPM_RDMSR,
	HVPM_WRMSR,
	HVPM_TAKE,
	HVPM_CALL,
};

/**
 * struct hvpm_guest - one VP's state, in guest memory, seen by guest and host
 *
 * @vp: index of this VP when it was created
 * @slots: the SIM page, as the guest addresses it
 * @slots_gpa: its guest physical address
 * @input: two adjacent pages for the input of hypercalls
 * @input_gpa: guest physical address of the first
 * @hypercall: the hypercall page
 * @hypercall_gpa: its guest physical address
 * @interrupts: interrupts taken, by SINT
 * @no_eoi: the handler does not write EOI: the SINT has AutoEOI, or a test
 *	wants the EOI to come later
 * @command: enum hvpm_command
 * @argument: arguments of the command
 * @result: results of the command
 * @message: the message that HVPM_TAKE took
 * @data: for the test's own use, zero at first
 */
struct hvpm_guest {
	uint32_t vp;
	struct hv_postmsg_message *slots;
	uint64_t slots_gpa;
	uint8_t *input;
	uint64_t input_gpa;
	uint8_t *hypercall;
	uint64_t hypercall_gpa;

	volatile uint32_t interrupts[HV_SYNIC_SINT_COUNT];
	volatile bool no_eoi;

	volatile uint64_t command;
	volatile uint64_t argument[4];
	volatile uint64_t result[2];
	struct hv_postmsg_message message;

	volatile uint64_t data[64];
};

/*
 * Make this vCPU able to call the hypervisor and to take interrupts: local
 * APIC, guest OS ID, hypercall page, interrupts on.  The SynIC stays as it is.
 */
void hvpm_guest_init(struct hvpm_guest *guest);

/* Program the SynIC: the SIM page, SINT @sint unmasked, and SCONTROL last. */
void hvpm_guest_enable_synic(struct hvpm_guest *guest, unsigned int sint);

/* The hypercall, through the hypercall page; returns RAX. */
uint64_t hvpm_guest_hypercall(struct hvpm_guest *guest, uint64_t control,
			      uint64_t input_gpa, uint64_t output_gpa);

/* Post the input block at the start of guest->input; returns the HV_STATUS. */
uint16_t hvpm_guest_post_block(struct hvpm_guest *guest);

/* Post a sealed payload of @size bytes; returns the HV_STATUS. */
uint16_t hvpm_guest_post(struct hvpm_guest *guest, uint32_t connection_id,
			 uint32_t type, uint32_t size, uint32_t sender,
			 uint64_t sequence);

/*
 * Take the message out of a slot, if there is one, as the specification wants
 * a guest to do it: copy, empty, look at MessagePending, write EOM.
 */
bool hvpm_guest_take(struct hvpm_guest *guest, unsigned int sint,
		     struct hv_postmsg_message *message);

/* Wait in HLT until SINT @sint has interrupted more than @seen times. */
void hvpm_guest_halt(struct hvpm_guest *guest, unsigned int sint, uint32_t seen);

/* Guest code that does what the host asks for, a command at a time. */
void hvpm_guest_main(struct hvpm_guest *guest);

/* Handler of all vectors made by HVPM_VECTOR(). */
void hvpm_guest_interrupt(struct ex_regs *regs);

/* This VM's VPs with vectors, for the interrupt handler. */
extern struct hvpm_guest *hvpm_guests[HVPM_MAX_VPS];

#endif /* SELFTESTS_HVPM_GUEST_H */
