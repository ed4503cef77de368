// SPDX-License-Identifier: GPL-2.0-only
/*
 * cost: executed instructions per call, read off the guest's time stamp counter.
 *
 * Meaningful only under the emulator's -icount, where the counter counts executed
 * instructions: `make cost` runs it so.  Every figure is the median over CALLS
 * calls with a payload of 240 bytes, after a warm-up; the loop's own work, filling
 * nothing and emptying the slot, is part of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hvpm.h"

#define CALLS		1000
#define WARM_UP		200
#define SINT		2
#define PORT		7
#define CONNECTION	7
#define EVENT		9
#define UNKNOWN_CALL	0x0fff

/* Where the guest leaves its samples. */
static uint64_t samples[CALLS];

/* A VMM without the module serves a post so, with one injecting ioctl. */
static void serve_post(struct hvpm_vp *vp)
{
	struct hvpm_input *input = (void *)vp->input;
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,
		.data = HVPM_VECTOR(0, SINT),
	};
	volatile struct hv_postmsg_message *slot = &vp->slots[SINT];
	unsigned int i;

	if (slot->type)
		return;
	slot->payload_size = input->payload_size;
	slot->flags = 0;
	slot->port_id = PORT;
	/* The library's memcpy() goes byte by byte. */
	for (i = 0; i < HV_POSTMSG_PAYLOAD_MAX / sizeof(uint64_t); i++)
		((volatile uint64_t *)slot->payload)[i] =
			((uint64_t *)input->payload)[i];
	slot->type = input->message_type;
	/* Returns how many local APICs took it. */
	TEST_ASSERT(__vm_ioctl(vp->vm->vm, KVM_SIGNAL_MSI, &msi) >= 0,
		    "KVM_SIGNAL_MSI failed");
	vp->vcpu->run->hyperv.u.hcall.result = 0;
}

/* Make CALLS calls with the control word in @argument. */
static uint64_t measure(struct hvpm_guest *guest, uint64_t control)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[SINT];
	uint64_t input = control == HVCALL_SIGNAL_EVENT ? guest->input_gpa + 0x800 :
							 guest->input_gpa;
	uint64_t start, status = 0;
	int i;

	/* Fill the pipeline of pending interrupts no further than the IRR. */
	asm volatile("cli");
	for (i = -WARM_UP; i < CALLS; i++) {
		start = rdtsc();
		status |= hvpm_guest_hypercall(guest, control, input, 0);
		slot->type = 0;
		if (i >= 0)
			samples[i] = rdtsc() - start;
	}
	asm volatile("sti");
	return status;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t report(struct hvpm_vp *vp, const char *name, uint64_t control,
		       uint64_t status)
{
	uint64_t got;

	vp->guest->argument[0] = (uint64_t)measure;
	vp->guest->argument[1] = control;
	vp->guest->command = HVPM_CALL;
	/* The smallest VMM: the library's loop would be most of the figure. */
	while (!ioctl(vp->vcpu->fd, KVM_RUN, NULL) &&
	       vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV)
		serve_post(vp);
	TEST_ASSERT_EQ(get_ucall(vp->vcpu, NULL), UCALL_SYNC);
	got = vp->guest->result[0];
	TEST_ASSERT(got == status, "%s: status %#lx", name, got);

	sync_global_from_guest(vp->vm->vm, samples);
	qsort(samples, CALLS, sizeof(samples[0]), compare);
	printf("%-20s %6lu\n", name, samples[CALLS / 2]);
	return samples[CALLS / 2];
}

int main(int argc, char **argv)
{
	bool loaded = argc > 1 && !strcmp(argv[1], "loaded");
	struct kvm_hyperv_eventfd event = { .conn_id = EVENT };
	struct hvpm_vm *vm = hvpm_vm_create(1, hvpm_guest_main);
	struct hvpm_vp *vp = &vm->vps[0];
	char name[32];

	hvpm_vp_enable_synic(vp, SINT);
	hvpm_vp_fill(vp, 0, CONNECTION, 1, HV_POSTMSG_PAYLOAD_MAX);
	*(uint64_t *)(vp->input + 0x800) = EVENT;
	event.fd = eventfd(0, 0);
	vm_ioctl(vm->vm, KVM_HYPERV_EVENTFD, &event);

	snprintf(name, sizeof(name), "null_%s", loaded ? "loaded" : "unloaded");
	report(vp, name, UNKNOWN_CALL, HV_STATUS_INVALID_HYPERCALL_CODE);
	if (!loaded) {
		report(vp, "signal_eventfd", HVCALL_SIGNAL_EVENT, 0);
		report(vp, "post_vmm", HVPM_POST, 0);
		hvpm_vm_free(vm);
		return 0;
	}

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_connect(vm->partition, CONNECTION, hvpm_port_fd(vm->partition, PORT),
		     HV_POSTMSG_CONNECT_SELF);
	report(vp, "null_attached", UNKNOWN_CALL, HV_STATUS_INVALID_HYPERCALL_CODE);
	report(vp, "post_self_inject", HVPM_POST, 0);
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + SINT,
		      HVPM_VECTOR(0, SINT) | HV_SYNIC_SINT_POLLING);
	report(vp, "post_self", HVPM_POST, 0);
	hvpm_vp_fill(vp, 0, CONNECTION, 0, HV_POSTMSG_PAYLOAD_MAX);
	report(vp, "post_refused_05", HVPM_POST, HV_STATUS_INVALID_PARAMETER);
	hvpm_vp_fill(vp, 0, CONNECTION + 1, 1, HV_POSTMSG_PAYLOAD_MAX);
	report(vp, "post_refused_12", HVPM_POST, HV_STATUS_INVALID_CONNECTION_ID);
	hvpm_vm_free(vm);
	return 0;
}
