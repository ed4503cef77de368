/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_KVM_HOST_H
#define _FUZZ_LINUX_KVM_HOST_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/uaccess.h>

/* As much of KVM as the module touches.  See kvm.c. */

#define KVM_MAX_VCPUS		8

#define VCPU_REGS_RAX		0
#define VCPU_REGS_RCX		1
#define VCPU_REGS_RDX		2
#define VCPU_REGS_COUNT		3

#define KVM_REQ_UNBLOCK		2
#define KVM_REQ_HV_STIMER	21

#define KVM_EXIT_UNKNOWN	0
#define KVM_EXIT_HYPERV		27
#define KVM_EXIT_HYPERV_HCALL	2

#define KVM_IRQCHIP_NONE	0
#define KVM_IRQCHIP_KERNEL	1

#define KVM_MP_STATE_RUNNABLE		0
#define KVM_MP_STATE_UNINITIALIZED	1

#define APICV_INHIBIT_REASON_SEV	8

#define HV_X64_MSR_VP_INDEX	0x40000002
#define HV_X64_MSR_SCONTROL	0x40000080
#define HV_X64_MSR_SIMP		0x40000083
#define HV_X64_MSR_EOM		0x40000084
#define HV_X64_MSR_SINT0	0x40000090
#define HV_X64_MSR_SINT15	0x4000009f

#define HV_SYNIC_CONTROL_ENABLE	1
#define HV_SYNIC_SIMP_ENABLE	1
#define HV_SYNIC_SINT_MASKED	(1ull << 16)

#define SHIM_VCPUS		4
#define SHIM_TIMERS		4

typedef u64 gpa_t;
typedef u64 gfn_t;

#define gpa_to_gfn(gpa)		((gfn_t)((gpa) >> PAGE_SHIFT))
#define offset_in_page(address)	((unsigned long)(address) & ~PAGE_MASK)

struct kvm_lapic {
	u64 count[256];
};

union hv_stimer_config {
	struct {
		u64 enable:1;
		u64 direct_mode:1;
		u64 sintx:4;
	};
};

struct kvm_vcpu_hv_stimer {
	union hv_stimer_config config;
	bool msg_pending;
};

struct kvm_vcpu_hv_synic {
	u64 control;
	u64 msg_page;
	atomic64_t sint[16];
	unsigned long vec_bitmap[4];
	bool active;
};

struct kvm_vcpu_hv {
	u32 vp_index;
	bool enforce_cpuid;
	struct {
		u32 features_ebx;
	} cpuid_cache;
	struct kvm_vcpu_hv_synic synic;
	struct kvm_vcpu_hv_stimer stimer[SHIM_TIMERS];
};

struct kvm_run {
	u32 exit_reason;
	struct {
		u32 type;
		union {
			struct {
				u64 input;
				u64 result;
				u64 params[2];
			} hcall;
		} u;
	} hyperv;
};

struct kvm_vcpu {
	struct kvm *kvm;
	unsigned int vcpu_idx;
	struct kvm_run *run;
	unsigned long requests;
	struct {
		unsigned long regs[VCPU_REGS_COUNT];
		struct kvm_vcpu_hv *hyperv;
		struct kvm_lapic *apic;
		int mp_state;
		int (*complete_userspace_io)(struct kvm_vcpu *vcpu);
		struct {
			bool pv_unhalted;
		} pv;
		struct {
			bool halted;
		} apf;
	} arch;
};

/* All that is behind a count of the changes there have been. */
struct kvm_memslots {
	u64 generation;
};

struct kvm_memory_slot {
	u64 base_gfn;
};

struct gfn_to_hva_cache {
	u64 generation;
	gpa_t gpa;
	unsigned long hva;
	unsigned long len;
	struct kvm_memory_slot *memslot;
};

struct kvm {
	struct mm_struct *mm;
	struct kvm_memslots *memslots[1];
	struct srcu_struct srcu;
	atomic_t online_vcpus;
	struct kvm_vcpu *vcpus[SHIM_VCPUS];
	struct {
		unsigned int irqchip_mode;
		unsigned long apicv_inhibit_reasons;
		u8 vm_type;
		bool private_mem;
	} arch;
};

#define KVM_X86_DEFAULT_VM	0
#define KVM_X86_SEV_VM		2
#define kvm_arch_has_private_mem(kvm)	((kvm)->arch.private_mem)
#define kvm_arch_has_readonly_mem(kvm)	(!(kvm)->arch.private_mem)

struct file;

bool file_is_kvm(struct file *file);
struct kvm_vcpu *kvm_get_running_vcpu(void);
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
unsigned long gfn_to_hva(struct kvm *kvm, gfn_t gfn);
bool kvm_is_error_hva(unsigned long hva);
int kvm_gfn_to_hva_cache_init(struct kvm *kvm, struct gfn_to_hva_cache *cache,
			      gpa_t gpa, unsigned long len);
bool kvm_slot_dirty_track_enabled(const struct kvm_memory_slot *slot);
void mark_page_dirty_in_slot(struct kvm *kvm, const struct kvm_memory_slot *slot,
			     gfn_t gfn);
int kvm_vcpu_read_guest_page(struct kvm_vcpu *vcpu, gfn_t gfn, void *data,
			     int offset, int length);

/* None is ever in SMM. */
static inline int kvm_arch_vcpu_memslots_id(struct kvm_vcpu *vcpu)
{
	return 0;
}

static inline struct kvm_vcpu *kvm_get_vcpu(struct kvm *kvm, unsigned int i)
{
	return kvm->vcpus[i];
}

#define kvm_for_each_vcpu(i, vcpu, kvm)					\
	for ((i) = 0; (i) < atomic_read(&(kvm)->online_vcpus) &&	\
	     ((vcpu) = (kvm)->vcpus[i]); (i)++)

static inline void kvm_make_request(unsigned int request, struct kvm_vcpu *vcpu)
{
	vcpu->requests |= 1ul << request;
}

static inline bool kvm_test_request(unsigned int request, struct kvm_vcpu *vcpu)
{
	return vcpu->requests & 1ul << request;
}

#endif /* _FUZZ_LINUX_KVM_HOST_H */
