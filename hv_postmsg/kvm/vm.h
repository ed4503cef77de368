/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VM: the partition of a KVM virtual machine.
 */
#ifndef _HV_POSTMSG_KVM_VM_H
#define _HV_POSTMSG_KVM_VM_H

#include <linux/err.h>
#include <linux/types.h>

#include "../owner.h"
#include "../partition.h"

struct file;
struct kvm;

/**
 * struct hvpm_vm - a VM's partition
 *
 * @partition: the partition
 * @owner: the VM's address space
 * @node: link in the table of VMs; written under the table's lock, read under
 *	RCU
 * @live: calls of the VM are served; from attaching to hvpm_partition_shutdown(),
 *	written under the table's lock, read under RCU
 * @kvm: the VM; valid until detached, which waits for RCU and for the VM's own
 *	SRCU, under which KVM runs the hooked functions
 * @file: what pins @kvm: on 6.12 nothing but a file keeps kvm-amd loaded
 * @vcpu_vps: VPs by vCPU.  Each is set once, behind its entry in &hvpm_partition.vps,
 *	and as valid as that
 */
struct hvpm_vm {
	struct hvpm_partition partition;
	struct hvpm_owner owner;
	struct hlist_node node;
	bool live;
	struct kvm *kvm;
	struct file *file;
	struct hvpm_vp *vcpu_vps[];
};

#define to_hvpm_vm(ptr)	container_of((ptr), struct hvpm_vm, partition)

#if IS_ENABLED(CONFIG_KVM)
struct hvpm_partition *hvpm_vm_attach(int fd, u32 flags);
struct hvpm_vm *hvpm_vm_find(const struct kvm *kvm);
bool hvpm_vm_encrypted(struct kvm *kvm);
#else
static inline struct hvpm_partition *hvpm_vm_attach(int fd, u32 flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

#endif /* _HV_POSTMSG_KVM_VM_H */
