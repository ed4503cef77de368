// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's side: SynIC, hypercalls, message slots
 */
#include "hvpm_guest.h"

#include "apic.h"

#define OPCODE_HLT	0xf4

struct hvpm_guest *hvpm_guests[HVPM_MAX_VPS];

/*
 * STI takes effect after the next instruction, so what waits by STI and HLT
 * misses no interrupt.  But if KVM has to act between the two, QEMU 7.2 forgets
 * on the way back that STI was the last: the interrupt comes before HLT, which
 * then sleeps for ever.  So an interrupt that finds HLT ahead skips it.  No
 * processor does that to the pair, and HLT may end for no reason at any time.
 */
__attribute__((target("general-regs-only")))
static void skip_hlt(struct ex_regs *regs)
{
	if (*(const uint8_t *)regs->rip == OPCODE_HLT)
		regs->rip++;
}

/*
 * An interrupt comes at any place of the guest's code, and the library's entry
 * code saves no vector registers, so this must not use any.
 */
__attribute__((target("general-regs-only")))
void hvpm_guest_interrupt(struct ex_regs *regs)
{
	unsigned int which = regs->vector - HVPM_VECTOR(0, 0);
	struct hvpm_guest *guest = hvpm_guests[which / HV_SYNIC_SINT_COUNT];

	guest->interrupts[which % HV_SYNIC_SINT_COUNT]++;
	skip_hlt(regs);
	if (!guest->no_eoi)
		wrmsr(APIC_BASE_MSR + (APIC_EOI >> 4), 0);
}

void hvpm_guest_init(struct hvpm_guest *guest)
{
	x2apic_enable();
	wrmsr(HV_X64_MSR_GUEST_OS_ID, HYPERV_LINUX_OS_ID);
	wrmsr(HV_X64_MSR_HYPERCALL, guest->hypercall_gpa | BIT(0));
	asm volatile("sti; nop" : : : "memory");
}

void hvpm_guest_enable_synic(struct hvpm_guest *guest, unsigned int sint)
{
	wrmsr(HV_X64_MSR_SIMP, guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	wrmsr(HV_X64_MSR_SINT0 + sint, HVPM_VECTOR(guest->vp, sint));
	wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
}

uint64_t hvpm_guest_hypercall(struct hvpm_guest *guest, uint64_t control,
			      uint64_t input_gpa, uint64_t output_gpa)
{
	register uint64_t r8 asm("r8") = output_gpa;
	uint64_t result = ~0ULL;

	asm volatile("call *%[page]"
		     : "+a"(result), "+c"(control), "+d"(input_gpa), "+r"(r8)
		     : [page] "m"(guest->hypercall)
		     : "cc", "memory", "r9", "r10", "r11");
	return result;
}

uint16_t hvpm_guest_post_block(struct hvpm_guest *guest)
{
	return hvpm_guest_hypercall(guest, HVCALL_POST_MESSAGE,
				    guest->input_gpa, 0);
}

uint16_t hvpm_guest_post(struct hvpm_guest *guest, uint32_t connection_id,
			 uint32_t type, uint32_t size, uint32_t sender,
			 uint64_t sequence)
{
	struct hvpm_input *input = (struct hvpm_input *)guest->input;

	input->connection_id = connection_id;
	input->reserved = 0;
	input->message_type = type;
	input->payload_size = size;
	hvpm_payload_fill(input->payload, type, size, sender, sequence);
	return hvpm_guest_post_block(guest);
}

bool hvpm_guest_take(struct hvpm_guest *guest, unsigned int sint,
		     struct hv_postmsg_message *message)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[sint];
	unsigned int i;

	if (!slot->type)
		return false;
	asm volatile("" : : : "memory");
	for (i = 0; i < sizeof(*slot) / sizeof(uint64_t); i++)
		((uint64_t *)message)[i] = ((volatile uint64_t *)slot)[i];
	slot->type = 0;
	asm volatile("mfence" : : : "memory");
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_X64_MSR_EOM, 0);
	return true;
}

void hvpm_guest_halt(struct hvpm_guest *guest, unsigned int sint, uint32_t seen)
{
	for (;;) {
		asm volatile("cli" : : : "memory");
		if (guest->interrupts[sint] != seen)
			break;
		/* STI takes effect after HLT: no interrupt is missed. */
		asm volatile("sti; hlt" : : : "memory");
	}
	asm volatile("sti; nop" : : : "memory");
}

static void execute(struct hvpm_guest *guest)
{
	uint64_t (*function)(struct hvpm_guest *guest, uint64_t argument);
	uint64_t value = 0;

	switch (guest->command) {
	case HVPM_NOP:
		break;
	case HVPM_HYPERCALL:
		guest->result[0] = hvpm_guest_hypercall(guest, guest->argument[0],
							guest->argument[1],
							guest->argument[2]);
		break;
	case HVPM_RDMSR:
		guest->result[0] = rdmsr_safe(guest->argument[0], &value);
		guest->result[1] = value;
		break;
	case HVPM_WRMSR:
		guest->result[0] = wrmsr_safe(guest->argument[0],
					      guest->argument[1]);
		break;
	case HVPM_TAKE:
		guest->result[0] = hvpm_guest_take(guest, guest->argument[0],
						   &guest->message);
		break;
	case HVPM_CALL:
		function = (void *)guest->argument[0];
		guest->result[0] = function(guest, guest->argument[1]);
		break;
	default:
		GUEST_FAIL("unknown command");
	}
}

void hvpm_guest_main(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	for (;;) {
		execute(guest);
		GUEST_SYNC(guest->command);
	}
}
