/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System management mode: a VP of the slot fixture runs code of the test's in it
 */
#ifndef SELFTESTS_SMM_H
#define SELFTESTS_SMM_H

#include "slot.h"

#define SMRAM_GPA	0x1000000
#define SMRAM_SLOT	((1 << 16) | 1)
#define SMRAM_PAGES	16
#define SMM_PORT	0xe

/* SMRAM is memory of KVM's second address space. */
static inline uint8_t *create_smram(struct _test_data_slot *self,
				    const uint8_t *handler, size_t size)
{
	struct kvm_vm *vm = self->vm->vm;
	uint8_t *smram;

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, SMRAM_GPA,
				    SMRAM_SLOT, SMRAM_PAGES, 0);
	vm_phy_pages_alloc(vm, SMRAM_PAGES, SMRAM_GPA, SMRAM_SLOT);
	smram = addr_gpa2hva(vm, SMRAM_GPA);
	memset(smram, 0, SMRAM_PAGES * 4096);
	memcpy(smram + 0x8000, handler, size);
	vcpu_set_msr(self->vp->vcpu, MSR_IA32_SMBASE, SMRAM_GPA);
	return smram;
}

/* Ordinary memory at the same address, which a VP in SMM does not see. */
static inline uint8_t *create_under_smram(struct _test_data_slot *self,
					  uint32_t region)
{
	/* Not through the library, which knows one region per address. */
	uint8_t *under = mmap(NULL, SMRAM_PAGES * 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	TEST_ASSERT(under != MAP_FAILED, "mmap: %s", strerror(errno));
	vm_set_user_memory_region(self->vm->vm, region, 0, SMRAM_GPA,
				  SMRAM_PAGES * 4096, under);
	return under;
}

/* Run until the handler exits again, which then reads @value. */
static inline void run_in_smm(struct _test_data_slot *self, uint8_t value,
			      struct __test_metadata *_metadata)
{
	struct kvm_run *run = self->vp->vcpu->run;

	ASSERT_EQ(UCALL_NONE, hvpm_vp_run(self->vp, NULL));
	ASSERT_EQ(KVM_EXIT_IO, run->exit_reason);
	ASSERT_EQ(SMM_PORT, run->io.port);
	*((uint8_t *)run + run->io.data_offset) = value;
}

static inline void enter_smm(struct _test_data_slot *self,
			     struct __test_metadata *_metadata)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(self->vp->vcpu, &events);
	events.smi.pending = 1;
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	vcpu_events_set(self->vp->vcpu, &events);
	self->vp->guest->command = HVPM_NOP;
	run_in_smm(self, 0, _metadata);
}

#endif /* SELFTESTS_SMM_H */
