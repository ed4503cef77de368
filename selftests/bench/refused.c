// SPDX-License-Identifier: GPL-2.0-only
/*
 * Posts that are refused, with each status that a post can get
 *
 * Of a status that several reasons have it is a reason that the module finds, not KVM.
 */
#include "bench.h"

/* What is not in order with a port, or with its target. */
enum {
	PORT_OF_EVENTS = 20,
	PORT_TO_NO_VP,
	PORT_TO_FULL_VP,
	PORT_TO_VP_WITHOUT_SYNIC,
	NO_PORT,
};

/* The VPs of the VM; the last two never run. */
enum {
	CALLER,
	FULL_VP,
	VP_WITHOUT_SYNIC,
	VPS,
};

static void refuse(struct hvpm_vp *vp, struct bench_plan plan)
{
	char name[32];

	plan.control |= HVPM_POST;
	plan.gpa += hvpm_vp_input_gpa(vp);
	snprintf(name, sizeof(name), "post_refused_%02lx", plan.status);
	bench_count_calls(vp, name, plan);
}

static void refuse_connection(struct hvpm_vp *vp, uint32_t connection, uint16_t status)
{
	hvpm_vp_fill(vp, 0, connection, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	refuse(vp, (struct bench_plan) { .status = status });
}

static struct hvpm_vm *create_vm(unsigned int vps, uint32_t flags)
{
	struct hvpm_vm *vm = hvpm_vm_create(vps, NULL);
	struct hvpm_vp *vp = &vm->vps[CALLER];

	/* Not once it has run. */
	if (flags & HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE)
		vcpu_clear_cpuid_feature(vp->vcpu, HV_POST_MESSAGES);
	hvpm_vp_enable_synic(vp, BENCH_SINT);
	bench_poll_sint(vp);
	hvpm_vp_call(vp, bench_guest_settle, 0);
	hvpm_vm_attach(vm, flags);
	hvpm_vp_fill(vp, 0, BENCH_CONNECTION, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	return vm;
}

/* A caller whose VMM does not let it post. */
static void refuse_privilege(void)
{
	struct hvpm_vm *vm = create_vm(1, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE);

	refuse(&vm->vps[0], (struct bench_plan) { .status = HV_STATUS_ACCESS_DENIED });
	hvpm_vm_free(vm);
}

void bench_refused(void)
{
	struct hvpm_vm *vm = create_vm(VPS, 0);
	struct hvpm_vp *vp = &vm->vps[CALLER];
	int partition = vm->partition;

	hvpm_vp_enable_synic(&vm->vps[FULL_VP], BENCH_SINT);
	hvpm_create_event_port(partition, PORT_OF_EVENTS, CALLER, BENCH_SINT, 0);
	hvpm_create_port(partition, PORT_TO_NO_VP, VPS, BENCH_SINT, 0, 0);
	hvpm_create_port(partition, PORT_TO_FULL_VP, FULL_VP, BENCH_SINT, 0, 0);
	hvpm_create_port(partition, PORT_TO_VP_WITHOUT_SYNIC, VP_WITHOUT_SYNIC,
			 BENCH_SINT, 0, 0);
	hvpm_join(partition, PORT_OF_EVENTS, partition, PORT_OF_EVENTS);
	hvpm_join(partition, PORT_TO_NO_VP, partition, PORT_TO_NO_VP);
	hvpm_join(partition, PORT_TO_FULL_VP, partition, PORT_TO_FULL_VP);
	hvpm_join(partition, PORT_TO_VP_WITHOUT_SYNIC, partition,
		  PORT_TO_VP_WITHOUT_SYNIC);
	while (!hvpm_vp_post(vp, PORT_TO_FULL_VP, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX, 0, 0))
		;

	refuse(vp, (struct bench_plan) {
		.control = HV_HYPERCALL_FAST_BIT,
		.status = HV_STATUS_INVALID_HYPERCALL_INPUT,
	});
	refuse(vp, (struct bench_plan) {
		.gpa = 1,
		.status = HV_STATUS_INVALID_ALIGNMENT,
	});
	hvpm_vp_fill(vp, 0, BENCH_CONNECTION, 0, HV_POSTMSG_PAYLOAD_MAX);
	refuse(vp, (struct bench_plan) { .status = HV_STATUS_INVALID_PARAMETER });
	refuse_privilege();
	refuse_connection(vp, PORT_TO_NO_VP, HV_STATUS_INVALID_VP_INDEX);
	refuse_connection(vp, PORT_OF_EVENTS, HV_STATUS_INVALID_PORT_ID);
	refuse_connection(vp, NO_PORT, HV_STATUS_INVALID_CONNECTION_ID);
	refuse_connection(vp, PORT_TO_FULL_VP, HV_STATUS_INSUFFICIENT_BUFFERS);
	refuse_connection(vp, PORT_TO_VP_WITHOUT_SYNIC, HV_STATUS_INVALID_SYNIC_STATE);
	hvpm_vm_free(vm);
}
