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
 * @node: link in the table of attached VMs; written under the table's lock, read
 *	under RCU or hvpm_vm_srcu
 * @kvm: the VM; valid until detached, that is for readers of the table and for
 *	whoever sees a port of the partition alive under RCU
 * @file: what pins @kvm: on 6.12 nothing but a file keeps kvm-amd loaded
 */
struct hvpm_vm {
	struct hvpm_partition partition;
	struct hvpm_owner owner;
	struct hlist_node node;
	struct kvm *kvm;
	struct file *file;
};

#define to_hvpm_vm(ptr)	container_of((ptr), struct hvpm_vm, partition)

#if IS_ENABLED(CONFIG_KVM)
extern struct srcu_struct hvpm_vm_srcu;

struct hvpm_partition *hvpm_vm_attach(int fd, u32 flags);
struct hvpm_vm *hvpm_vm_find(const struct kvm *kvm);
#else
static inline struct hvpm_partition *hvpm_vm_attach(int fd, u32 flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

#endif /* _HV_POSTMSG_KVM_VM_H */
