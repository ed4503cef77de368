/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's types, and those of its exports that are declared in headers which are
 * not packaged.
 */
#ifndef _HV_POSTMSG_COMPAT_KVM_HOST_H
#define _HV_POSTMSG_COMPAT_KVM_HOST_H

#include <linux/kvm_host.h>
#include <linux/version.h>

/*
 * Earlier ones reset a vCPU without KVM's SRCU (KVM_GET_MP_STATE, before 6.1.135 and
 * 6.12.24), take a hypercall of L2 for one of L1's (6.12 before 6.12.86), or have no
 * linux/array_size.h (6.1 before 6.1.159).
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 159) ||			\
	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) &&		\
	 LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 86))
#error "Linux 6.1.159 or 6.12.86, or later ones of these series, are needed"
#endif

/* arch/x86/kvm/lapic.h, the same in 6.1 and 6.12 */
void kvm_apic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high);
int kvm_lapic_find_highest_irr(struct kvm_vcpu *vcpu);

/*
 * What KVM writes with a plain store while others look at it: each a word, any value of
 * which is right at the moment it is read.  Here KCSAN can be told so.
 */
#define KVM_READ_ONCE(word)	data_race(READ_ONCE(word))

/**
 * hvpm_kvm_protected - is memory or state of a VM closed to the host?
 * @kvm: the VM
 *
 * In 6.1 there is no such VM but SEV's, which the caller knows by other means.
 *
 * Return: true if so.
 */
static inline bool hvpm_kvm_protected(struct kvm *kvm)
{
#ifdef kvm_arch_has_readonly_mem
	if (kvm->arch.vm_type != KVM_X86_DEFAULT_VM)
		return true;
	/* KVM sets these once, with a lock; asked again in each call. */
	return data_race(kvm_arch_has_private_mem(kvm) ||
			 !kvm_arch_has_readonly_mem(kvm));
#else
	return false;
#endif
}

#endif /* _HV_POSTMSG_COMPAT_KVM_HOST_H */
