/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry: from the ftrace call site of kvm_hv_hypercall() into this module.
 */
#ifndef _HV_POSTMSG_KVM_ENTRY_H
#define _HV_POSTMSG_KVM_ENTRY_H

/* Not a value that kvm_hv_hypercall() returns: it is to go on. */
#define HVPM_NOT_TAKEN		(-0x7fffffff - 1)

#ifndef __ASSEMBLY__
struct kvm_vcpu;

/* What the call site calls: not from C. */
void hvpm_hypercall_entry(void);
int hvpm_take_hypercall(struct kvm_vcpu *vcpu);
#endif

#endif /* _HV_POSTMSG_KVM_ENTRY_H */
