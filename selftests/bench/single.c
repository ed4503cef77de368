// SPDX-License-Identifier: GPL-2.0-only
/*
 * One VP that calls: without the module, beside it, through it
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench.h"

#define EVENT		9

/* Where in the input pages SignalEvent's input is. */
#define EVENT_INPUT	0x800

/* The smallest VMM that answers a post: copy, then one ioctl that injects. */
static void serve_post(struct hvpm_vp *vp)
{
	struct hvpm_input *input = (void *)vp->input;
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,
		.data = HVPM_VECTOR(0, BENCH_SINT),
	};
	volatile struct hv_postmsg_message *slot = &vp->slots[BENCH_SINT];
	unsigned int i;

	if (slot->type)
		return;
	slot->payload_size = input->payload_size;
	slot->flags = 0;
	slot->port_id = BENCH_PORT;
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

/* Print what the guest has left in bench_costs, by @parts to one call. */
static void report_costs(struct hvpm_vp *vp, const char *name, unsigned int parts)
{
	struct bench_samples samples = { 0 };
	unsigned int i;

	sync_global_from_guest(vp->vm->vm, bench_costs);
	for (i = 0; i < BENCH_ROUNDS; i++)
		bench_add(&samples, bench_costs[i]);
	bench_report(name, (bench_median(&samples) + parts / 2) / parts);
}

void bench_count_calls(struct hvpm_vp *vp, const char *name, struct bench_plan plan)
{
	bool post = (uint16_t)plan.control == HVPM_POST && !plan.status;

	if (!bench_wanted(name, NULL))
		return;
	bench_plan = plan;
	sync_global_to_guest(vp->vm->vm, bench_plan);
	vp->guest->argument[0] = (uint64_t)bench_guest_call;
	vp->guest->command = HVPM_CALL;
	/* Without the library's loop, which would be most of what a VMM costs. */
	while (!ioctl(vp->vcpu->fd, KVM_RUN, NULL) &&
	       vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV)
		serve_post(vp);
	TEST_ASSERT(get_ucall(vp->vcpu, NULL) == UCALL_SYNC, "%s: exit %u (%s)",
		    name, vp->vcpu->run->exit_reason,
		    exit_reason_str(vp->vcpu->run->exit_reason));
	TEST_ASSERT(vp->guest->result[0] == (post ? BENCH_ROUNDS : 0),
		    "%s: %lu messages", name, vp->guest->result[0]);
	report_costs(vp, name, 1);
}

static void count_null(struct hvpm_vp *vp, const char *name)
{
	bench_count_calls(vp, name, (struct bench_plan) {
		.control = BENCH_UNKNOWN_CALL,
		.gpa = hvpm_vp_input_gpa(vp),
		.status = HV_STATUS_INVALID_HYPERCALL_CODE,
	});
}

static void count_post(struct hvpm_vp *vp, const char *name)
{
	bench_count_calls(vp, name, (struct bench_plan) {
		.control = HVPM_POST,
		.gpa = hvpm_vp_input_gpa(vp),
	});
}

void bench_poll_sint(struct hvpm_vp *vp)
{
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + BENCH_SINT,
		      HVPM_VECTOR(0, BENCH_SINT) | HV_SYNIC_SINT_POLLING);
}

/* With the interrupt: from the call to behind the handler and the empty slot. */
static void count_interrupted(struct hvpm_vp *vp)
{
	if (!bench_wanted("post_self_irq", NULL))
		return;
	hvpm_vp_call(vp, bench_guest_interrupted, 0);
	report_costs(vp, "post_self_irq", 1);
}

static void count_drain(struct hvpm_vp *vp)
{
	static const unsigned int depths[] = { 1, 4, 16 };
	char name[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(depths); i++) {
		snprintf(name, sizeof(name), "queue_depth_%u", depths[i]);
		if (!bench_wanted(name, NULL))
			continue;
		hvpm_vp_call(vp, bench_guest_drain, depths[i]);
		report_costs(vp, name, depths[i]);
	}
}

void bench_single(void)
{
	struct kvm_hyperv_eventfd event = { .conn_id = EVENT };
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hvpm_vp *vp = &vm->vps[0];

	hvpm_vp_enable_synic(vp, BENCH_SINT);
	hvpm_vp_call(vp, bench_guest_settle, 0);
	hvpm_vp_fill(vp, 0, BENCH_CONNECTION, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	*(uint64_t *)(vp->input + EVENT_INPUT) = EVENT;
	event.fd = eventfd(0, EFD_CLOEXEC);
	vm_ioctl(vm->vm, KVM_HYPERV_EVENTFD, &event);

	count_null(vp, "null_unloaded");
	bench_count_calls(vp, "signal_eventfd", (struct bench_plan) {
		.control = HVCALL_SIGNAL_EVENT,
		.gpa = hvpm_vp_input_gpa(vp) + EVENT_INPUT,
	});
	count_post(vp, "post_vmm");

	bench_load_module();
	count_null(vp, "null_loaded");

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, BENCH_PORT, 0, BENCH_SINT, 0, 0);
	hvpm_join(vm->partition, BENCH_CONNECTION, vm->partition, BENCH_PORT);
	count_null(vp, "null_attached");
	count_post(vp, "post_self_inject");
	count_interrupted(vp);
	bench_poll_sint(vp);
	count_post(vp, "post_self");
	count_drain(vp);

	hvpm_vm_free(vm);
	close(event.fd);
}
