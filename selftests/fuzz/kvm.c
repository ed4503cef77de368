// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM in user space: as much of it as the module hooks, calls or reads.
 *
 * The bodies do what KVM's functions do for a guest in 64-bit mode at CPL 0, as
 * in arch/x86/kvm/hyperv.c of both kernels.  A call goes the way it goes in the
 * kernel: the module's callback sees the registers first and may redirect it, or it
 * is called directly.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/file.h>
#include <linux/kvm_host.h>

#include "../../hv_postmsg/kvm/entry.h"
#include "../../hv_postmsg/kvm/redirect.h"
#include "../../hv_postmsg/kvm/vcpu.h"
#include "../../hv_postmsg/kvm/vm.h"
#include "core.h"
#include "shim.h"

#define STATUS_INVALID_CODE	0x02
#define STATUS_INVALID_INPUT	0x03
#define STATUS_ACCESS_DENIED	0x06

#define CALL_POST_MESSAGE	0x5c
#define PRIVILEGE_POST_MESSAGES	BIT(4)

#define CONTROL_RESERVED	(GENMASK_ULL(30, 27) | GENMASK_ULL(47, 44) | \
				 GENMASK_ULL(63, 60))
#define CONTROL_VARIABLE	GENMASK_ULL(26, 17)
#define CONTROL_REPETITIONS	(GENMASK_ULL(43, 32) | GENMASK_ULL(59, 48))

#define SLOT_BYTES		256
#define TIMER_EXPIRED		0x80000010
#define MESSAGE_PENDING		1

struct shim_vcpu {
	struct kvm_vcpu vcpu;
	struct kvm_vcpu_hv hv;
	struct kvm_lapic apic;
	struct kvm_run run;
	u64 result;
};

struct shim_vm {
	struct kvm kvm;
	struct mm_struct mm;
	struct kvm_memslots memslots;
	struct kvm_memory_slot memslot;
	bool exists;
	struct shim_vcpu vcpu[SHIM_VCPUS];
	enum core_access access[CORE_PAGES];
	u8 memory[CORE_PAGES * CORE_PAGE_BYTES];
};

static struct shim_vm vms[CORE_VMS];
static struct kvm_vcpu *running;

static struct shim_vm *to_vm(struct kvm *kvm)
{
	return container_of(kvm, struct shim_vm, kvm);
}

static struct shim_vcpu *to_shim(struct kvm_vcpu *vcpu)
{
	return container_of(vcpu, struct shim_vcpu, vcpu);
}

static struct kvm_vcpu *get_vcpu(int vm, int vcpu)
{
	shim_check(vms[vm].kvm.vcpus[vcpu]);
	return &vms[vm].vcpu[vcpu].vcpu;
}

/* --- what the module calls --- */

struct kvm_vcpu *kvm_get_running_vcpu(void)
{
	return running;
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
}

/* The first page of a guest is at address 0. */
unsigned long gfn_to_hva(struct kvm *kvm, gfn_t gfn)
{
	struct shim_vm *vm = to_vm(kvm);

	if (gfn >= CORE_PAGES || vm->access[gfn] == CORE_HOLE)
		return 0;
	return (unsigned long)vm->memory + gfn * CORE_PAGE_BYTES;
}

bool kvm_is_error_hva(unsigned long hva)
{
	return !hva;
}

/* What an error leaves in it is KVM's: an address that is none. */
int kvm_gfn_to_hva_cache_init(struct kvm *kvm, struct gfn_to_hva_cache *cache,
			      gpa_t gpa, unsigned long len)
{
	shim_check(!(gpa % CORE_PAGE_BYTES) && len == CORE_PAGE_BYTES);
	cache->generation = kvm->memslots[0]->generation;
	cache->memslot = &to_vm(kvm)->memslot;
	cache->hva = gfn_to_hva(kvm, gpa_to_gfn(gpa));
	if (kvm_is_error_hva(cache->hva))
		return -EFAULT;
	cache->gpa = gpa;
	cache->len = len;
	return 0;
}

bool kvm_slot_dirty_track_enabled(const struct kvm_memory_slot *slot)
{
	return true;
}

void mark_page_dirty_in_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
			     gfn_t gfn)
{
	shim_check(slot == &to_vm(kvm)->memslot);
	shim_check(gfn_to_hva(kvm, gfn));
}

int kvm_vcpu_read_guest_page(struct kvm_vcpu *vcpu, gfn_t gfn, void *data,
			     int offset, int length)
{
	unsigned long hva = gfn_to_hva(vcpu->kvm, gfn);

	shim_check(offset >= 0 && offset + length <= CORE_PAGE_BYTES);
	if (kvm_is_error_hva(hva))
		return -EFAULT;
	shim_copies_block();
	return copy_from_user(data, (u8 *)hva + offset, length) ? -EFAULT : 0;
}

void kvm_apic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high)
{
	shim_check((icr_low & ~0xff) == 0x40000 && !icr_high);
	apic->count[icr_low & 0xff]++;
}

/* The guest takes each of them at once. */
int kvm_lapic_find_highest_irr(struct kvm_vcpu *vcpu)
{
	return -1;
}

size_t shim_guest_accessible(const u8 *at, bool write)
{
	size_t offset;
	unsigned int i;

	for (i = 0; i < CORE_VMS; i++) {
		enum core_access access;

		if (at < vms[i].memory ||
		    at >= vms[i].memory + sizeof(vms[i].memory))
			continue;
		offset = at - vms[i].memory;
		access = vms[i].access[offset / CORE_PAGE_BYTES];
		/* Nobody can have been told where there is none. */
		shim_check(access != CORE_HOLE);
		if (access == CORE_READ_WRITE ||
		    (access == CORE_READ_ONLY && !write))
			return CORE_PAGE_BYTES - offset % CORE_PAGE_BYTES;
	}
	return 0;
}

/* --- what the module hooks: KVM's bodies --- */

static int complete_hypercall(struct kvm_vcpu *vcpu)
{
	to_shim(vcpu)->result = vcpu->run->hyperv.u.hcall.result;
	return 1;
}

static int answer_hypercall(struct kvm_vcpu *vcpu, u64 status)
{
	to_shim(vcpu)->result = status;
	return 1;
}

static int body_hypercall(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv = vcpu->arch.hyperv;
	u64 control = vcpu->arch.regs[VCPU_REGS_RCX];
	u16 code = control;

	if (hv->enforce_cpuid && code == CALL_POST_MESSAGE &&
	    !(hv->cpuid_cache.features_ebx & PRIVILEGE_POST_MESSAGES))
		return answer_hypercall(vcpu, STATUS_ACCESS_DENIED);
	if (control & CONTROL_RESERVED)
		return answer_hypercall(vcpu, STATUS_INVALID_INPUT);
	if (code != CALL_POST_MESSAGE)
		return answer_hypercall(vcpu, STATUS_INVALID_CODE);
	if (control & (CONTROL_VARIABLE | CONTROL_REPETITIONS) ||
	    !hv->synic.active)
		return answer_hypercall(vcpu, STATUS_INVALID_INPUT);

	vcpu->run->exit_reason = KVM_EXIT_HYPERV;
	vcpu->run->hyperv.type = KVM_EXIT_HYPERV_HCALL;
	vcpu->run->hyperv.u.hcall.input = control;
	vcpu->run->hyperv.u.hcall.params[0] = vcpu->arch.regs[VCPU_REGS_RDX];
	vcpu->arch.complete_userspace_io = complete_hypercall;
	return 0;
}

static int body_set_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	struct kvm_vcpu_hv *hv = vcpu->arch.hyperv;
	struct kvm_vcpu_hv_synic *synic;

	if (!hv) {
		vcpu->arch.hyperv = &to_shim(vcpu)->hv;
		hv = vcpu->arch.hyperv;
		hv->vp_index = vcpu->vcpu_idx;
	}
	synic = &hv->synic;
	if (msr == HV_X64_MSR_VP_INDEX) {
		if (!host || data >= KVM_MAX_VCPUS)
			return 1;
		hv->vp_index = data;
		return 0;
	}
	if (!synic->active && (!host || data))
		return 1;

	switch (msr) {
	case HV_X64_MSR_SCONTROL:
		synic->control = data;
		return 0;
	case HV_X64_MSR_SIMP:
		synic->msg_page = data;
		return 0;
	case HV_X64_MSR_EOM:
		return 0;
	case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
		if ((data & 0xff) < 16 && !host &&
		    !(data & HV_SYNIC_SINT_MASKED))
			return 1;
		atomic64_set(&synic->sint[msr - HV_X64_MSR_SINT0], data);
		return 0;
	default:
		return 1;
	}
}

/* As synic_deliver_msg(): 0 if the timer is done with its message. */
static int deliver_timer(struct kvm_vcpu *vcpu, unsigned int sint)
{
	struct kvm_vcpu_hv_synic *synic = &vcpu->arch.hyperv->synic;
	u64 value = atomic64_read(&synic->sint[sint]);
	u8 message[40] = {};
	u8 flags = 0;
	u32 type;
	u8 *slot;

	if (!(synic->msg_page & HV_SYNIC_SIMP_ENABLE))
		return -ENOENT;
	slot = (u8 *)gfn_to_hva(vcpu->kvm, synic->msg_page >> PAGE_SHIFT);
	if (!slot)
		return -EFAULT;
	slot += sint * SLOT_BYTES;
	if (copy_from_user(&type, slot, sizeof(type)) ||
	    copy_from_user(&flags, slot + 5, 1))
		return -EFAULT;
	if (type) {
		flags |= MESSAGE_PENDING;
		return copy_to_user(slot + 5, &flags, 1) ? -EFAULT : -EAGAIN;
	}
	type = TIMER_EXPIRED;
	memcpy(message, &type, sizeof(type));
	message[4] = 24;
	if (copy_to_user(slot, message, sizeof(message)))
		return -EFAULT;
	if (value & HV_SYNIC_SINT_MASKED)
		return -ENOENT;
	kvm_apic_send_ipi(vcpu->arch.apic, 0x40000 | (value & 0xff), 0);
	return 0;
}

static void body_process_stimers(struct kvm_vcpu *vcpu)
{
	unsigned int i;

	for (i = 0; vcpu->arch.hyperv && i < SHIM_TIMERS; i++) {
		struct kvm_vcpu_hv_stimer *timer =
			&vcpu->arch.hyperv->stimer[i];

		if (timer->msg_pending)
			timer->msg_pending =
				deliver_timer(vcpu, timer->config.sintx);
	}
}

static void body_reset(struct kvm_vcpu *vcpu, bool init_event)
{
}

/* --- hooks --- */

enum hook {
	HOOK_HYPERCALL,
	HOOK_SET_MSR,
	HOOK_PROCESS_STIMERS,
	HOOK_RESET,
	HOOK_HALT,
	HOOK_BLOCK,
	HOOK_EOI,
	HOOK_EOI_ACCELERATED,
	HOOKS,
};

static const struct {
	const char *name;
	void *body;
} functions[HOOKS] = {
	[HOOK_HYPERCALL] = { "kvm:kvm_hv_hypercall", body_hypercall },
	[HOOK_SET_MSR] = { "kvm:kvm_hv_set_msr_common", body_set_msr },
	[HOOK_PROCESS_STIMERS] = { "kvm:kvm_hv_process_stimers",
				   body_process_stimers },
	[HOOK_RESET] = { "kvm:kvm_vcpu_reset", body_reset },
	[HOOK_HALT] = { "kvm:kvm_vcpu_halt", NULL },
	[HOOK_BLOCK] = { "kvm:kvm_vcpu_block", NULL },
	[HOOK_EOI] = { "kvm:kvm_hv_synic_send_eoi", NULL },
	[HOOK_EOI_ACCELERATED] = { "kvm:kvm_apic_set_eoi_accelerated", NULL },
};

static struct hvpm_redirect *hooks[HOOKS];

int hvpm_redirect_install(struct hvpm_redirect *redirect)
{
	void *memory = shim_alloc(1);
	unsigned int i;

	/* It may fail for many reasons. */
	if (!memory)
		return -ENOMEM;
	kfree(memory);
	for (i = 0; strcmp(functions[i].name, redirect->name); i++)
		shim_check(i < HOOKS - 1);
	if (redirect->set_body)
		redirect->set_body(functions[i].body);
	shim_check(!hooks[i]);
	hooks[i] = redirect;
	return 0;
}

void hvpm_redirect_remove(struct hvpm_redirect *redirect)
{
	unsigned int i;

	for (i = 0; hooks[i] != redirect; i++)
		shim_check(i < HOOKS - 1);
	hooks[i] = NULL;
}

/* What a call of a hooked function runs: the module's, or KVM's body. */
static void *resolve(enum hook hook, struct kvm_vcpu *vcpu, unsigned long arg)
{
	struct __arch_ftrace_regs fregs = {};

	fregs.regs.di = (unsigned long)vcpu;
	fregs.regs.si = arg;
	/* ftrace has disabled preemption, which is an RCU reader. */
	rcu_read_lock();
	hooks[hook]->ops.func(0, 0, &hooks[hook]->ops,
			      (struct ftrace_regs *)&fregs);
	rcu_read_unlock();
	if (fregs.regs.ip)
		return (void *)fregs.regs.ip;
	return functions[hook].body;
}

/* KVM_RUN and what is like it: on the vCPU's thread, under the VM's SRCU. */
static void begin(struct kvm_vcpu *vcpu)
{
	srcu_read_lock(&vcpu->kvm->srcu);
	running = vcpu;
}

static void end(struct kvm_vcpu *vcpu)
{
	running = NULL;
	srcu_read_unlock(&vcpu->kvm->srcu, 0);
}

/* Never called: its call site is core_hypercall(). */
void hvpm_hypercall_entry(void)
{
	shim_check(false);
}

unsigned int core_hypercall(int vm, int vcpu, uint64_t control, uint64_t gpa)
{
	struct kvm_vcpu *caller = get_vcpu(vm, vcpu);
	int ret;

	shim_check(hooks[HOOK_HYPERCALL]->direct == hvpm_hypercall_entry);
	caller->arch.complete_userspace_io = NULL;
	caller->run->exit_reason = KVM_EXIT_UNKNOWN;
	caller->arch.regs[VCPU_REGS_RCX] = control;
	caller->arch.regs[VCPU_REGS_RDX] = gpa;
	begin(caller);
	ret = hvpm_take_hypercall(caller);
	if (ret == HVPM_NOT_TAKEN)
		ret = body_hypercall(caller);
	end(caller);
	if (ret) {
		shim_check(!caller->arch.complete_userspace_io);
		shim_check(caller->run->exit_reason == KVM_EXIT_UNKNOWN);
		return to_shim(caller)->result;
	}
	/* Exactly KVM's exit. */
	shim_check(caller->arch.complete_userspace_io == complete_hypercall);
	shim_check(caller->run->exit_reason == KVM_EXIT_HYPERV);
	return CORE_EXIT;
}

bool core_set_msr(int vm, int vcpu, uint32_t msr, uint64_t value, bool host)
{
	int (*call)(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host);
	struct kvm_vcpu *writer = get_vcpu(vm, vcpu);
	int ret;

	begin(writer);
	call = resolve(HOOK_SET_MSR, writer, msr);
	ret = call(writer, msr, value, host);
	end(writer);
	return !ret;
}

void core_timer(int vm, int vcpu, unsigned int timer, unsigned int sint)
{
	struct kvm_vcpu *target = get_vcpu(vm, vcpu);
	struct kvm_vcpu_hv_stimer *stimer = &to_shim(target)->hv.stimer[timer];

	shim_check(target->arch.hyperv);
	stimer->config.enable = true;
	stimer->config.sintx = sint;
	stimer->msg_pending = true;
	kvm_make_request(KVM_REQ_HV_STIMER, target);
}

bool core_timer_waits(int vm, int vcpu, unsigned int timer)
{
	return vms[vm].vcpu[vcpu].hv.stimer[timer].msg_pending;
}

void core_enter(int vm, int vcpu)
{
	struct kvm_vcpu *entering = get_vcpu(vm, vcpu);
	void (*call)(struct kvm_vcpu *vcpu);

	begin(entering);
	if (kvm_test_request(KVM_REQ_HV_STIMER, entering)) {
		entering->requests = 0;
		call = resolve(HOOK_PROCESS_STIMERS, entering, 0);
		call(entering);
	}
	end(entering);
}

bool core_halt(int vm, int vcpu)
{
	struct kvm_vcpu *halting = get_vcpu(vm, vcpu);
	void (*call)(struct kvm_vcpu *vcpu);
	bool awake;

	begin(halting);
	call = resolve(HOOK_HALT, halting, 0);
	if (call)
		call(halting);
	end(halting);
	awake = halting->arch.pv.pv_unhalted;
	halting->arch.pv.pv_unhalted = false;
	return awake;
}

bool core_block(int vm, int vcpu, bool started, bool no_page)
{
	struct kvm_vcpu *blocking = get_vcpu(vm, vcpu);
	bool (*call)(struct kvm_vcpu *vcpu);
	bool awake;

	blocking->arch.mp_state = started ? KVM_MP_STATE_RUNNABLE :
					    KVM_MP_STATE_UNINITIALIZED;
	blocking->arch.apf.halted = no_page;
	begin(blocking);
	call = resolve(HOOK_BLOCK, blocking, 0);
	if (call)
		shim_check(!call(blocking));
	end(blocking);
	/* Nothing else makes it runnable. */
	awake = no_page && !blocking->arch.apf.halted;
	shim_check(awake == !!call);
	blocking->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	blocking->arch.apf.halted = false;
	return awake;
}

void core_eoi(int vm, int vcpu, uint8_t vector)
{
	struct kvm_vcpu *ending = get_vcpu(vm, vcpu);

	begin(ending);
	shim_check(!resolve(HOOK_EOI, ending, vector));
	end(ending);
}

void core_init(int vm, int vcpu)
{
	struct kvm_vcpu *target = get_vcpu(vm, vcpu);
	void (*call)(struct kvm_vcpu *vcpu, bool init_event);

	target->arch.pv.pv_unhalted = true;
	begin(target);
	call = resolve(HOOK_RESET, target, true);
	call(target, true);
	end(target);
	target->arch.pv.pv_unhalted = false;
}

/* --- VMs --- */

static int vm_release(struct inode *inode, struct file *file)
{
	struct shim_vm *vm = to_vm(file->private_data);

	vm->exists = false;
	return 0;
}

static const struct file_operations vm_fops = {
	.release = vm_release,
};

bool file_is_kvm(struct file *file)
{
	return file->f_op == &vm_fops;
}

int core_vm_create(int vm, bool irqchip, bool encrypted)
{
	struct kvm *kvm = &vms[vm].kvm;

	shim_check(!vms[vm].exists);
	memset(&vms[vm], 0, sizeof(vms[vm]));
	vms[vm].exists = true;
	kvm->mm = &vms[vm].mm;
	kvm->memslots[0] = &vms[vm].memslots;
	kvm->arch.irqchip_mode = irqchip ? KVM_IRQCHIP_KERNEL :
					   KVM_IRQCHIP_NONE;
	/* KVM tells it in more than one way. */
	kvm->arch.private_mem = encrypted && vm % 2;
	kvm->arch.vm_type = encrypted && !(vm % 2) ? KVM_X86_SEV_VM :
						     KVM_X86_DEFAULT_VM;
	return shim_open(&vm_fops, kvm, 0);
}

bool core_vm_exists(int vm)
{
	return vms[vm].exists;
}

void core_vcpu_create(int vm)
{
	struct kvm *kvm = &vms[vm].kvm;
	unsigned int i = atomic_read(&kvm->online_vcpus), sint;
	struct shim_vcpu *shim = &vms[vm].vcpu[i];

	shim_check(i < SHIM_VCPUS);
	shim->vcpu.kvm = kvm;
	shim->vcpu.vcpu_idx = i;
	shim->vcpu.run = &shim->run;
	shim->vcpu.arch.apic = &shim->apic;
	for (sint = 0; sint < 16; sint++)
		atomic64_set(&shim->hv.synic.sint[sint], HV_SYNIC_SINT_MASKED);
	/* The Hyper-V side is there from the first Hyper-V CPUID on. */
	shim->hv.vp_index = i;
	shim->vcpu.arch.hyperv = &shim->hv;
	kvm->vcpus[i] = &shim->vcpu;
	atomic_inc(&kvm->online_vcpus);
}

void core_vcpu_activate(int vm, int vcpu)
{
	struct kvm_vcpu *target = get_vcpu(vm, vcpu);

	target->arch.hyperv->synic.active = true;
	target->arch.hyperv->synic.control = HV_SYNIC_CONTROL_ENABLE;
}

void core_vcpu_privilege(int vm, int vcpu, bool enforce, bool privileged)
{
	struct kvm_vcpu_hv *hv = get_vcpu(vm, vcpu)->arch.hyperv;

	hv->enforce_cpuid = enforce;
	hv->cpuid_cache.features_ebx = privileged ? PRIVILEGE_POST_MESSAGES :
						    ~(u32)PRIVILEGE_POST_MESSAGES;
}

void core_end_mm(int vm)
{
	if (vm < 0)
		shim_end_process();
	else
		shim_end_mm(&vms[vm].mm);
}

bool core_requested(int vm, int vcpu)
{
	return kvm_test_request(KVM_REQ_HV_STIMER, get_vcpu(vm, vcpu));
}

int core_queue_length(int vm, int vcpu)
{
	struct hvpm_vm *attached;
	struct hvpm_vp *vp = NULL;
	int length = -1;

	rcu_read_lock();
	attached = hvpm_vm_find(&vms[vm].kvm);
	if (attached)
		vp = hvpm_vcpu_vp(attached, vcpu);
	if (vp) {
		length = hvpm_queue_length(&vp->queue);
		shim_check(hvpm_queue_empty(&vp->queue) == !length);
		shim_check(!length ||
			   test_bit(vp->slot, attached->partition.queued));
	}
	rcu_read_unlock();
	return length;
}

const uint64_t *core_interrupts(int vm, int vcpu)
{
	return vms[vm].vcpu[vcpu].apic.count;
}

uint8_t *core_memory(int vm)
{
	return vms[vm].memory;
}

void core_page_access(int vm, unsigned int page, enum core_access access)
{
	vms[vm].access[page] = access;
	vms[vm].memslots.generation++;
}

void shim_check_kvm(void)
{
	unsigned int i;

	for (i = 0; i < CORE_VMS; i++) {
		shim_check(!vms[i].exists);
		shim_check(!vms[i].mm.notifiers && !vms[i].mm.users);
		shim_check(!vms[i].kvm.srcu.readers);
	}
	for (i = 0; i < HOOKS; i++)
		shim_check(!hooks[i]);
}
