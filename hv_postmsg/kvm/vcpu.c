// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPU: guest memory, wake-up, SINT registers, interrupt.
 */
#include <asm/apicdef.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../port.h"
#include "../post.h"
#include "../slot.h"
#include "vcpu.h"
#include "vm.h"

/* A post may wake a reader of an endpoint, and does so with preemption disabled. */
#ifdef CONFIG_PREEMPT_RT
#error "PREEMPT_RT is not supported"
#endif

#define to_vcpu(ptr)	(container_of((ptr), struct hvpm_vcpu, vp)->vcpu)

static struct kvm_vcpu_hv_synic *vp_synic(struct hvpm_vp *vp)
{
	/* A VP is made when its SynIC is active, which it stays. */
	return &to_vcpu(vp)->arch.hyperv->synic;
}

static enum hvpm_status vcpu_state(struct hvpm_vp *vp)
{
	struct kvm_vcpu_hv_synic *synic = vp_synic(vp);

	if (KVM_READ_ONCE(synic->control) & HV_SYNIC_CONTROL_ENABLE &&
	    KVM_READ_ONCE(synic->msg_page) & HV_SYNIC_SIMP_ENABLE)
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
 * Find a page in the VMM's memory, in address space 0, where it may be written.
 * KVM counts the changes of its memslots: what was found is true until the count
 * is another one.  The caller holds the VM's SRCU, which keeps that so.
 */
static __always_inline u8 __user *page_address_of(struct kvm *kvm, gpa_t page,
						  struct gfn_to_hva_cache *cache)
{
	const struct kvm_memslots *slots =
		srcu_dereference(kvm->memslots[0], &kvm->srcu);

	/* KVM counts up in slots that are in use already. */
	if (cache->memslot && cache->gpa == page &&
	    cache->generation == KVM_READ_ONCE(slots->generation))
		return (u8 __user *)cache->hva;

	if (kvm_gfn_to_hva_cache_init(kvm, cache, page, PAGE_SIZE)) {
		/* What is left in it is an error's address beside the last page. */
		cache->memslot = NULL;
		return NULL;
	}
	return (u8 __user *)cache->hva;
}

/*
 * Address of a message slot in the VMM's memory.  Always in address space 0: the
 * forms of KVM's accessors that take a vCPU follow it into SMRAM, where a guest
 * kernel must not be able to have anything written.
 */
static __always_inline u8 __user *slot_address(struct hvpm_vp *vp, unsigned int sint)
{
	struct hvpm_vcpu *own = container_of(vp, struct hvpm_vcpu, vp);
	u64 simp = KVM_READ_ONCE(vp_synic(vp)->msg_page);
	u8 __user *page;

	page = page_address_of(own->vcpu->kvm, simp & PAGE_MASK, &own->slots);
	return page ? page + sint * sizeof(struct hv_postmsg_message) : NULL;
}

/* Behind a write to what slot_address() has just found. */
static void mark_slots_dirty(struct hvpm_vp *vp)
{
	struct hvpm_vcpu *own = container_of(vp, struct hvpm_vcpu, vp);

	if (kvm_slot_dirty_track_enabled(own->slots.memslot))
		mark_page_dirty_in_slot(own->vcpu->kvm, own->slots.memslot,
					gpa_to_gfn(own->slots.gpa));
}

static int vcpu_read_header(struct hvpm_vp *vp, unsigned int sint, u64 *header)
{
	u8 __user *slot = slot_address(vp, sint);

	if (!slot)
		return -EFAULT;
	return get_user(*header, (u64 __user *)slot);
}

static int vcpu_set_pending(struct hvpm_vp *vp, unsigned int sint)
{
	u8 __user *slot = slot_address(vp, sint);
	const u8 pending = 1;
	int ret;

	if (!slot)
		return -EFAULT;
	ret = put_user(pending,
		       slot + offsetof(struct hv_postmsg_message, flags));
	if (!ret)
		mark_slots_dirty(vp);
	return ret;
}

static int vcpu_write_message(struct hvpm_vp *vp, unsigned int sint,
			      const struct hv_postmsg_message *message)
{
	const size_t skip = sizeof(message->type);
	size_t size = offsetof(struct hv_postmsg_message, payload) +
		      message->payload_size;
	u8 __user *slot = slot_address(vp, sint);
	int ret = 0;

	if (!slot)
		return -EFAULT;

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
	mark_slots_dirty(vp);
	return ret;
}

static bool vcpu_timer_waits(struct hvpm_vp *vp, unsigned int sint)
{
	struct kvm_vcpu_hv *hv_vcpu = to_vcpu(vp)->arch.hyperv;
	unsigned int i, waiting = 0;

	/* Mostly none waits for anything. */
	for (i = 0; i < ARRAY_SIZE(hv_vcpu->stimer); i++)
		waiting |= hv_vcpu->stimer[i].msg_pending;
	if (!waiting)
		return false;

	for (i = 0; i < ARRAY_SIZE(hv_vcpu->stimer); i++) {
		struct kvm_vcpu_hv_stimer *stimer = &hv_vcpu->stimer[i];

		if (stimer->msg_pending && stimer->config.enable &&
		    !stimer->config.direct_mode && stimer->config.sintx == sint)
			return true;
	}
	return false;
}

static bool has_index(const struct kvm_vcpu *vcpu, u32 index)
{
	const struct kvm_vcpu_hv *hv_vcpu = KVM_READ_ONCE(vcpu->arch.hyperv);

	/* Until KVM keeps a VP index, it is the vCPU's own. */
	return index == (hv_vcpu ? KVM_READ_ONCE(hv_vcpu->vp_index) :
				   vcpu->vcpu_idx);
}

static bool vcpu_read_payload(struct hvpm_vp *vp, void *payload, u32 size)
{
	const struct hvpm_vcpu *own = container_of(vp, struct hvpm_vcpu, vp);

	return !should_fail_usercopy() &&
	       !__copy_from_user_inatomic(payload, own->payload, size);
}

static u64 vcpu_sint(struct hvpm_vp *vp, unsigned int sint)
{
	return atomic64_read(&vp_synic(vp)->sint[sint]);
}

static void vcpu_interrupt(struct hvpm_vp *vp, u8 vector)
{
	/* One that waits for the guest to take interrupts is not raised twice. */
	if (kvm_lapic_find_highest_irr(to_vcpu(vp)) == vector)
		return;
	/* Attaching made sure that there is a local APIC. */
	kvm_apic_send_ipi(to_vcpu(vp)->arch.apic,
			  APIC_DEST_SELF | APIC_DM_FIXED | vector, 0);
}

/*
 * As user_access_begin(), for what KVM's memory slots have bounded already.  Where faults
 * are injected it fails, as the functions do that copy.
 */
static __always_inline bool begin_access(void)
{
	if (should_fail_usercopy())
		return false;
	__uaccess_begin();
	return true;
}

/*
 * The payload goes from where the guest has it to the slot, and is looked at by
 * nobody on its way.  If half of it has been written, the slot is still empty.
 */
static bool vcpu_write_own(struct hvpm_vp *vp, const struct hvpm_port *port,
			   const struct hvpm_post_head *head)
{
	const struct hvpm_vcpu *own = container_of(vp, struct hvpm_vcpu, vp);
	u64 first = head->message_type | (u64)head->payload_size << 32;
	struct hv_postmsg_message __user *slot;
	u8 vector;
	u32 type;

	if (port->target_vp != vp->slot || !has_index(own->vcpu, vp->slot) ||
	    vcpu_state(vp) != HVPM_STATUS_SUCCESS)
		return false;
	slot = (struct hv_postmsg_message __user *)slot_address(vp, port->sint);
	/* A block in the same page may be in the way of what is written. */
	if (!slot || own->slots.hva == own->input.hva)
		return false;
	if (vcpu_timer_waits(vp, port->sint))
		first |= (u64)HVPM_MESSAGE_PENDING << 40;

	if (!begin_access())
		return false;
	unsafe_get_user(type, &slot->type, out_clean);
	if (type)
		goto out_clean;
	unsafe_put_user((u64)port->id, &slot->port_id, out_clean);
	__uaccess_end();
	/* As __copy_to_user(), but that the kernel's memory is no part of it. */
	if (should_fail_usercopy() ||
	    copy_user_generic((__force void *)slot->payload,
			      (__force void *)own->payload, head->payload_size))
		goto out_dirty;
	/* As in vcpu_write_message(): the type says that the rest is there. */
	smp_wmb();
	if (!begin_access())
		goto out_dirty;
	unsafe_put_user(first, (u64 __user *)slot, out);
	__uaccess_end();
	mark_slots_dirty(vp);
	vector = hvpm_sint_vector(vcpu_sint(vp, port->sint));
	if (vector)
		vcpu_interrupt(vp, vector);
	return true;
out:
	__uaccess_end();
out_dirty:
	mark_slots_dirty(vp);
	return false;
out_clean:
	__uaccess_end();
	return false;
}

static const struct hvpm_vp_ops vcpu_ops = {
	.state = vcpu_state,
	.kick = vcpu_kick,
	.read_header = vcpu_read_header,
	.set_pending = vcpu_set_pending,
	.write_message = vcpu_write_message,
	.write_own = vcpu_write_own,
	.read_payload = vcpu_read_payload,
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
	struct kvm_vcpu_hv *hv_vcpu = KVM_READ_ONCE(vcpu->arch.hyperv);
	struct hvpm_vcpu *new;
	int ret;

	if (!hv_vcpu || !KVM_READ_ONCE(hv_vcpu->synic.active))
		return 0;
	/* It may have become so since it was attached, before its first vCPU. */
	if (hvpm_vm_encrypted(vcpu->kvm))
		return 0;
	if (hvpm_vcpu_vp(vm, vcpu->vcpu_idx))
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
	else
		/* What it points to before; pairs with the acquire in hvpm_vcpu_vp(). */
		smp_store_release(&vm->vcpu_vps[vcpu->vcpu_idx], &new->vp);
	/* Attaching and the vCPU's own thread may both have come here. */
	return ret == -EBUSY ? 0 : ret;
}

/*
 * Read the head of an input block, and note where its payload is; only if both can
 * be reached at once, and where a message could be written as well.
 */
static bool peek(struct hvpm_vcpu *own, gpa_t gpa, struct hvpm_post_head *head)
{
	u64 __user *block;
	bool done = false;
	u8 __user *page;
	u64 *to;

	static_assert(sizeof(*head) == 2 * sizeof(*to));

	/* In SMM a vCPU sees other memory. */
	if (kvm_arch_vcpu_memslots_id(own->vcpu))
		return false;
	page = page_address_of(own->vcpu->kvm, gpa & PAGE_MASK, &own->input);
	if (!page)
		return false;
	block = (u64 __user *)(page + offset_in_page(gpa));
	own->payload = (u8 __user *)(block + 2);

	to = (u64 *)head;
	if (!begin_access())
		return false;
	unsafe_get_user(to[0], &block[0], out);
	unsafe_get_user(to[1], &block[1], out);
	done = true;
out:
	__uaccess_end();
	return done;
}

/**
 * hvpm_vcpu_post - post what a vCPU's guest has in its memory, if it is there now
 * @vp: VP of the vCPU on whose thread the call is made
 * @gpa: where the input block is, aligned and inside one page
 *
 * Context: under the VM's SRCU; does not sleep.
 * Return: as hvpm_post(); HVPM_OUT_OF_REACH: some of the block cannot be
 *	reached without sleeping, or at all, and nothing was done.
 */
enum hvpm_status hvpm_vcpu_post(struct hvpm_vp *vp, gpa_t gpa)
{
	struct hvpm_vcpu *own = container_of(vp, struct hvpm_vcpu, vp);
	enum hvpm_status status = HVPM_OUT_OF_REACH;
	struct hvpm_post post;

	post.own = vp;
	post.payload = NULL;
	/* The core's RCU, and what keeps a page that is not there from sleeping. */
	rcu_read_lock_sched();
	pagefault_disable();
	if (peek(own, gpa, &post.head))
		status = hvpm_post_by_vp(&post);
	pagefault_enable();
	rcu_read_unlock_sched();
	return status;
}

/**
 * hvpm_vcpu_free - free a VP
 * @vp: a VP that hvpm_vcpu_add() made, its queue empty
 */
void hvpm_vcpu_free(struct hvpm_vp *vp)
{
	kfree(container_of(vp, struct hvpm_vcpu, vp));
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
	struct kvm_vcpu *vcpu;
	struct hvpm_vp *vp;
	unsigned int i, n;

	if (index == HV_POSTMSG_ANY_VP) {
		*status = online ? HVPM_STATUS_INVALID_SYNIC_STATE :
				   HVPM_STATUS_INVALID_VP_INDEX;
		return NULL;
	}

	/* As KVM does: its own number first, then all from the first on. */
	i = array_index_nospec(index, online);
	for (n = 0; online && n <= online; n++) {
		vp = hvpm_vcpu_vp(vm, i);
		vcpu = vp ? to_vcpu(vp) : kvm_get_vcpu(vm->kvm, i);
		if (vcpu && has_index(vcpu, index)) {
			/* What it gets without a VP: its SynIC is not enabled. */
			*status = HVPM_STATUS_INVALID_SYNIC_STATE;
			return vp;
		}
		i = n;
	}
	*status = HVPM_STATUS_INVALID_VP_INDEX;
	return NULL;
}
