// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks: what is decided at each hooked function of KVM, and what is done there.
 *
 * The callbacks run with preemption disabled, inside ftrace: they take no lock,
 * and look up whether the VM is attached and whether the call matters.  Only
 * then is the call sent to a replacement.  Calls of VMs that are not attached run
 * KVM's code untouched.
 *
 * kvm_hv_hypercall() is the one that every hypercall of every VM pays for.  ftrace
 * saves and restores all registers around a callback, which is most of that; its
 * call site calls this module directly instead.  There can be one such user of a
 * function: a BPF trampoline is another, and a live patch would be, too.
 *
 * The replacements that may sleep work on a partition under the VM's own SRCU,
 * for which detaching waits, and run as a whole under hooks_srcu, for which
 * unloading waits.
 *
 * The way into a VP's slots is KVM_REQ_HV_STIMER.  KVM answers it before every
 * entry, on the vCPU's thread, where it may sleep, by kvm_hv_process_stimers();
 * the scan follows there.  So there is one place where slots are written, the
 * same where KVM's timers write them, and it runs behind them each time.
 *
 * A halted vCPU is made to leave HLT as KVM's timers make it, rather than served
 * where it sleeps: the entry path is where a full dirty ring is looked after.
 */
#include <linux/array_size.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/static_call.h>

#include "../compat/kvm_host.h"
#include "../post.h"
#include "entry.h"
#include "hooks.h"
#include "redirect.h"
#include "vcpu.h"
#include "vm.h"

/* Privilege of the caller: HV_PARTITION_PRIVILEGE_MASK.PostMessages. */
#define CPUID_POST_MESSAGES	BIT(4)

/*
 * A callback: decide() looks at the arguments in regs and says whether the call
 * goes to replacement().
 */
#define DEFINE_CALLBACK(callback, decide, replacement)			\
static void notrace callback(unsigned long ip, unsigned long parent_ip,	\
			     struct ftrace_ops *ops,			\
			     struct ftrace_regs *fregs)			\
{									\
	int bit = ftrace_test_recursion_trylock(ip, parent_ip);		\
									\
	if (bit >= 0) {							\
		if (decide(&arch_ftrace_regs(fregs)->regs))		\
			ftrace_regs_set_instruction_pointer(fregs,	\
					(unsigned long)(replacement));	\
		ftrace_test_recursion_unlock(bit);			\
	}								\
}

/* The body of a hooked function: KVM's code behind the call site. */
#define DEFINE_BODY(body, prototype)					\
static void set_##body(void *func)					\
{									\
	static_call_update(body, (typeof(prototype) *)func);		\
}

/* Held wherever a task may sleep in this file's functions. */
DEFINE_STATIC_SRCU(hooks_srcu);

typedef int (hypercall_t)(struct kvm_vcpu *vcpu);
typedef int (set_msr_t)(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host);
typedef void (process_stimers_t)(struct kvm_vcpu *vcpu);
typedef void (reset_t)(struct kvm_vcpu *vcpu, bool init_event);

DEFINE_STATIC_CALL_RET0(body_hypercall, hypercall_t);
DEFINE_STATIC_CALL_RET0(body_set_msr, set_msr_t);
DEFINE_STATIC_CALL_NULL(body_process_stimers, process_stimers_t);
DEFINE_STATIC_CALL_NULL(body_reset, reset_t);

DEFINE_BODY(body_hypercall, hypercall_t)
DEFINE_BODY(body_set_msr, set_msr_t)
DEFINE_BODY(body_process_stimers, process_stimers_t)
DEFINE_BODY(body_reset, reset_t)

/* First argument of all hooked functions. */
static __always_inline struct kvm_vcpu *regs_vcpu(const struct pt_regs *regs)
{
	return (struct kvm_vcpu *)regs->di;
}

/*
 * The partition of a vCPU's VM, for a function that KVM calls in KVM_RUN, or
 * otherwise with the VM's SRCU held.
 */
static struct hvpm_vm *find_vm(const struct kvm_vcpu *vcpu)
{
	lockdep_assert(srcu_read_lock_held(&vcpu->kvm->srcu));
	return hvpm_vm_find(vcpu->kvm);
}

/* Does an attached VM's VP have messages queued? */
static __always_inline bool vcpu_has_queued(const struct kvm_vcpu *vcpu)
{
	struct hvpm_vm *vm = hvpm_vm_find(vcpu->kvm);

	return vm && test_bit(vcpu->vcpu_idx, vm->partition.queued);
}

/*
 * int kvm_hv_hypercall(struct kvm_vcpu *vcpu)
 *
 * KVM's body makes every check that KVM makes of the caller and its control word
 * and, if all hold, prepares the exit to the VMM.  The answer is filled in there
 * and the exit completed as if the VMM had given it.
 */

/* The compiler is not to clear what is overwritten at once. */
static noinline enum hvpm_status post_copy(struct hvpm_vm *vm,
					   struct kvm_vcpu *vcpu, u64 gpa)
{
	struct hvpm_post_input input __uninitialized;

	if (kvm_vcpu_read_guest_page(vcpu, gpa_to_gfn(gpa), &input,
				     offset_in_page(gpa), sizeof(input)))
		return HVPM_STATUS_INVALID_ALIGNMENT;
	return hvpm_post(&vm->partition, &input);
}

static enum hvpm_status post(struct hvpm_vm *vm, struct kvm_vcpu *vcpu,
			     u64 control, u64 gpa)
{
	enum hvpm_status status;
	struct hvpm_vp *own;

	if (vm->partition.flags & HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE &&
	    !(vcpu->arch.hyperv->cpuid_cache.features_ebx & CPUID_POST_MESSAGES))
		return HVPM_STATUS_ACCESS_DENIED;

	status = hvpm_post_check_call(control, gpa);
	if (status)
		return status;
	own = hvpm_vcpu_vp(vm, vcpu->vcpu_idx);
	if (own)
		status = hvpm_vcpu_post(own, gpa);
	if (!own || status == HVPM_OUT_OF_REACH)
		status = post_copy(vm, vcpu, gpa);
	return status;
}

static int answer(struct hvpm_vm *vm, struct kvm_vcpu *vcpu)
{
	int (*complete)(struct kvm_vcpu *vcpu) =
		vcpu->arch.complete_userspace_io;
	struct kvm_run *run = vcpu->run;
	enum hvpm_status status;
	u64 control, gpa;

	/*
	 * The VMM can write to its kvm_run at any time: what is read here once
	 * is as good as any other input of this VM, but no fact.  That KVM waits
	 * for a VMM's answer is one.
	 */
	if (!complete ||
	    READ_ONCE(run->exit_reason) != KVM_EXIT_HYPERV ||
	    READ_ONCE(run->hyperv.type) != KVM_EXIT_HYPERV_HCALL)
		return 0;
	if (hvpm_vm_encrypted(vcpu->kvm))
		return 0;
	control = READ_ONCE(run->hyperv.u.hcall.input);
	gpa = READ_ONCE(run->hyperv.u.hcall.params[0]);
	if ((u16)control != HVPM_CALL_POST_MESSAGE)
		return 0;

	status = post(vm, vcpu, control, gpa);
	/* As if it had come later: what it says of IDs is not true any more. */
	if (status && READ_ONCE(vm->partition.dead))
		return 0;
	if (status == HVPM_STATUS_INVALID_CONNECTION_ID &&
	    vm->partition.flags & HV_POSTMSG_PARTITION_PASS_UNKNOWN) {
		this_cpu_inc(vm->partition.counters->passed);
		return 0;
	}
	hvpm_post_count(&vm->partition, status);

	run->exit_reason = KVM_EXIT_UNKNOWN;
	run->hyperv.u.hcall.result = status;
	vcpu->arch.complete_userspace_io = NULL;
	return complete(vcpu);
}

/* Not part of what each hypercall of any VM goes through. */
static noinline int take_post(struct kvm_vcpu *vcpu)
{
	struct hvpm_vm *vm = find_vm(vcpu);
	int ret;

	if (!vm)
		return HVPM_NOT_TAKEN;
	ret = static_call(body_hypercall)(vcpu);
	return ret ?: answer(vm, vcpu);
}

/**
 * hvpm_take_hypercall - answer a hypercall if it is ours
 * @vcpu: the vCPU
 *
 * The call code is in RCX of a 64-bit caller and in RAX of another.  Which this is
 * KVM's body finds out; a call with the code in the wrong register only takes the
 * longer way to KVM's own answer.
 *
 * This is not under hooks_srcu: whoever is here has not slept, or has found a
 * partition, with the VM's SRCU held, which KVM holds until its function returns.
 * While that is so the partition is not detached, and the module not unloaded.
 *
 * Context: in KVM_RUN; may sleep.
 * Return: what kvm_hv_hypercall() returns; HVPM_NOT_TAKEN: let it go on.
 */
int hvpm_take_hypercall(struct kvm_vcpu *vcpu)
{
	if ((u16)vcpu->arch.regs[VCPU_REGS_RCX] != HVPM_CALL_POST_MESSAGE &&
	    (u16)vcpu->arch.regs[VCPU_REGS_RAX] != HVPM_CALL_POST_MESSAGE)
		return HVPM_NOT_TAKEN;
	return take_post(vcpu);
}

/*
 * void kvm_hv_process_stimers(struct kvm_vcpu *vcpu)
 *
 * KVM's timers go first.  One that wrote a slot may have erased MessagePending:
 * the scan sets it again.  What was behind one last time goes before them.
 */
static __always_inline bool decide_process_stimers(const struct pt_regs *regs)
{
	return vcpu_has_queued(regs_vcpu(regs));
}

static void replace_process_stimers(struct kvm_vcpu *vcpu)
{
	struct hvpm_vp *vp = NULL;
	struct hvpm_vm *vm;
	int idx;

	idx = srcu_read_lock(&hooks_srcu);
	vm = find_vm(vcpu);
	if (vm)
		vp = hvpm_vcpu_vp(vm, vcpu->vcpu_idx);
	if (vp)
		hvpm_vp_scan_behind(vp);
	static_call_cond(body_process_stimers)(vcpu);
	if (vp)
		hvpm_vp_scan(vp);
	srcu_read_unlock(&hooks_srcu, idx);
}

DEFINE_CALLBACK(on_process_stimers, decide_process_stimers,
		replace_process_stimers)

/*
 * int kvm_hv_set_msr_common(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
 *
 * Behind KVM's write, by the guest or by the VMM: EOM asks for the next message
 * of any VP of the VM; what enables, moves or unmasks something is a reason to
 * look at this VP's queue.
 */
static __always_inline bool decide_set_msr(const struct pt_regs *regs)
{
	switch ((u32)regs->si) {
	case HV_X64_MSR_SCONTROL:
	case HV_X64_MSR_SIMP:
	case HV_X64_MSR_EOM:
	case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
		return hvpm_vm_find(regs_vcpu(regs)->kvm);
	default:
		return false;
	}
}

static void synic_written(struct hvpm_vm *vm, struct kvm_vcpu *vcpu, u32 msr)
{
	struct hvpm_vp *vp;

	if (msr == HV_X64_MSR_EOM) {
		hvpm_vp_kick_queued(&vm->partition);
		return;
	}

	/*
	 * If there is no memory for it now, posts find a VP without a SynIC until
	 * the guest next writes one of these.
	 */
	hvpm_vcpu_add(vm, vcpu);
	vp = hvpm_vcpu_vp(vm, vcpu->vcpu_idx);
	if (vp)
		vp->ops->kick(vp);
}

static int replace_set_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	struct hvpm_vm *vm;
	int idx, ret;

	idx = srcu_read_lock(&hooks_srcu);
	ret = static_call(body_set_msr)(vcpu, msr, data, host);
	if (!ret) {
		vm = find_vm(vcpu);
		if (vm)
			synic_written(vm, vcpu, msr);
	}
	srcu_read_unlock(&hooks_srcu, idx);
	return ret;
}

DEFINE_CALLBACK(on_set_msr, decide_set_msr, replace_set_msr)

/*
 * void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init_event)
 *
 * INIT empties the VP's queues, and takes back what replace_halt() may have done
 * just before it: a vCPU that waits for SIPI must not be found runnable.
 */
static __always_inline bool decide_reset(const struct pt_regs *regs)
{
	return (u8)regs->si && hvpm_vm_find(regs_vcpu(regs)->kvm);
}

static void replace_reset(struct kvm_vcpu *vcpu, bool init_event)
{
	struct hvpm_vp *vp = NULL;
	struct hvpm_vm *vm;
	int idx;

	idx = srcu_read_lock(&hooks_srcu);
	static_call_cond(body_reset)(vcpu, init_event);
	WRITE_ONCE(vcpu->arch.pv.pv_unhalted, false);
	vm = find_vm(vcpu);
	if (vm)
		vp = hvpm_vcpu_vp(vm, vcpu->vcpu_idx);
	if (vp)
		hvpm_vp_reset(vp);
	srcu_read_unlock(&hooks_srcu, idx);
}

DEFINE_CALLBACK(on_reset, decide_reset, replace_reset)

/* Something queued alone is no reason to look: the slot may be full. */
static __always_inline bool has_to_scan(struct kvm_vcpu *vcpu)
{
	return kvm_test_request(KVM_REQ_HV_STIMER, vcpu) &&
	       vcpu_has_queued(vcpu);
}

/*
 * void kvm_vcpu_halt(struct kvm_vcpu *vcpu)
 *
 * A VP that has something queued and was asked to look does not go to sleep.  A
 * post that comes later wakes it, KVM calls kvm_vcpu_halt() again, and it ends
 * here.
 */
static __always_inline bool decide_halt(const struct pt_regs *regs)
{
	return has_to_scan(regs_vcpu(regs));
}

/*
 * Instead of sleeping: let KVM find the vCPU runnable, as after a kick by a
 * paravirtual spinlock.  KVM clears the flag as the vCPU leaves HLT, and
 * replace_reset() if INIT comes first.  Nothing sleeps here, so unloading need
 * not wait for it by hooks_srcu.
 */
static void replace_halt(struct kvm_vcpu *vcpu)
{
	WRITE_ONCE(vcpu->arch.pv.pv_unhalted, true);
}

DEFINE_CALLBACK(on_halt, decide_halt, replace_halt)

/*
 * bool kvm_vcpu_block(struct kvm_vcpu *vcpu)
 *
 * Behind kvm_vcpu_halt() a vCPU in HLT sleeps here, and any other comes here by
 * itself.  One that waits for INIT or SIPI has nothing to look at.  But it may be one
 * that runs, and is kept from that until a page of its memory is there, in a guest
 * that cannot be told so.  Any other interrupt ends that, and so does a message.
 */
static __always_inline bool decide_block(const struct pt_regs *regs)
{
	struct kvm_vcpu *vcpu = regs_vcpu(regs);

	return vcpu->arch.mp_state == KVM_MP_STATE_RUNNABLE &&
	       vcpu->arch.apf.halted && has_to_scan(vcpu);
}

/* It comes back here when it has touched the page again. */
static bool replace_block(struct kvm_vcpu *vcpu)
{
	vcpu->arch.apf.halted = false;
	return false;
}

DEFINE_CALLBACK(on_block, decide_block, replace_block)

/*
 * void kvm_hv_synic_send_eoi(struct kvm_vcpu *vcpu, int vector)
 * void kvm_apic_set_eoi_accelerated(struct kvm_vcpu *vcpu, int vector)
 *
 * EOI of a vector connected to a SINT.  The second is how Intel's virtual APIC
 * reports one, of any vector, without calling the first.  Nothing is replaced.
 */
static __always_inline bool observe_eoi(const struct pt_regs *regs)
{
	struct kvm_vcpu *vcpu = regs_vcpu(regs);

	if (vcpu_has_queued(vcpu))
		kvm_make_request(KVM_REQ_HV_STIMER, vcpu);
	return false;
}

static __always_inline bool observe_eoi_accelerated(const struct pt_regs *regs)
{
	struct kvm_vcpu *vcpu = regs_vcpu(regs);
	u8 vector = regs->si;

	if (!vcpu->arch.hyperv ||
	    !test_bit(vector, vcpu->arch.hyperv->synic.vec_bitmap))
		return false;
	return observe_eoi(regs);
}

DEFINE_CALLBACK(on_eoi, observe_eoi, NULL)
DEFINE_CALLBACK(on_eoi_accelerated, observe_eoi_accelerated, NULL)

/*
 * PERMANENT: without it, kernel.ftrace_enabled=0 would take the hooks away
 * silently.
 */
#define REPLACE	(FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)
#define OBSERVE	FTRACE_OPS_FL_PERMANENT

/*
 * In the order in which they are installed; removed in the reverse order.  ftrace makes
 * a direct user no permanent one: while it is there, others have to be.
 */
static struct hvpm_redirect hooks[] = {
	{
		.name = "kvm:kvm_hv_process_stimers",
		.ops = { .func = on_process_stimers, .flags = REPLACE },
		.set_body = set_body_process_stimers,
	}, {
		.name = "kvm:kvm_hv_set_msr_common",
		.ops = { .func = on_set_msr, .flags = REPLACE },
		.set_body = set_body_set_msr,
	}, {
		.name = "kvm:kvm_vcpu_reset",
		.ops = { .func = on_reset, .flags = REPLACE },
		.set_body = set_body_reset,
	}, {
		.name = "kvm:kvm_vcpu_halt",
		.ops = { .func = on_halt, .flags = REPLACE },
	}, {
		.name = "kvm:kvm_vcpu_block",
		.ops = { .func = on_block, .flags = REPLACE },
	}, {
		.name = "kvm:kvm_hv_synic_send_eoi",
		.ops = { .func = on_eoi, .flags = OBSERVE },
	}, {
		.name = "kvm:kvm_apic_set_eoi_accelerated",
		.ops = { .func = on_eoi_accelerated, .flags = OBSERVE },
	}, {
		.name = "kvm:kvm_hv_hypercall",
		.direct = hvpm_hypercall_entry,
		.set_body = set_body_hypercall,
	},
};

static void remove_first(unsigned int count)
{
	while (count--)
		hvpm_redirect_remove(&hooks[count]);

	/*
	 * No new calls come.  A task that was sent here before is preempted on its
	 * way into hooks_srcu, or inside, perhaps asleep, or preempted on its way
	 * out.  It never sleeps outside, so each wait covers one of these, and the
	 * order is the task's own.
	 */
	synchronize_rcu_tasks();
	synchronize_srcu(&hooks_srcu);
	synchronize_rcu_tasks();
}

/**
 * hvpm_hooks_install - hook KVM
 *
 * Context: may sleep.
 * Return: 0, or the errno of the hook that failed, with nothing hooked.
 */
int hvpm_hooks_install(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		ret = hvpm_redirect_install(&hooks[i]);
		if (ret) {
			remove_first(i);
			return ret;
		}
	}
	return 0;
}

/**
 * hvpm_hooks_remove - unhook KVM
 *
 * No VM is attached.  On return no task is in this module's code, but one that
 * answers a hypercall for a partition that has ended: hvpm_partition_cleanup() waits
 * for that.
 *
 * Context: may sleep.
 */
void hvpm_hooks_remove(void)
{
	remove_first(ARRAY_SIZE(hooks));
}
