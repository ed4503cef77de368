/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module in user space, as the programs of the fuzzer see it: kernel, KVM and
 * guests' memory are in shim.c and kvm.c.  Plain C types only: this is the border
 * between what is compiled as the kernel and what is not.
 */
#ifndef _HVPM_FUZZ_CORE_H
#define _HVPM_FUZZ_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- the kernel --- */

/* Load the module: 0 or a negative errno. */
int core_load(void);

/*
 * Unload it.  Fails the program unless all memory is free, no reader, lock, work
 * or notifier is left.
 */
void core_unload(void);

/* Forget all files, processes and VMs: before core_load(). */
void core_reset(void);

/*
 * Called by who sleeps, again and again until it is woken, @first each time it
 * falls asleep.  False: let it be woken by a signal.
 */
extern bool (*core_on_sleep)(bool first);

/* What waits for a worker, and the oldest of it run. */
unsigned int core_works(void);
bool core_run_work(void);

/* The @nth allocation from now on fails, 1 for the next; 0 for none. */
void core_fail_alloc(unsigned int nth);
/* Has it failed? */
bool core_alloc_failed(void);
/* Allocations there have been. */
unsigned long core_allocs(void);
/* Allocations that failed in all of the program's life. */
unsigned long core_allocs_failed(void);
/* The next file cannot be opened. */
void core_fail_file(bool fail);

/*
 * What user space has for the module: @size bytes at @start, which can be written
 * if @writable.  Anything else is -EFAULT.
 */
void core_user_range(void *start, size_t size, bool writable);
/*
 * Until core_change_no_more() each byte of these, CORE_BLOCK_BYTES at most, is another as
 * soon as the module has read it.  If it copies them, sleeping if it has to, that returns
 * them as they were just before.
 */
#define CORE_BLOCK_BYTES	256
void core_change_when_read(void *start, size_t size);
const uint8_t *core_change_no_more(void);
/* So many more accesses without sleeping go well, all of them if it is negative. */
void core_user_accesses(int count);

/* End the address space of a VM, or with -1 of the process that calls. */
void core_end_mm(int vm);

/* --- files; what returns int or long returns a negative errno --- */

/* The file of /dev/hv_postmsg. */
#define CORE_DEVICE		0
/* No file has this number. */
#define CORE_BAD_FD		250

int core_open_other(void);
int core_close(int fd);
long core_ioctl(int fd, unsigned int cmd, void *arg);
long core_read(int fd, void *to, size_t count);
unsigned int core_poll(int fd);
void core_set_nonblock(int fd, bool nonblock);

/* --- KVM --- */

#define CORE_VMS		3
#define CORE_VCPUS		4
/* Pages of a guest's memory: some for SIM pages, some for input blocks. */
#define CORE_PAGES		12
#define CORE_PAGE_BYTES		4096

enum core_access {
	CORE_READ_WRITE,
	CORE_READ_ONLY,
	/* There is a memslot, but nothing in the VMM's memory. */
	CORE_UNMAPPED,
	/* There is no memslot. */
	CORE_HOLE,
};

/* What KVM or the VMM sees of a hypercall that the module does not answer. */
#define CORE_EXIT		0x100

/* Make VM @vm, without vCPUs; its memory is all zero.  Returns its file. */
int core_vm_create(int vm, bool irqchip, bool encrypted);
/* Does anybody still hold its file? */
bool core_vm_exists(int vm);
/* KVM_CREATE_VCPU. */
void core_vcpu_create(int vm);
/* KVM_CAP_HYPERV_SYNIC. */
void core_vcpu_activate(int vm, int vcpu);
/* KVM_SET_CPUID2 and KVM_CAP_HYPERV_ENFORCE_CPUID. */
void core_vcpu_privilege(int vm, int vcpu, bool enforce, bool privileged);
/* Set an MSR, by the guest or the VMM.  False if KVM refuses. */
bool core_set_msr(int vm, int vcpu, uint32_t msr, uint64_t value, bool host);
/* HvCallPostMessage or another call: the status, or CORE_EXIT. */
unsigned int core_hypercall(int vm, int vcpu, uint64_t control, uint64_t gpa);
/* A synthetic timer of the vCPU is due, with a message for a SINT. */
void core_timer(int vm, int vcpu, unsigned int timer, unsigned int sint);
bool core_timer_waits(int vm, int vcpu, unsigned int timer);
/* The way into the guest. */
void core_enter(int vm, int vcpu);
/* HLT; true if the vCPU does not sleep. */
bool core_halt(int vm, int vcpu);
/* It is kept from running otherwise; true if it runs all the same. */
bool core_block(int vm, int vcpu, bool started, bool no_page);
void core_eoi(int vm, int vcpu, uint8_t vector);
void core_init(int vm, int vcpu);

/* Is there a request to look at the timers and the queue? */
bool core_requested(int vm, int vcpu);
/* Messages in the vCPU's queue, as the module counts them; -1 without a VP. */
int core_queue_length(int vm, int vcpu);
/* Interrupts that were raised, by vector. */
const uint64_t *core_interrupts(int vm, int vcpu);
/* The guest's memory, from its address 0 on. */
uint8_t *core_memory(int vm);
void core_page_access(int vm, unsigned int page, enum core_access access);

#endif /* _HVPM_FUZZ_CORE_H */
