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
#include <linux/wait.h>

#include "../compat/kvm_host.h"
#include "vcpu.h"
#include "vm.h"

/*
 * Partitions of VMs by struct kvm; no KVM structure points at this module.  All
 * VMs look here, also those that are not attached: a thousand of one user's must
 * not make long ways for the others.
 */
static DEFINE_HASHTABLE(vm_table, 10);

/* Protects the table for writers.  Inside of a partition's lock. */
static DEFINE_MUTEX(vm_table_lock);

/* Attaching waits here for an earlier partition of the VM to be detached. */
static DECLARE_WAIT_QUEUE_HEAD(vm_detached);

/* The VM's partition, be it live, on its way there or on its way out. */
static struct hvpm_vm *find_any(const struct kvm *kvm)
{
	struct hvpm_vm *vm;

	hash_for_each_possible_rcu(vm_table, vm, node, (unsigned long)kvm,
				   lockdep_is_held(&vm_table_lock))
		if (vm->kvm == kvm)
			return vm;
	return NULL;
}

/* Is the VM's partition on its way out? */
static bool is_leaving(const struct kvm *kvm)
{
	struct hvpm_vm *vm;
	bool leaving;

	rcu_read_lock();
	vm = find_any(kvm);
	leaving = vm && READ_ONCE(vm->partition.dead);
	rcu_read_unlock();
	return leaving;
}

/**
 * hvpm_vm_find - find the partition of a VM
 * @kvm: the VM
 *
 * Context: under RCU, or with preemption disabled, and the result is valid as
 *	long; or under the VM's SRCU, which keeps the result as well.
 * Return: the VM's partition, or NULL: not attached.
 */
struct hvpm_vm *hvpm_vm_find(const struct kvm *kvm)
{
	struct hvpm_vm *vm;

	/* Another VM's entry may go away while this one's SRCU is held. */
	rcu_read_lock_sched();
	vm = find_any(kvm);
	if (vm && !READ_ONCE(vm->live))
		vm = NULL;
	rcu_read_unlock_sched();
	return vm;
}

static struct hvpm_vp *vm_find_vp(struct hvpm_partition *partition, u32 index,
				  enum hvpm_status *status)
{
	return hvpm_vcpu_find(to_hvpm_vm(partition), index, status);
}

static void vm_withdraw(struct hvpm_partition *partition)
{
	mutex_lock(&vm_table_lock);
	WRITE_ONCE(to_hvpm_vm(partition)->live, false);
	mutex_unlock(&vm_table_lock);
}

static void remove_from_table(struct hvpm_vm *vm)
{
	mutex_lock(&vm_table_lock);
	hash_del_rcu(&vm->node);
	mutex_unlock(&vm_table_lock);
	wake_up_all(&vm_detached);
}

/*
 * It may take as long as the VMM does not answer a page fault of a vCPU.  Nobody
 * but this VM is concerned; meanwhile it cannot be attached anew.
 */
static void vm_quiesce(struct hvpm_partition *partition, struct rcu_head *head,
		       rcu_callback_t func)
{
	call_srcu(&to_hvpm_vm(partition)->kvm->srcu, head, func);
}

static void vm_detach(struct hvpm_partition *partition)
{
	struct hvpm_vm *vm = to_hvpm_vm(partition);

	remove_from_table(vm);
	fput(vm->file);
}

static void vm_free(struct hvpm_partition *partition)
{
	struct hvpm_vp *vp;
	unsigned long slot;

	xa_for_each(&partition->vps, slot, vp)
		hvpm_vcpu_free(vp);
	hvpm_partition_uninit(partition);
	kvfree(to_hvpm_vm(partition));
}

static const struct hvpm_partition_ops vm_ops = {
	.find_vp = vm_find_vp,
	.withdraw = vm_withdraw,
	.quiesce = vm_quiesce,
	.detach = vm_detach,
	.free = vm_free,
};

/**
 * hvpm_vm_encrypted - are slots and input blocks of a VM out of reach?
 * @kvm: the VM
 *
 * Final once the VM has a vCPU, unless its VMM moves another VM's encryption
 * context to it, which KVM does not tell.  Nor does it tell of SEV in a VM of the
 * default type if kvm-amd was loaded without AVIC: see Documentation/kernel.rst.
 *
 * Return: true if its memory or state is encrypted.
 */
bool hvpm_vm_encrypted(struct kvm *kvm)
{
	/* What KVM tells of SEV outside of kvm-amd. */
	return test_bit(APICV_INHIBIT_REASON_SEV,
			&kvm->arch.apicv_inhibit_reasons) ||
	       hvpm_kvm_protected(kvm);
}

static int check_vm(struct kvm *kvm)
{
	/* KVM raises a SINT's interrupt in a local APIC of its own only. */
	if (KVM_READ_ONCE(kvm->arch.irqchip_mode) == KVM_IRQCHIP_NONE)
		return -EOPNOTSUPP;
	/* Pairs with the write barrier where KVM sets the mode. */
	smp_rmb();
	return hvpm_vm_encrypted(kvm) ? -EOPNOTSUPP : 0;
}

/* Enter the table, not live yet. */
static int add_to_table(struct hvpm_vm *vm)
{
	struct hvpm_vm *other;
	bool busy = false;

	for (;;) {
		mutex_lock(&vm_table_lock);
		other = find_any(vm->kvm);
		if (!other)
			hash_add_rcu(vm_table, &vm->node,
				     (unsigned long)vm->kvm);
		else
			busy = !READ_ONCE(other->partition.dead);
		mutex_unlock(&vm_table_lock);
		if (!other)
			return 0;
		if (busy)
			return -EBUSY;
		if (wait_event_interruptible(vm_detached, !is_leaving(vm->kvm)))
			return -EINTR;
	}
}

/* Serve calls of the VM, unless its address space ended meanwhile. */
static int go_live(struct hvpm_vm *vm)
{
	int ret = 0;

	mutex_lock(&vm_table_lock);
	if (READ_ONCE(vm->partition.dead))
		ret = -ESHUTDOWN;
	else
		WRITE_ONCE(vm->live, true);
	mutex_unlock(&vm_table_lock);
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
 *	that cannot be served; -EBUSY, -ESHUTDOWN, -EINTR, -ENOMEM.
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
	vm = kvzalloc(struct_size(vm, vcpu_vps, KVM_MAX_VCPUS),
		      GFP_KERNEL_ACCOUNT);
	if (!vm)
		goto out_fput;
	vm->kvm = file->private_data;
	/* Detaching puts it, which may come before this function is done. */
	vm->file = get_file(file);
	ret = hvpm_partition_init(&vm->partition, &vm_ops, flags, KVM_MAX_VCPUS);
	if (ret)
		goto out_free;
	ret = add_to_table(vm);
	if (ret)
		goto out_uninit;
	ret = hvpm_owner_bind(&vm->owner, &vm->partition, vm->kvm->mm);
	if (ret)
		goto out_remove;

	/*
	 * From here on the partition can be shut down by its owner's end.  It is
	 * live before the vCPUs are looked at, so a SynIC that is set up meanwhile
	 * is seen by the hook or below.
	 */
	ret = go_live(vm);
	if (!ret)
		ret = add_vcpus(vm);
	fput(file);
	if (ret) {
		hvpm_partition_shutdown(&vm->partition);
		hvpm_partition_put(&vm->partition);
		return ERR_PTR(ret);
	}
	return &vm->partition;

out_remove:
	remove_from_table(vm);
	/* Readers of the table may have seen the entry. */
	synchronize_rcu();
out_uninit:
	hvpm_partition_uninit(&vm->partition);
out_free:
	fput(vm->file);
	kvfree(vm);
out_fput:
	fput(file);
	return ERR_PTR(ret);
}
