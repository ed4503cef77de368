/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPU: the VP behind which KVM stands.
 */
#ifndef _HV_POSTMSG_KVM_VCPU_H
#define _HV_POSTMSG_KVM_VCPU_H

#include <asm/barrier.h>

#include "../compat/kvm_host.h"
#include "../partition.h"
#include "../vp.h"
#include "vm.h"

/**
 * struct hvpm_vcpu - a VP of a VM
 *
 * @vp: the VP; its slot is the vCPU's index in the VM
 * @vcpu: the vCPU; valid as long as the VM is
 * @slots: where the page of its message slots is.  The vCPU's thread only
 * @input: where the page is that its last input block was in.  The vCPU's thread
 *	only
 * @payload: where the payload of that is, of a post that is being made.  The vCPU's
 *	thread only
 */
struct hvpm_vcpu {
	struct hvpm_vp vp;
	struct kvm_vcpu *vcpu;
	struct gfn_to_hva_cache slots;
	struct gfn_to_hva_cache input;
	u8 __user *payload;
};

int hvpm_vcpu_add(struct hvpm_vm *vm, struct kvm_vcpu *vcpu);
enum hvpm_status hvpm_vcpu_post(struct hvpm_vp *vp, gpa_t gpa);
void hvpm_vcpu_free(struct hvpm_vp *vp);
struct hvpm_vp *hvpm_vcpu_find(struct hvpm_vm *vm, u32 index,
			       enum hvpm_status *status);

/**
 * hvpm_vcpu_vp - the VP of a vCPU
 * @vm: the vCPU's VM
 * @index: the vCPU's number in it
 *
 * Context: any.
 * Return: the VP, or NULL: its SynIC was never set up.
 */
static inline struct hvpm_vp *hvpm_vcpu_vp(const struct hvpm_vm *vm,
					   unsigned int index)
{
	/* Pairs with the release in hvpm_vcpu_add(). */
	return smp_load_acquire(&vm->vcpu_vps[index]);
}

#endif /* _HV_POSTMSG_KVM_VCPU_H */
