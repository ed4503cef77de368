// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM: attach, detach, and the table of attached VMs.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "../compat/kvm_host.h"
#include "vcpu.h"
#include "vm.h"

/*
 * Held by the hooks' replacement functions, which may sleep.  Whoever took a VM
 * out of the table waits for it before letting go of the VM.
 */
DEFINE_SRCU(hvpm_vm_srcu);

/* Attached VMs by struct kvm; no KVM structure ever points at this module. */
static DEFINE_HASHTABLE(attached_vms, 6);

/* Protects the table for writers.  Inside of a partition's lock. */
static DEFINE_MUTEX(attached_lock);

/**
 * hvpm_vm_find - find the partition of a VM
 * @kvm: the VM
 *
 * Context: under hvpm_vm_srcu or RCU, or with preemption disabled; the result is
 *	valid as long.
 * Return: the VM's partition, or NULL: not attached.
 */
struct hvpm_vm *hvpm_vm_find(const struct kvm *kvm)
{
	struct hvpm_vm *vm;

	hash_for_each_possible_rcu(attached_vms, vm, node, (unsigned long)kvm,
				   srcu_read_lock_held(&hvpm_vm_srcu) ||
				   lockdep_is_held(&attached_lock))
		if (vm->kvm == kvm)
			return vm;
	return NULL;
}

static struct hvpm_vp *vm_find_vp(struct hvpm_partition *partition, u32 index,
				  enum hvpm_status *status)
{
	return hvpm_vcpu_find(to_hvpm_vm(partition), index, status);
}

static void vm_withdraw(struct hvpm_partition *partition)
{
	struct hvpm_vm *vm = to_hvpm_vm(partition);

	mutex_lock(&attached_lock);
	/* Not there if attaching failed before it got that far. */
	if (hash_hashed(&vm->node))
		hash_del_rcu(&vm->node);
	mutex_unlock(&attached_lock);
}

static void vm_detach(struct hvpm_partition *partition)
{
	struct hvpm_vm *vm = to_hvpm_vm(partition);

	/* No vCPU thread is in a replacement function with this VM any more. */
	synchronize_srcu(&hvpm_vm_srcu);
	hvpm_owner_unbind(&vm->owner);
	fput(vm->file);
}

static void vm_free(struct hvpm_partition *partition)
{
	struct hvpm_vp *vp;
	unsigned long slot;

	xa_for_each(&partition->vps, slot, vp)
		hvpm_vcpu_free(vp);
	hvpm_partition_uninit(partition);
	kfree(to_hvpm_vm(partition));
}

static const struct hvpm_partition_ops vm_ops = {
	.find_vp = vm_find_vp,
	.withdraw = vm_withdraw,
	.detach = vm_detach,
	.free = vm_free,
};

static int check_vm(struct kvm *kvm)
{
	/* KVM raises a SINT's interrupt in a local APIC of its own only. */
	if (READ_ONCE(kvm->arch.irqchip_mode) == KVM_IRQCHIP_NONE)
		return -EOPNOTSUPP;
	/* Pairs with the write barrier where KVM sets the mode. */
	smp_rmb();

	/* Slots of an encrypted guest cannot be written from here. */
	if (test_bit(APICV_INHIBIT_REASON_SEV, &kvm->arch.apicv_inhibit_reasons))
		return -EOPNOTSUPP;
	if (hvpm_kvm_protected(kvm))
		return -EOPNOTSUPP;
	return 0;
}

static int publish(struct hvpm_vm *vm)
{
	int ret = 0;

	mutex_lock(&attached_lock);
	if (hvpm_vm_find(vm->kvm))
		ret = -EBUSY;
	else if (READ_ONCE(vm->partition.dead))
		ret = -ESHUTDOWN;
	else
		hash_add_rcu(attached_vms, &vm->node, (unsigned long)vm->kvm);
	mutex_unlock(&attached_lock);
	return ret;
}

static int add_vcpus(struct hvpm_vm *vm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;
	int ret;

	kvm_for_each_vcpu(i, vcpu, vm->kvm) {
		ret = hvpm_vcpu_add(vm, vcpu);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * hvpm_vm_attach - make a VM a partition
 * @fd: file descriptor of the VM
 * @flags: HV_POSTMSG_PARTITION_*
 *
 * Context: may sleep.
 * Return: the partition, with one reference for the caller, who ends it by
 *	hvpm_partition_shutdown(); -EBADF, -EBADFD not a KVM VM; -EOPNOTSUPP a VM
 *	that cannot be served; -EBUSY, -ESHUTDOWN, -ENOMEM.
 */
struct hvpm_partition *hvpm_vm_attach(int fd, u32 flags)
{
	struct hvpm_vm *vm;
	struct file *file;
	int ret;

	file = fget(fd);
	if (!file)
		return ERR_PTR(-EBADF);
	ret = -EBADFD;
	if (!file_is_kvm(file))
		goto out_fput;
	ret = check_vm(file->private_data);
	if (ret)
		goto out_fput;

	ret = -ENOMEM;
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		goto out_fput;
	vm->kvm = file->private_data;
	vm->file = file;
	ret = hvpm_partition_init(&vm->partition, &vm_ops, flags, KVM_MAX_VCPUS);
	if (ret)
		goto out_free;
	ret = hvpm_owner_bind(&vm->owner, &vm->partition, vm->kvm->mm);
	if (ret)
		goto out_uninit;

	/*
	 * From here on the partition can be shut down by its owner's end.  It is
	 * in the table before the vCPUs are looked at, so a SynIC that is set up
	 * meanwhile is seen by the hook or below.
	 */
	ret = publish(vm);
	if (!ret)
		ret = add_vcpus(vm);
	if (ret) {
		hvpm_partition_shutdown(&vm->partition);
		hvpm_partition_put(&vm->partition);
		return ERR_PTR(ret);
	}
	return &vm->partition;

out_uninit:
	hvpm_partition_uninit(&vm->partition);
out_free:
	kfree(vm);
out_fput:
	fput(file);
	return ERR_PTR(ret);
}
