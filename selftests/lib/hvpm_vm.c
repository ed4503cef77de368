// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs whose VPs have a SynIC
 */
#include "hvpm.h"

/* Guest pages that only the library uses start here, above code and stacks. */
#define GUEST_PAGES_GVA		0x4000000

static vm_vaddr_t alloc_pages(struct hvpm_vm *vm, unsigned int pages)
{
	vm_vaddr_t gva = vm_vaddr_alloc(vm->vm, pages * getpagesize(),
					GUEST_PAGES_GVA);

	memset(addr_gva2hva(vm->vm, gva), 0, pages * getpagesize());
	return gva;
}

struct hvpm_vm *hvpm_vm_create_empty(unsigned int max_vps)
{
	struct hvpm_vm *vm = calloc(1, sizeof(*vm) + max_vps * sizeof(*vm->vps));
	unsigned int vp, sint;

	TEST_ASSERT(vm, "out of memory");
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_HYPERV_SYNIC2));
	/* It makes room for a stack each; the pages of a VP take no more. */
	vm->vm = vm_create(2 * max_vps);
	vm->max_vps = max_vps;
	vm->partition = -1;
	for (vp = 0; vp < HVPM_MAX_VPS; vp++)
		for (sint = 0; sint < HV_SYNIC_SINT_COUNT; sint++)
			vm_install_exception_handler(vm->vm,
						     HVPM_VECTOR(vp, sint),
						     hvpm_guest_interrupt);
	return vm;
}

struct hvpm_vp *hvpm_vm_add_vp(struct hvpm_vm *vm, void (*code)(struct hvpm_guest *),
			       bool synic)
{
	struct hvpm_vp *vp = &vm->vps[vm->nr_vps];
	vm_vaddr_t gva = alloc_pages(vm, 1);
	struct hvpm_guest **guests;

	TEST_ASSERT(vm->nr_vps < vm->max_vps, "no room for another VP");
	vp->vm = vm;
	vp->index = vm->nr_vps++;
	vp->vcpu = vm_vcpu_add(vm->vm, vp->index, code ?: hvpm_guest_main);
	vcpu_set_hv_cpuid(vp->vcpu);
	if (synic)
		vcpu_enable_cap(vp->vcpu, KVM_CAP_HYPERV_SYNIC2, 0);
	vcpu_args_set(vp->vcpu, 1, gva);

	vp->guest = addr_gva2hva(vm->vm, gva);
	vp->guest->vp = vp->index;
	vp->guest->slots = (void *)alloc_pages(vm, 1);
	vp->guest->slots_gpa = addr_gva2gpa(vm->vm, (vm_vaddr_t)vp->guest->slots);
	vp->guest->input = (void *)alloc_pages(vm, 2);
	vp->guest->input_gpa = addr_gva2gpa(vm->vm, (vm_vaddr_t)vp->guest->input);
	/* The hypercall page is the VM's, not the VP's. */
	if (vp->index) {
		vp->guest->hypercall = vm->vps[0].guest->hypercall;
		vp->guest->hypercall_gpa = vm->vps[0].guest->hypercall_gpa;
	} else {
		vp->guest->hypercall = (void *)alloc_pages(vm, 1);
		vp->guest->hypercall_gpa =
			addr_gva2gpa(vm->vm, (vm_vaddr_t)vp->guest->hypercall);
	}
	vp->slots = addr_gva2hva(vm->vm, (vm_vaddr_t)vp->guest->slots);
	vp->input = addr_gva2hva(vm->vm, (vm_vaddr_t)vp->guest->input);

	if (vp->index < HVPM_MAX_VPS) {
		guests = addr_gva2hva(vm->vm, (vm_vaddr_t)hvpm_guests);
		guests[vp->index] = (void *)gva;
	}
	return vp;
}

struct hvpm_vm *hvpm_vm_create(unsigned int nr_vps, void (*code)(struct hvpm_guest *))
{
	struct hvpm_vm *vm = hvpm_vm_create_empty(nr_vps);

	while (vm->nr_vps < nr_vps)
		hvpm_vm_add_vp(vm, code, true);
	return vm;
}

int hvpm_vm_attach(struct hvpm_vm *vm, uint32_t flags)
{
	vm->partition = hvpm_create_partition(vm->vm->fd, flags);
	return vm->partition;
}

void hvpm_vm_free(struct hvpm_vm *vm)
{
	if (vm->partition >= 0)
		hvpm_close_partition(vm->partition);
	kvm_vm_free(vm->vm);
	free(vm);
}

uint64_t hvpm_vp_run(struct hvpm_vp *vp, struct ucall *uc)
{
	struct ucall own;
	uint64_t command;

	if (!uc)
		uc = &own;
	for (;;) {
		vcpu_run(vp->vcpu);
		command = get_ucall(vp->vcpu, uc);
		switch (command) {
		case UCALL_PRINTF:
			REPORT_GUEST_PRINTF(*uc);
			break;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(*uc);
			break;
		case UCALL_DONE:
			vp->done = true;
			return command;
		case UCALL_NONE:
			if (vp->vcpu->run->exit_reason != KVM_EXIT_HYPERV)
				return command;
			/* KVM tells the VMM of writes to SCONTROL and SIMP. */
			if (vp->vcpu->run->hyperv.type == KVM_EXIT_HYPERV_SYNIC)
				break;
			vp->exits++;
			return command;
		default:
			return command;
		}
	}
}

static void *run_thread(void *arg)
{
	struct hvpm_vp *vp = arg;
	uint64_t command;

	while (!vp->done) {
		command = hvpm_vp_run(vp, NULL);
		TEST_ASSERT(command == UCALL_SYNC || command == UCALL_DONE,
			    "VP %u: unexpected exit %u (%s)", vp->index,
			    vp->vcpu->run->exit_reason,
			    exit_reason_str(vp->vcpu->run->exit_reason));
	}
	return NULL;
}

static void start_thread(struct hvpm_vp *vp, void *(*function)(void *))
{
	int ret = pthread_create(&vp->thread, NULL, function, vp);

	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
}

void hvpm_vp_start(struct hvpm_vp *vp)
{
	vp->done = false;
	start_thread(vp, run_thread);
}

void hvpm_vp_join(struct hvpm_vp *vp)
{
	int ret = pthread_join(vp->thread, NULL);

	TEST_ASSERT(!ret, "pthread_join: %s", strerror(ret));
}

/* --- VPs that run hvpm_guest_main() --- */

void hvpm_vp_command(struct hvpm_vp *vp, enum hvpm_command command)
{
	uint64_t ucall;

	vp->guest->command = command;
	ucall = hvpm_vp_run(vp, NULL);
	TEST_ASSERT(ucall == UCALL_SYNC, "VP %u: ucall %lu, exit %u (%s)",
		    vp->index, ucall, vp->vcpu->run->exit_reason,
		    exit_reason_str(vp->vcpu->run->exit_reason));
}

static void *command_thread(void *arg)
{
	struct hvpm_vp *vp = arg;

	hvpm_vp_command(vp, vp->guest->command);
	return NULL;
}

void hvpm_vp_command_start(struct hvpm_vp *vp, enum hvpm_command command)
{
	vp->guest->command = command;
	start_thread(vp, command_thread);
}

void hvpm_vp_command_join(struct hvpm_vp *vp)
{
	hvpm_vp_join(vp);
}

void hvpm_vp_poke(struct hvpm_vp *vp)
{
	hvpm_vp_command(vp, HVPM_NOP);
}

uint8_t __hvpm_vp_wrmsr(struct hvpm_vp *vp, uint32_t msr, uint64_t value)
{
	vp->guest->argument[0] = msr;
	vp->guest->argument[1] = value;
	hvpm_vp_command(vp, HVPM_WRMSR);
	return vp->guest->result[0];
}

void hvpm_vp_wrmsr(struct hvpm_vp *vp, uint32_t msr, uint64_t value)
{
	uint8_t vector = __hvpm_vp_wrmsr(vp, msr, value);

	TEST_ASSERT(!vector, "exception %u on WRMSR(0x%x) = 0x%lx", vector, msr,
		    value);
}

uint64_t hvpm_vp_rdmsr(struct hvpm_vp *vp, uint32_t msr)
{
	vp->guest->argument[0] = msr;
	hvpm_vp_command(vp, HVPM_RDMSR);
	TEST_ASSERT(!vp->guest->result[0], "exception %lu on RDMSR(0x%x)",
		    vp->guest->result[0], msr);
	return vp->guest->result[1];
}

void hvpm_vp_enable_synic(struct hvpm_vp *vp, unsigned int sint)
{
	uint64_t value = HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, sint);

	if (vp->index < HVPM_MAX_VPS)
		value = HVPM_VECTOR(vp->index, sint);
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SIMP,
		      vp->guest->slots_gpa | HV_SYNIC_SIMP_ENABLE);
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + sint, value);
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
}

uint16_t hvpm_vp_hypercall(struct hvpm_vp *vp, uint64_t control,
			   uint64_t input_gpa, uint64_t output_gpa)
{
	vp->guest->argument[0] = control;
	vp->guest->argument[1] = input_gpa;
	vp->guest->argument[2] = output_gpa;
	vp->guest->result[0] = ~0ULL;
	hvpm_vp_command(vp, HVPM_HYPERCALL);
	TEST_ASSERT(vp->guest->result[0] <= UINT16_MAX,
		    "hypercall 0x%lx: RAX is 0x%lx", control,
		    vp->guest->result[0]);
	return vp->guest->result[0];
}

struct hvpm_input *hvpm_vp_fill(struct hvpm_vp *vp, uint32_t offset,
				uint32_t connection_id, uint32_t type,
				uint32_t size)
{
	struct hvpm_input *input = (void *)(vp->input + offset);
	unsigned int i;

	input->connection_id = connection_id;
	input->reserved = 0;
	input->message_type = type;
	input->payload_size = size;
	for (i = 0; i < sizeof(input->payload); i++)
		input->payload[i] = i ^ 0xa5;
	return input;
}

uint16_t hvpm_vp_post(struct hvpm_vp *vp, uint32_t connection_id, uint32_t type,
		      uint32_t size, uint32_t sender, uint64_t sequence)
{
	struct hvpm_input *input = hvpm_vp_fill(vp, 0, connection_id, type, size);

	if (size >= HVPM_PAYLOAD_MIN && size <= HV_POSTMSG_PAYLOAD_MAX)
		hvpm_payload_fill(input->payload, type, size, sender, sequence);
	return hvpm_vp_hypercall(vp, HVPM_POST, vp->guest->input_gpa, 0);
}

bool hvpm_vp_take(struct hvpm_vp *vp, unsigned int sint,
		  struct hv_postmsg_message *message)
{
	vp->guest->argument[0] = sint;
	hvpm_vp_command(vp, HVPM_TAKE);
	if (!vp->guest->result[0])
		return false;
	*message = vp->guest->message;
	return true;
}

uint64_t hvpm_vp_call(struct hvpm_vp *vp,
		      uint64_t (*function)(struct hvpm_guest *, uint64_t),
		      uint64_t argument)
{
	vp->guest->argument[0] = (uint64_t)function;
	vp->guest->argument[1] = argument;
	hvpm_vp_command(vp, HVPM_CALL);
	return vp->guest->result[0];
}
