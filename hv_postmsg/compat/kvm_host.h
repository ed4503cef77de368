/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KVM's types, and those of its exports that are declared in headers which are
 * not packaged.
 */
#ifndef _HV_POSTMSG_COMPAT_KVM_HOST_H
#define _HV_POSTMSG_COMPAT_KVM_HOST_H

#include <linux/kvm_host.h>

/* arch/x86/kvm/lapic.h, the same in 6.1 and 6.12 */
void kvm_apic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high);

/* 6.1 has no VM whose memory or state is closed to the host but SEV's. */
#ifndef kvm_arch_has_readonly_mem
#define hvpm_kvm_protected(kvm)		false
#else
#define hvpm_kvm_protected(kvm) \
	(kvm_arch_has_private_mem(kvm) || !kvm_arch_has_readonly_mem(kvm))
#endif

#endif /* _HV_POSTMSG_COMPAT_KVM_HOST_H */
