// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPU: guest memory, wake-up, SINT registers, interrupt.
 */
#include <asm/apicdef.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vcpu.h"
#include "vm.h"

#define to_vcpu(ptr)	(container_of((ptr), struct hvpm_vcpu, vp)->vcpu)

static struct kvm_vcpu_hv_synic *vp_synic(struct hvpm_vp *vp)
{
	/* A VP is made when its SynIC is active, which it stays. */
	return &to_vcpu(vp)->arch.hyperv->synic;
}

static enum hvpm_status vcpu_state(struct hvpm_vp *vp)
{
	struct kvm_vcpu_hv_synic *synic = vp_synic(vp);

	if (READ_ONCE(synic->control) & HV_SYNIC_CONTROL_ENABLE &&
	    READ_ONCE(synic->msg_page) & HV_SYNIC_SIMP_ENABLE)
		return HVPM_STATUS_SUCCESS;
	return HVPM_STATUS_INVALID_SYNIC_STATE;
}

/*
 * KVM serves this request on every entry by running its timers, and the scan
 * follows them: see hooks.c.  Making it orders the push before the request, and
 * KVM's test orders the request before the scan.
 */
static void vcpu_kick(struct hvpm_vp *vp)
{
	struct kvm_vcpu *vcpu = to_vcpu(vp);

	kvm_make_request(KVM_REQ_HV_STIMER, vcpu);
	/* The vCPU's own thread looks at its requests before it enters. */
	if (kvm_get_running_vcpu() == vcpu)
		return;
	kvm_make_request(KVM_REQ_UNBLOCK, vcpu);
	kvm_vcpu_kick(vcpu);
}

/*
 * Address of a message slot in the VMM's memory.  Always in address space 0: the
 * forms of KVM's accessors that take a vCPU follow it into SMRAM, where a guest
 * kernel must not be able to have anything written.
 */
static u8 __user *slot_address(struct hvpm_vp *vp, unsigned int sint,
			       gfn_t *gfn)
{
	u64 simp = READ_ONCE(vp_synic(vp)->msg_page);
	unsigned long hva;

	*gfn = simp >> PAGE_SHIFT;
	hva = gfn_to_hva(to_vcpu(vp)->kvm, *gfn);
	if (kvm_is_error_hva(hva))
		return NULL;
	return (u8 __user *)hva + sint * sizeof(struct hv_postmsg_message);
}

static int vcpu_read_header(struct hvpm_vp *vp, unsigned int sint, u64 *header)
{
	u8 __user *slot;
	gfn_t gfn;

	slot = slot_address(vp, sint, &gfn);
	if (!slot)
		return -EFAULT;
	return get_user(*header, (u64 __user *)slot);
}

static int vcpu_set_pending(struct hvpm_vp *vp, unsigned int sint)
{
	const u8 pending = 1;
	u8 __user *slot;
	gfn_t gfn;
	int ret;

	slot = slot_address(vp, sint, &gfn);
	if (!slot)
		return -EFAULT;
	ret = put_user(pending,
		       slot + offsetof(struct hv_postmsg_message, flags));
	if (!ret)
		mark_page_dirty(to_vcpu(vp)->kvm, gfn);
	return ret;
}

static int vcpu_write_message(struct hvpm_vp *vp, unsigned int sint,
			      const struct hv_postmsg_message *message)
{
	const size_t skip = sizeof(message->type);
	size_t size = offsetof(struct hv_postmsg_message, payload) +
		      message->payload_size;
	u8 __user *slot;
	gfn_t gfn;
	int ret;

	slot = slot_address(vp, sint, &gfn);
	if (!slot)
		return -EFAULT;

	ret = 0;
	if (copy_to_user(slot + skip, (const u8 *)message + skip, size - skip)) {
		ret = -EFAULT;
	} else {
		/*
		 * The type says that the rest is there.  Pairs with the guest's
		 * own order of reading them.
		 */
		smp_wmb();
		ret = put_user(message->type, (u32 __user *)slot);
	}
	/* Also when it failed half way: some bytes may have been written. */
	mark_page_dirty(to_vcpu(vp)->kvm, gfn);
	return ret;
}

static bool vcpu_timer_waits(struct hvpm_vp *vp, unsigned int sint)
{
	struct kvm_vcpu_hv *hv_vcpu = to_vcpu(vp)->arch.hyperv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hv_vcpu->stimer); i++) {
		struct kvm_vcpu_hv_stimer *stimer = &hv_vcpu->stimer[i];

		if (stimer->msg_pending && stimer->config.enable &&
		    !stimer->config.direct_mode && stimer->config.sintx == sint)
			return true;
	}
	return false;
}

static u64 vcpu_sint(struct hvpm_vp *vp, unsigned int sint)
{
	return atomic64_read(&vp_synic(vp)->sint[sint]);
}

static void vcpu_interrupt(struct hvpm_vp *vp, u8 vector)
{
	/* Attaching made sure that there is a local APIC. */
	kvm_apic_send_ipi(to_vcpu(vp)->arch.apic,
			  APIC_DEST_SELF | APIC_DM_FIXED | vector, 0);
}

static const struct hvpm_vp_ops vcpu_ops = {
	.state = vcpu_state,
	.kick = vcpu_kick,
	.read_header = vcpu_read_header,
	.set_pending = vcpu_set_pending,
	.write_message = vcpu_write_message,
	.timer_waits = vcpu_timer_waits,
	.sint = vcpu_sint,
	.interrupt = vcpu_interrupt,
};

/**
 * hvpm_vcpu_add - make the VP of a vCPU, unless there is one
 * @vm: the vCPU's VM
 * @vcpu: the vCPU
 *
 * Messages can be queued for a VP only when its SynIC has been set up, so this
 * is done for a vCPU with an active SynIC, at the latest when the VM writes a
 * SynIC register.
 *
 * Context: may sleep; under the VM's SRCU, or before its partition is given to
 *	anybody.
 * Return: 0; -ENOMEM.
 */
int hvpm_vcpu_add(struct hvpm_vm *vm, struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv *hv_vcpu = READ_ONCE(vcpu->arch.hyperv);
	struct hvpm_vcpu *new;
	int ret;

	if (!hv_vcpu || !READ_ONCE(hv_vcpu->synic.active))
		return 0;
	/* It may have become so since it was attached, before its first vCPU. */
	if (hvpm_vm_encrypted(vcpu->kvm))
		return 0;
	if (hvpm_vcpu_vp(&vm->partition, vcpu))
		return 0;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->vcpu = vcpu;
	hvpm_vp_init(&new->vp, &vcpu_ops, &vm->partition, vcpu->vcpu_idx);
	ret = xa_insert(&vm->partition.vps, vcpu->vcpu_idx, &new->vp,
			GFP_KERNEL_ACCOUNT);
	if (ret)
		kfree(new);
	/* Attaching and the vCPU's own thread may both have come here. */
	return ret == -EBUSY ? 0 : ret;
}

/**
 * hvpm_vcpu_free - free a VP
 * @vp: a VP that hvpm_vcpu_add() made, its queue empty
 */
void hvpm_vcpu_free(struct hvpm_vp *vp)
{
	kfree(container_of(vp, struct hvpm_vcpu, vp));
}

static bool has_index(const struct kvm_vcpu *vcpu, u32 index)
{
	const struct kvm_vcpu_hv *hv_vcpu = READ_ONCE(vcpu->arch.hyperv);

	/* Until KVM keeps a VP index, it is the vCPU's own. */
	return index == (hv_vcpu ? READ_ONCE(hv_vcpu->vp_index) :
				   vcpu->vcpu_idx);
}

/**
 * hvpm_vcpu_find - find a VP by its index
 * @vm: the VM
 * @index: VP index, or HV_POSTMSG_ANY_VP for the status only
 * @status: why there is none
 *
 * As &hvpm_partition_ops.find_vp.  A VP index is the vCPU's own unless the VMM
 * changed it, as KVM's lookup assumes too.
 *
 * Context: under RCU, any thread.
 * Return: the VP, or NULL.
 */
struct hvpm_vp *hvpm_vcpu_find(struct hvpm_vm *vm, u32 index,
			       enum hvpm_status *status)
{
	unsigned int online = atomic_read(&vm->kvm->online_vcpus);
	struct kvm_vcpu *vcpu = NULL;
	unsigned long i;

	if (index == HV_POSTMSG_ANY_VP) {
		*status = online ? HVPM_STATUS_INVALID_SYNIC_STATE :
				   HVPM_STATUS_INVALID_VP_INDEX;
		return NULL;
	}

	if (index < online)
		vcpu = kvm_get_vcpu(vm->kvm, index);
	if (!vcpu || !has_index(vcpu, index)) {
		kvm_for_each_vcpu(i, vcpu, vm->kvm)
			if (has_index(vcpu, index))
				goto found;
		*status = HVPM_STATUS_INVALID_VP_INDEX;
		return NULL;
	}
found:
	/* What is said of a vCPU without a VP: its SynIC is not enabled. */
	*status = HVPM_STATUS_INVALID_SYNIC_STATE;
	return hvpm_vcpu_vp(&vm->partition, vcpu);
}
