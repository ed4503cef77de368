// SPDX-License-Identifier: GPL-2.0-only
/*
 * HvCallPostMessage by callers of every mode of the processor.
 *
 * The guests are a few bytes of code each.  This program plays their operating
 * system: it loads the registers for one call, lets the guest make it, and looks
 * at what came back.  The call itself goes through the hypercall page that KVM
 * fills in, so it is the instruction of whichever vendor made the processor.
 */
#include "patience.h"
#include "kselftest_harness.h"
#include "plain.h"

/* --- the guest's memory --- */

#define MEMORY_SIZE	0x80000		/* from GPA 0 */
#define VECTORS		0x0000		/* real mode's interrupt table */
#define GDT		0x1000
#define IDT		0x1400
#define TSS		0x1800
#define CODE		0x2000
#define CODE_CALL	(CODE + 0x00)
#define CODE_ENTER	(CODE + 0x40)
#define CODE_WRMSR	(CODE + 0x60)
#define CODE_FAULTS	(CODE + 0x200)	/* 8 bytes for each of 32 */
#define HYPERCALL_PAGE	0x3000
#define SIM_PAGE	0x4000		/* one for each of MAX_VPS */
#define INPUT		0x8000		/* this page and the next */
#define STACK		0xb000
#define KERNEL_STACK	0xc000
#define PAGE_TABLES	0x10000
#define HIGH_MEMORY	0x100000000ULL	/* another slot, above 4 GiB */
#define HIGH_SIZE	0x10000
#define READ_ONLY	0x200000	/* a slot the guest cannot write */
#define HOLE		0x80000000	/* no memory here */

#define MAX_VPS		3

/* What the guest code says by writing to a port. */
#define PORT_DONE	0x80
#define PORT_FAULT	0x81

#define UD_VECTOR	6

/* The vector of every SINT in use: one for each VP, so they can be told apart. */
#define SINT_VECTOR(vp)	(0x40 + (vp))

#define HV_X64_MSR_GUEST_OS_ID	0x40000000
#define HV_X64_MSR_HYPERCALL	0x40000001
#define HV_X64_MSR_VP_INDEX	0x40000002
#define HV_X64_MSR_SCONTROL	0x40000080
#define HV_X64_MSR_SIMP		0x40000083
#define HV_X64_MSR_EOM		0x40000084
#define HV_X64_MSR_SINT0	0x40000090
#define SINT_MASKED		0x10000

#define CALL_POST_MESSAGE	0x5cULL
#define CALL_SIGNAL_EVENT	0x5dULL
#define CALL_FAST		0x10000ULL

/* CPUID 0x40000003.EBX */
#define PRIVILEGE_POST		0x10U
#define PRIVILEGE_SIGNAL	0x20U

/* The call's input block. */
struct input {
	__u32 connection_id;
	__u32 reserved;
	__u32 message_type;
	__u32 payload_size;
	__u8 payload[240];
};

_Static_assert(sizeof(struct input) == 256, "");

/* A message slot. */
struct slot {
	__u32 type;
	__u8 payload_size;
	__u8 flags;
	__u16 reserved;
	__u64 sender;
	__u8 payload[240];
};

_Static_assert(sizeof(struct slot) == 256, "");

#define MESSAGE_PENDING	1

enum mode {
	REAL,
	VIRTUAL_8086,
	PROTECTED_16,
	PROTECTED_32,
	COMPATIBILITY,
	LONG_64,
};

struct vp {
	int fd;
	struct kvm_run *run;
	/* What a call was made with and what it left behind. */
	struct kvm_regs before;
	struct kvm_regs after;
};

struct guest {
	enum mode mode;
	int privilege_level;
	int kvm;
	int vm;
	size_t run_size;
	__u8 *memory;
	__u8 *high;
	__u8 *read_only;
	unsigned int vps;
	struct vp vp[MAX_VPS];
	/* Garbage for the halves of registers that the caller cannot see. */
	__u64 junk;
};

struct guest_config {
	enum mode mode;
	int privilege_level;
	/* CPUID 0x40000003.EBX */
	__u32 privileges;
	/* KVM shall enforce it. */
	bool enforce;
	/* The VP's SynIC is not to be set up at all. */
	bool no_synic;
	/* The guest has not told its name. */
	bool no_os_id;
};

static bool is_long(enum mode mode)
{
	return mode == COMPATIBILITY || mode == LONG_64;
}

static bool is_16_bit(enum mode mode)
{
	return mode == REAL || mode == VIRTUAL_8086 || mode == PROTECTED_16;
}

static int set_msr(int vcpu, __u32 index, __u64 data)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msrs = {
		.header.nmsrs = 1,
		.entry = { .index = index, .data = data },
	};

	return ioctl(vcpu, KVM_SET_MSRS, &msrs) == 1 ? 0 : -EINVAL;
}

static __u64 get_msr(int vcpu, __u32 index)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msrs = {
		.header.nmsrs = 1,
		.entry = { .index = index },
	};

	return ioctl(vcpu, KVM_GET_MSRS, &msrs) == 1 ? msrs.entry.data : ~0ULL;
}

static int enable_cap(int fd, __u32 cap, __u64 value)
{
	struct kvm_enable_cap args = { .cap = cap, .args = { value } };

	return plain_ioctl(fd, KVM_ENABLE_CAP, &args);
}

static int add_memory(struct guest *guest, __u32 slot, __u64 gpa, size_t size,
		      __u32 flags, __u8 **memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
	};

	*memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*memory == MAP_FAILED)
		return -errno;
	region.userspace_addr = (uintptr_t)*memory;
	return plain_ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* KVM's own CPUID, with Hyper-V's leaves in the place of KVM's. */
static int set_cpuid(struct guest *guest, int vcpu, const struct guest_config *config)
{
	static const struct kvm_cpuid_entry2 hyperv[] = {
		/* "Microsoft Hv", "Hv#1" */
		{ .function = 0x40000000, .eax = 0x40000006, .ebx = 0x7263694d,
		  .ecx = 0x666f736f, .edx = 0x76482074 },
		{ .function = 0x40000001, .eax = 0x31237648 },
		{ .function = 0x40000002 },
		/* SynIC, timers, hypercall and VP index registers */
		{ .function = 0x40000003, .eax = 0x6c },
		{ .function = 0x40000004 },
		{ .function = 0x40000005 },
		{ .function = 0x40000006 },
	};
	struct {
		struct kvm_cpuid2 header;
		struct kvm_cpuid_entry2 entries[256];
	} *cpuid = calloc(1, sizeof(*cpuid));
	unsigned int from, to = 0;
	int ret;

	if (!cpuid)
		return -ENOMEM;
	cpuid->header.nent = 200;
	ret = plain_ioctl(guest->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (!ret) {
		for (from = 0; from < cpuid->header.nent; from++)
			if (cpuid->entries[from].function >> 28 != 4)
				cpuid->entries[to++] = cpuid->entries[from];
		memcpy(&cpuid->entries[to], hyperv, sizeof(hyperv));
		cpuid->entries[to + 3].ebx = config->privileges;
		cpuid->header.nent = to + ARRAY_SIZE(hyperv);
		ret = plain_ioctl(vcpu, KVM_SET_CPUID2, cpuid);
	}
	free(cpuid);
	return ret;
}

static bool on_intel(void)
{
	return !access("/sys/module/kvm_intel", F_OK);
}

static struct kvm_segment segment(__u16 selector, __u8 type, __u8 level, bool big)
{
	return (struct kvm_segment){
		.selector = selector | level,
		.limit = big ? 0xffffffff : 0xffff,
		.type = type,
		.present = 1,
		.dpl = level,
		.db = big,
		.s = 1,
		.g = big,
	};
}

static void set_sregs(struct __test_metadata *_metadata, struct guest *guest, int vcpu)
{
	const int level = guest->privilege_level;
	const bool big = !is_16_bit(guest->mode);
	struct kvm_segment data;
	struct kvm_sregs sregs;

	ASSERT_LE(0, plain_ioctl(vcpu, KVM_GET_SREGS, &sregs));
	/* Readable code and writable data, both accessed. */
	sregs.cs = segment(0, 11, level, big);
	data = segment(0, 3, level, big);
	if (guest->mode == REAL) {
		sregs.cs.type = 3;
		sregs.idt.base = VECTORS;
		sregs.idt.limit = 0x3ff;
	} else {
		sregs.gdt.base = GDT;
		sregs.gdt.limit = 0xff;
		sregs.idt.base = IDT;
		sregs.idt.limit = 0x3ff;
		/*
		 * VMX insists on a busy task; with SVM it can be either, but
		 * where SVM is emulated by QEMU 7.2 a busy one ends QEMU when
		 * an exception changes the privilege level.
		 */
		sregs.tr = (struct kvm_segment){
			.selector = 0x30, .base = TSS, .limit = 0x67,
			.type = on_intel() ? 11 : 9, .present = 1,
		};
		sregs.cr0 = 0x11;
		if (guest->mode == VIRTUAL_8086)
			sregs.cs.type = 3;
		else
			data.selector = 0x10 | level, sregs.cs.selector = 0x08 | level;
	}
	if (is_long(guest->mode)) {
		sregs.cr0 |= 1U << 31;
		sregs.cr4 = 1U << 5;		/* PAE */
		sregs.cr3 = PAGE_TABLES;
		sregs.efer = 0x500;		/* LME, LMA */
		if (guest->mode == LONG_64) {
			sregs.cs.l = 1;
			sregs.cs.db = 0;
			sregs.cs.selector = 0x18 | level;
		}
	}
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	ASSERT_EQ(0, plain_ioctl(vcpu, KVM_SET_SREGS, &sregs));
}

/* Switch the local APIC on, or no interrupt gets as far as its registers. */
static void enable_apic(struct __test_metadata *_metadata, int vcpu)
{
	struct kvm_lapic_state apic;

	ASSERT_LE(0, plain_ioctl(vcpu, KVM_GET_LAPIC, &apic));
	apic.regs[0xf0] = 0xff;
	apic.regs[0xf1] |= 1;
	ASSERT_EQ(0, plain_ioctl(vcpu, KVM_SET_LAPIC, &apic));
}

/* The interrupts that wait in a VP's local APIC, one bit each. */
static void pending_interrupts(struct __test_metadata *_metadata, int vcpu, __u32 irr[8])
{
	struct kvm_lapic_state apic;
	int i;

	ASSERT_LE(0, plain_ioctl(vcpu, KVM_GET_LAPIC, &apic));
	for (i = 0; i < 8; i++)
		memcpy(&irr[i], &apic.regs[0x200 + 16 * i], sizeof(irr[i]));
}

static void clear_interrupts(struct __test_metadata *_metadata, int vcpu)
{
	struct kvm_lapic_state apic;
	int i;

	ASSERT_LE(0, plain_ioctl(vcpu, KVM_GET_LAPIC, &apic));
	for (i = 0; i < 8; i++)
		memset(&apic.regs[0x200 + 16 * i], 0, 4);
	ASSERT_EQ(0, plain_ioctl(vcpu, KVM_SET_LAPIC, &apic));
}

static struct slot *slot_of(struct guest *guest, unsigned int vp, unsigned int sint)
{
	return (struct slot *)(guest->memory + SIM_PAGE + 0x1000 * vp) + sint;
}

/* Enable a VP's SynIC and SIM page, and SINTs 1 to 3. */
static void enable_synic(struct __test_metadata *_metadata, struct guest *guest,
			 unsigned int vp)
{
	const int fd = guest->vp[vp].fd;
	unsigned int sint;

	ASSERT_LE(0, set_msr(fd, HV_X64_MSR_SIMP, (SIM_PAGE + 0x1000 * vp) | 1));
	for (sint = 1; sint <= 3; sint++)
		ASSERT_LE(0, set_msr(fd, HV_X64_MSR_SINT0 + sint, SINT_VECTOR(vp)));
	ASSERT_EQ(0, set_msr(fd, HV_X64_MSR_SCONTROL, 1));
}

/* Add a VP.  All but the first have their SynIC activated, but not enabled. */
static void add_vp(struct __test_metadata *_metadata, struct guest *guest,
		   const struct guest_config *config)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	const unsigned int index = guest->vps;
	struct vp *vp = &guest->vp[index];
	unsigned int sint;

	ASSERT_LE(0, vp->fd = plain_vcpu(guest->vm, index));
	guest->vps++;
	vp->run = mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vp->fd, 0);
	ASSERT_TRUE(vp->run != MAP_FAILED);
	ASSERT_LE(0, set_cpuid(guest, vp->fd, config));
	set_sregs(_metadata, guest, vp->fd);
	enable_apic(_metadata, vp->fd);
	ASSERT_LE(0, plain_ioctl(vp->fd, KVM_SET_MP_STATE, &runnable));
	if (config->enforce)
		ASSERT_LE(0, enable_cap(vp->fd, KVM_CAP_HYPERV_ENFORCE_CPUID, 1));
	/* Everything in the SIM page is recognisable, and every slot empty. */
	memset(guest->memory + SIM_PAGE + 0x1000 * index, 0xcc, 0x1000);
	for (sint = 0; sint < 16; sint++)
		slot_of(guest, index, sint)->type = 0;
	if (config->no_synic)
		return;
	ASSERT_LE(0, enable_cap(vp->fd, KVM_CAP_HYPERV_SYNIC2, 0));
	/* KVM starts with it enabled. */
	ASSERT_LE(0, set_msr(vp->fd, HV_X64_MSR_SCONTROL, 0));
}

static void write_code(struct guest *guest)
{
	/* call the hypercall page; tell */
	static const __u8 call_32[] = { 0xe8, 0xfb, 0x0f, 0, 0, 0xe6, PORT_DONE, 0xf4 };
	static const __u8 call_16[] = { 0xe8, 0xfd, 0x0f, 0xe6, PORT_DONE, 0xf4 };
	static const __u8 enter[] = { 0x90, 0xe6, PORT_DONE, 0xf4 };
	static const __u8 wrmsr[] = { 0x0f, 0x30, 0xe6, PORT_DONE, 0xf4 };
	static const __u8 fault[] = { 0xe6, PORT_FAULT, 0xf4 };
	const bool wide = is_long(guest->mode);
	const __u64 handler_selector = wide ? 0x18 : 0x08;
	__u64 *gdt = (__u64 *)(guest->memory + GDT);
	__u64 *idt = (__u64 *)(guest->memory + IDT);
	__u32 *vectors = (__u32 *)(guest->memory + VECTORS);
	__u64 *tables = (__u64 *)(guest->memory + PAGE_TABLES);
	__u32 *tss = (__u32 *)(guest->memory + TSS);
	unsigned int i;

	if (is_16_bit(guest->mode))
		memcpy(guest->memory + CODE_CALL, call_16, sizeof(call_16));
	else
		memcpy(guest->memory + CODE_CALL, call_32, sizeof(call_32));
	memcpy(guest->memory + CODE_ENTER, enter, sizeof(enter));
	memcpy(guest->memory + CODE_WRMSR, wrmsr, sizeof(wrmsr));

	gdt[1] = 0x00cf9b000000ffffULL;
	gdt[2] = 0x00cf93000000ffffULL;
	gdt[3] = 0x00af9b000000ffffULL;
	for (i = 0; i < 32; i++) {
		const __u64 handler = CODE_FAULTS + 8 * i;
		const __u64 gate = handler | handler_selector << 16 | 0x8eULL << 40;

		memcpy(guest->memory + handler, fault, sizeof(fault));
		idt[wide ? 2 * i : i] = gate;
		vectors[i] = handler;
	}
	/* The stack of privilege level 0, for either kind of task. */
	tss[1] = KERNEL_STACK;
	tss[2] = wide ? 0 : 0x10;
	/* No I/O permissions by bitmap. */
	guest->memory[TSS + 0x66] = 0x68;

	/* The first GiB as it is, for everyone, by pages of 2 MiB, marked as used. */
	tables[0] = (PAGE_TABLES + 0x1000) | 0x27;
	tables[512] = (PAGE_TABLES + 0x2000) | 0x27;
	for (i = 0; i < 512; i++)
		tables[1024 + i] = (__u64)i << 21 | 0xe7;
}

static void make_guest(struct __test_metadata *_metadata, struct guest *guest,
		       const struct guest_config *config)
{
	memset(guest, 0, sizeof(*guest));
	guest->mode = config->mode;
	guest->privilege_level = config->privilege_level;
	ASSERT_LE(0, guest->kvm = plain_kvm());
	guest->run_size = ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	ASSERT_LE(0, guest->vm = plain_vm(guest->kvm));
	ASSERT_LE(0, ioctl(guest->vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	ASSERT_LE(0, plain_ioctl(guest->vm, KVM_CREATE_IRQCHIP, NULL));
	ASSERT_LE(0, add_memory(guest, 0, 0, MEMORY_SIZE, 0, &guest->memory));
	ASSERT_LE(0, add_memory(guest, 1, HIGH_MEMORY, HIGH_SIZE, 0, &guest->high));
	ASSERT_LE(0, add_memory(guest, 2, READ_ONLY, 0x1000, KVM_MEM_READONLY,
				&guest->read_only));
	write_code(guest);
	add_vp(_metadata, guest, config);
	if (!config->no_os_id) {
		ASSERT_LE(0, set_msr(guest->vp[0].fd, HV_X64_MSR_GUEST_OS_ID,
				     0x8100000000000001ULL));
		ASSERT_LE(0, set_msr(guest->vp[0].fd, HV_X64_MSR_HYPERCALL, HYPERCALL_PAGE | 1));
	} else {
		/* Nobody fills the page in: vmmcall and vmcall are one byte apart. */
		guest->memory[HYPERCALL_PAGE + 0] = 0x0f;
		guest->memory[HYPERCALL_PAGE + 1] = 0x01;
		guest->memory[HYPERCALL_PAGE + 2] = on_intel() ? 0xc1 : 0xd9;
		guest->memory[HYPERCALL_PAGE + 3] = 0xc3;
	}
	if (!config->no_synic)
		enable_synic(_metadata, guest, 0);
}

static void free_guest(struct guest *guest)
{
	unsigned int i;

	for (i = 0; i < guest->vps; i++) {
		munmap(guest->vp[i].run, guest->run_size);
		close(guest->vp[i].fd);
	}
	close(guest->vm);
	close(guest->kvm);
	munmap(guest->memory, MEMORY_SIZE);
	munmap(guest->high, HIGH_SIZE);
	munmap(guest->read_only, 0x1000);
}

/* --- running it --- */

enum outcome {
	DONE = 1000,
	/* KVM_EXIT_HYPERV */
	USER_EXIT,
	/* Anything else, such as a triple fault. */
	LOST,
	/* And this plus the vector. */
	FAULT,
};

/* Run until something is to be told. */
static int run_vp(struct guest *guest, unsigned int index)
{
	struct vp *vp = &guest->vp[index];
	struct kvm_run *run = vp->run;
	int outcome = LOST;

	if (ioctl(vp->fd, KVM_RUN, 0) < 0)
		return -errno;
	if (ioctl(vp->fd, KVM_GET_REGS, &vp->after) < 0)
		return -errno;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction != KVM_EXIT_IO_OUT)
			break;
		if (run->io.port == PORT_DONE)
			outcome = DONE;
		else if (run->io.port == PORT_FAULT)
			outcome = FAULT + (vp->after.rip - CODE_FAULTS) / 8;
		else
			break;
		/* Let KVM finish the instruction, and nothing more. */
		run->immediate_exit = 1;
		ioctl(vp->fd, KVM_RUN, 0);
		run->immediate_exit = 0;
		return outcome;
	case KVM_EXIT_HYPERV:
		return USER_EXIT;
	}
	fprintf(stderr, "# exit %u (%u) at %llx\n", run->exit_reason,
		run->internal.suberror, (unsigned long long)vp->after.rip);
	return LOST;
}

/* Start at @code with the registers in @vp->before. */
static int start_vp(struct guest *guest, unsigned int index, __u64 code)
{
	struct vp *vp = &guest->vp[index];

	vp->before.rip = code;
	vp->before.rsp = STACK - 0x100 * index;
	/* So that it can tell at any privilege level; no interrupts. */
	vp->before.rflags = 2 | 3 << 12;
	if (guest->mode == VIRTUAL_8086)
		vp->before.rflags |= 1 << 17;
	if (ioctl(vp->fd, KVM_SET_REGS, &vp->before) < 0)
		return -errno;
	return run_vp(guest, index);
}

/* Let a VP into the guest and out again. */
static int enter_vp(struct guest *guest, unsigned int index)
{
	return start_vp(guest, index, CODE_ENTER);
}

static int guest_wrmsr(struct guest *guest, unsigned int index, __u32 msr, __u64 value)
{
	struct kvm_regs *regs = &guest->vp[index].before;

	regs->rcx = msr;
	regs->rax = (__u32)value;
	regs->rdx = value >> 32;
	return start_vp(guest, index, CODE_WRMSR);
}

/* Make the call on VP 0 as a caller of this mode does. */
static void load_call(struct guest *guest, __u64 control, __u64 input, __u64 output)
{
	struct kvm_regs *regs = &guest->vp[0].before;

	*regs = (struct kvm_regs){
		.rax = 0x1111111111111111, .rbx = 0x2222222222222222,
		.rcx = 0x3333333333333333, .rdx = 0x4444444444444444,
		.rsi = 0x5555555555555555, .rdi = 0x6666666666666666,
		.rbp = 0x7777777777777777, .r8 = 0x8888888888888888,
		.r9 = 0x9999999999999999, .r10 = 0xaaaaaaaaaaaaaaaa,
		.r11 = 0xbbbbbbbbbbbbbbbb, .r12 = 0xcccccccccccccccc,
		.r13 = 0xdddddddddddddddd, .r14 = 0xeeeeeeeeeeeeeeee,
		.r15 = 0xf0f0f0f0f0f0f0f0,
	};
	if (guest->mode == LONG_64) {
		regs->rcx = control;
		regs->rdx = input;
		regs->r8 = output;
	} else {
		regs->rdx = guest->junk | control >> 32;
		regs->rax = guest->junk | (__u32)control;
		regs->rbx = guest->junk | input >> 32;
		regs->rcx = guest->junk | (__u32)input;
		regs->rdi = guest->junk | output >> 32;
		regs->rsi = guest->junk | (__u32)output;
	}
}

static int hypercall(struct guest *guest, __u64 control, __u64 input, __u64 output)
{
	load_call(guest, control, input, output);
	return start_vp(guest, 0, CODE_CALL);
}

/* The result value that the last call on VP 0 left. */
static __u64 result_of(const struct guest *guest)
{
	const struct kvm_regs *after = &guest->vp[0].after;

	if (guest->mode == LONG_64)
		return after->rax;
	return after->rdx << 32 | (__u32)after->rax;
}

/*
 * The first register the last call changed that it must not, or "".  A caller
 * that is not in 64-bit mode has eight of 32 bits.
 */
static const char *changed_register(const struct guest *guest, bool result)
{
	/* The result's first, then those that all callers have. */
	static const struct {
		const char *name;
		size_t offset;
	} registers[] = {
		{ "rax", offsetof(struct kvm_regs, rax) },
		{ "rdx", offsetof(struct kvm_regs, rdx) },
		{ "rbx", offsetof(struct kvm_regs, rbx) },
		{ "rcx", offsetof(struct kvm_regs, rcx) },
		{ "rsi", offsetof(struct kvm_regs, rsi) },
		{ "rdi", offsetof(struct kvm_regs, rdi) },
		{ "rbp", offsetof(struct kvm_regs, rbp) },
		{ "r8", offsetof(struct kvm_regs, r8) },
		{ "r9", offsetof(struct kvm_regs, r9) },
		{ "r10", offsetof(struct kvm_regs, r10) },
		{ "r11", offsetof(struct kvm_regs, r11) },
		{ "r12", offsetof(struct kvm_regs, r12) },
		{ "r13", offsetof(struct kvm_regs, r13) },
		{ "r14", offsetof(struct kvm_regs, r14) },
		{ "r15", offsetof(struct kvm_regs, r15) },
	};
	const struct kvm_regs *before = &guest->vp[0].before;
	const struct kvm_regs *after = &guest->vp[0].after;
	const bool wide = guest->mode == LONG_64;
	const __u64 mask = wide ? ~0ULL : 0xffffffff;
	unsigned int i;

	for (i = 0; i < (wide ? ARRAY_SIZE(registers) : 7); i++) {
		const size_t offset = registers[i].offset;
		__u64 old, new;

		if (result && (i == 0 || (i == 1 && !wide)))
			continue;
		memcpy(&old, (const __u8 *)before + offset, sizeof(old));
		memcpy(&new, (const __u8 *)after + offset, sizeof(new));
		if ((old ^ new) & mask)
			return registers[i].name;
	}
	return "";
}

/* --- the world of these tests --- */

/*
 * Connections of the caller's partition:
 * 1 to a host endpoint, 2 to its own VP 0, SINT 2, 3 to its VP 1, SINT 3, which
 * is there but does not run.
 */
struct world {
	struct guest guest;
	int device;
	int partition;
	int host;
	int endpoint;
};

#define TO_ENDPOINT	1
#define TO_SELF		2
#define TO_OTHER	3
#define UNKNOWN		99

static void attach_guest(struct __test_metadata *_metadata, struct world *world,
			 __u32 flags)
{
	ASSERT_LE(0, world->partition = plain_partition(world->device, flags, world->guest.vm));
	ASSERT_LE(0, plain_vp_port(world->partition, 2, HV_POSTMSG_PORT_MESSAGE, 0, 2));
	ASSERT_LE(0, plain_vp_port(world->partition, 3, HV_POSTMSG_PORT_MESSAGE, 1, 3));
	ASSERT_LE(0, plain_link(world->partition, TO_ENDPOINT, world->host, 1));
	ASSERT_LE(0, plain_link(world->partition, TO_SELF, world->partition, 2));
	ASSERT_LE(0, plain_link(world->partition, TO_OTHER, world->partition, 3));
}

static void make_world(struct __test_metadata *_metadata, struct world *world,
		       const struct guest_config *config, __u32 flags)
{
	make_guest(_metadata, &world->guest, config);
	add_vp(_metadata, &world->guest, config);
	if (!config->no_synic)
		enable_synic(_metadata, &world->guest, 1);
	ASSERT_LE(0, world->device = plain_open());
	ASSERT_LE(0, world->host = plain_host(world->device));
	ASSERT_LE(0, world->endpoint = plain_endpoint(world->host, 0));
	plain_nonblock(world->endpoint, true);
	ASSERT_LE(0, plain_endpoint_port(world->host, 1, world->endpoint, 0,
					 HV_POSTMSG_PORT_SHARED));
	attach_guest(_metadata, world, flags);
}

static void leave_world(struct world *world)
{
	close(world->endpoint);
	close(world->host);
	close(world->partition);
	close(world->device);
	free_guest(&world->guest);
}

/* What a refused call must not change, wherever a message could have gone. */
struct traces {
	__u8 sim_pages[MAX_VPS * 0x1000];
	__u32 interrupts[MAX_VPS][8];
	struct hv_postmsg_port_stats ports[64];
	struct hv_postmsg_port_stats host_ports[4];
	int events;
};

static void take_traces(struct __test_metadata *_metadata, struct world *world,
			struct traces *traces)
{
	struct hv_postmsg_port_stats *stats;
	unsigned int i;

	memset(traces, 0, sizeof(*traces));
	memcpy(traces->sim_pages, world->guest.memory + SIM_PAGE,
	       sizeof(traces->sim_pages));
	for (i = 0; i < world->guest.vps; i++)
		pending_interrupts(_metadata, world->guest.vp[i].fd, traces->interrupts[i]);
	for (i = 0; i < ARRAY_SIZE(traces->ports); i++)
		plain_port_stats(world->partition, i, &traces->ports[i]);
	for (i = 0; i < ARRAY_SIZE(traces->host_ports); i++)
		plain_port_stats(world->host, i, &traces->host_ports[i]);
	/* That it was refused is no trace. */
	for (i = 0; i < ARRAY_SIZE(traces->ports) + ARRAY_SIZE(traces->host_ports); i++) {
		stats = i < ARRAY_SIZE(traces->ports) ?
			&traces->ports[i] : &traces->host_ports[i - ARRAY_SIZE(traces->ports)];
		stats->refused_port = 0;
		stats->refused_vp = 0;
		stats->refused_synic = 0;
		stats->refused_buffers = 0;
	}
	traces->events = plain_poll(world->endpoint, POLLIN, 0);
}

/* Fill the input block at @block: a good one, for the caller to spoil. */
static struct input *good_input(void *block, __u32 connection_id)
{
	struct input *input = block;
	unsigned int i;

	input->connection_id = connection_id;
	input->reserved = 0;
	input->message_type = 0x1234567;
	input->payload_size = 8;
	for (i = 0; i < sizeof(input->payload); i++)
		input->payload[i] = 0x80 + i;
	return input;
}

static struct input *input_for(struct world *world, __u32 connection_id)
{
	return good_input(world->guest.memory + INPUT, connection_id);
}

#define POST(world)	hypercall(&(world)->guest, CALL_POST_MESSAGE, INPUT, 0)

/* The call has just been made: it must have got @status and nothing else. */
static void check_status(struct __test_metadata *_metadata, struct world *world,
			 int outcome, __u64 status)
{
	ASSERT_EQ(DONE, outcome);
	ASSERT_EQ(status, result_of(&world->guest));
	ASSERT_STREQ("", changed_register(&world->guest, true));
	ASSERT_EQ(STACK, world->guest.vp[0].after.rsp);
}

/* Make the call that is to be accepted. */
static void accepted(struct __test_metadata *_metadata, struct world *world)
{
	check_status(_metadata, world, POST(world), HV_STATUS_SUCCESS);
}

/*
 * Make a call that is to be refused: nothing is queued, no slot touched, no
 * interrupt raised, now or when the VPs next run.
 */
static void call_refused(struct __test_metadata *_metadata, struct world *world,
			 __u64 status, __u64 control, __u64 input)
{
	struct traces before, after;
	unsigned int i;

	take_traces(_metadata, world, &before);
	check_status(_metadata, world, hypercall(&world->guest, control, input, 0), status);
	for (i = 0; i < world->guest.vps; i++)
		ASSERT_EQ(DONE, enter_vp(&world->guest, i));
	take_traces(_metadata, world, &after);
	ASSERT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

static void refused(struct __test_metadata *_metadata, struct world *world, __u64 status)
{
	call_refused(_metadata, world, status, CALL_POST_MESSAGE, INPUT);
}

/* The only interrupt that waits is @vector; -1 for none. */
static void check_interrupt(struct __test_metadata *_metadata, int vcpu, int vector)
{
	__u32 irr[8], expected[8] = {};

	if (vector >= 0)
		expected[vector / 32] = 1U << vector % 32;
	pending_interrupts(_metadata, vcpu, irr);
	EXPECT_EQ(0, memcmp(irr, expected, sizeof(irr)));
}

/* Slot @sint of VP @vp holds just the message of @input, sent by port @port. */
static void check_slot(struct __test_metadata *_metadata, struct world *world,
		       unsigned int vp, unsigned int sint, __u64 port,
		       const struct input *input, __u8 flags)
{
	const struct slot *slot = slot_of(&world->guest, vp, sint);
	unsigned int i;

	ASSERT_EQ(input->message_type, slot->type);
	EXPECT_EQ(input->payload_size, slot->payload_size);
	EXPECT_EQ(flags, slot->flags);
	EXPECT_EQ(0, slot->reserved);
	EXPECT_EQ(port, slot->sender);
	EXPECT_EQ(0, memcmp(input->payload, slot->payload, input->payload_size));
	for (i = input->payload_size; i < sizeof(slot->payload); i++)
		ASSERT_EQ(0xcc, slot->payload[i]);
}

/* The guest takes the message out of a slot, and tells so if asked to. */
static void consume(struct __test_metadata *_metadata, struct world *world,
		    unsigned int vp, unsigned int sint)
{
	struct slot *slot = slot_of(&world->guest, vp, sint);
	const bool pending = slot->flags & MESSAGE_PENDING;

	memset(slot, 0xcc, sizeof(*slot));
	slot->type = 0;
	if (pending)
		ASSERT_EQ(DONE, guest_wrmsr(&world->guest, vp, HV_X64_MSR_EOM, 0));
}

/* --- callers that may post --- */

FIXTURE(caller)
{
	struct world world;
};

FIXTURE_VARIANT(caller)
{
	enum mode mode;
};

FIXTURE_VARIANT_ADD(caller, protected_16)
{
	.mode = PROTECTED_16,
};

FIXTURE_VARIANT_ADD(caller, protected_32)
{
	.mode = PROTECTED_32,
};

FIXTURE_VARIANT_ADD(caller, compatibility)
{
	.mode = COMPATIBILITY,
};

FIXTURE_VARIANT_ADD(caller, long_64)
{
	.mode = LONG_64,
};

FIXTURE_SETUP(caller)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
	};

	make_world(_metadata, &self->world, &config, 0);
}

FIXTURE_TEARDOWN(caller)
{
	leave_world(&self->world);
}

TEST_F(caller, to_own_slot)
{
	struct world *world = &self->world;
	struct input *input = input_for(world, TO_SELF);
	struct hv_postmsg_port_stats stats;
	__u8 sim_pages[2 * 0x1000];
	struct input before;

	memcpy(sim_pages, world->guest.memory + SIM_PAGE, sizeof(sim_pages));
	before = *input;
	accepted(_metadata, world);
	check_slot(_metadata, world, 0, 2, 2, input, 0);
	EXPECT_EQ(0, memcmp(&before, input, sizeof(before)));
	check_interrupt(_metadata, world->guest.vp[0].fd, SINT_VECTOR(0));
	check_interrupt(_metadata, world->guest.vp[1].fd, -1);
	ASSERT_EQ(0, plain_port_stats(world->partition, 2, &stats));
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(16, stats.free);
	/* And no other slot. */
	memcpy(sim_pages + 2 * 256, slot_of(&world->guest, 0, 2), 256);
	EXPECT_EQ(0, memcmp(sim_pages, world->guest.memory + SIM_PAGE, sizeof(sim_pages)));
}

TEST_F(caller, to_endpoint)
{
	struct world *world = &self->world;
	struct input *input = input_for(world, TO_ENDPOINT);
	struct hv_postmsg_message message;
	unsigned int i;

	accepted(_metadata, world);
	ASSERT_EQ(256, plain_read(world->endpoint, &message));
	EXPECT_EQ(input->message_type, message.type);
	EXPECT_EQ(8, message.payload_size);
	EXPECT_EQ(0, message.flags);
	EXPECT_EQ(0, message.reserved);
	EXPECT_EQ(1, message.port_id);
	for (i = 0; i < 240; i++)
		ASSERT_EQ(i < 8 ? 0x80 + i : 0, message.payload[i]);
	EXPECT_EQ(-EAGAIN, plain_read(world->endpoint, &message));
	check_interrupt(_metadata, world->guest.vp[0].fd, -1);
}

/* A VP that does not run keeps its queue and finds the message when it does. */
TEST_F(caller, to_other_vp)
{
	struct world *world = &self->world;
	struct input *input = input_for(world, TO_OTHER);
	struct hv_postmsg_port_stats stats;

	accepted(_metadata, world);
	ASSERT_EQ(DONE, enter_vp(&world->guest, 0));
	ASSERT_EQ(0, plain_port_stats(world->partition, 3, &stats));
	EXPECT_EQ(1, stats.queued);
	EXPECT_EQ(0, slot_of(&world->guest, 1, 3)->type);
	check_interrupt(_metadata, world->guest.vp[1].fd, -1);
	ASSERT_EQ(DONE, enter_vp(&world->guest, 1));
	check_slot(_metadata, world, 1, 3, 3, input, 0);
	check_interrupt(_metadata, world->guest.vp[1].fd, SINT_VECTOR(1));
	check_interrupt(_metadata, world->guest.vp[0].fd, -1);
	ASSERT_EQ(0, plain_port_stats(world->partition, 3, &stats));
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(1, stats.delivered);
}

TEST_F(caller, payload_sizes)
{
	const __u32 sizes[] = { 0, 1, 7, 8, 9, 239, 240 };
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	struct input *input;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		input = input_for(world, TO_SELF);
		input->payload_size = sizes[i];
		accepted(_metadata, world);
		check_slot(_metadata, world, 0, 2, 2, input, 0);
		consume(_metadata, world, 0, 2);
		input->connection_id = TO_ENDPOINT;
		accepted(_metadata, world);
		ASSERT_EQ(256, plain_read(world->endpoint, &message));
		ASSERT_EQ(sizes[i], message.payload_size);
		for (j = 0; j < 240; j++)
			ASSERT_EQ(j < sizes[i] ? input->payload[j] : 0, message.payload[j]);
	}
}

TEST_F(caller, message_types)
{
	const __u32 types[] = { 1, 2, 0x10000, 0x40000000, 0x7fffffff };
	struct world *world = &self->world;
	struct input *input;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		input = input_for(world, TO_SELF);
		input->message_type = types[i];
		accepted(_metadata, world);
		check_slot(_metadata, world, 0, 2, 2, input, 0);
		consume(_metadata, world, 0, 2);
	}
}

/* What the call leaves behind is the result and nothing else. */
TEST_F(caller, output_ignored)
{
	const __u64 outputs[] = { 1, INPUT, SIM_PAGE, HOLE, ~0ULL, 1ULL << 63 };
	struct world *world = &self->world;
	__u8 *before = malloc(MEMORY_SIZE);
	struct hv_postmsg_message message;
	unsigned int i;

	ASSERT_NE(NULL, before);
	for (i = 0; i < ARRAY_SIZE(outputs); i++) {
		input_for(world, TO_ENDPOINT);
		memcpy(before, world->guest.memory, MEMORY_SIZE);
		check_status(_metadata, world,
			     hypercall(&world->guest, CALL_POST_MESSAGE, INPUT, outputs[i]),
			     HV_STATUS_SUCCESS);
		EXPECT_EQ(256, plain_read(world->endpoint, &message));
		/* But for the stack, where the return address was. */
		memset(before + STACK - 16, 0, 16);
		memset(world->guest.memory + STACK - 16, 0, 16);
		EXPECT_EQ(0, memcmp(before, world->guest.memory, MEMORY_SIZE));
	}
	free(before);
}

/*
 * Upper halves of registers count for a 64-bit caller, and for no other: that
 * one does not see them.
 */
TEST_F(caller, upper_halves)
{
	const __u64 junk[] = { 0xffffffff00000000, 0xdeadbeef00000000, 0x0000000100000000 };
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	unsigned int i;

	if (variant->mode == LONG_64) {
		for (i = 0; i < ARRAY_SIZE(junk); i++) {
			input_for(world, TO_ENDPOINT);
			call_refused(_metadata, world, HV_STATUS_INVALID_HYPERCALL_INPUT,
				     CALL_POST_MESSAGE | junk[i], INPUT);
			call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
				     CALL_POST_MESSAGE, (INPUT | junk[i]) + HIGH_SIZE);
		}
		return;
	}
	for (i = 0; i < ARRAY_SIZE(junk); i++) {
		world->guest.junk = junk[i];
		input_for(world, TO_ENDPOINT);
		accepted(_metadata, world);
		EXPECT_EQ(256, plain_read(world->endpoint, &message));
		input_for(world, UNKNOWN);
		refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
	}
}

/* The block lies above 4 GiB; in its place below there is another one. */
TEST_F(caller, input_above_4_gib)
{
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	struct input *input;

	input_for(world, UNKNOWN);
	input = good_input(world->guest.high + INPUT, TO_ENDPOINT);
	input->message_type = 77;
	check_status(_metadata, world,
		     hypercall(&world->guest, CALL_POST_MESSAGE, HIGH_MEMORY + INPUT, 0),
		     HV_STATUS_SUCCESS);
	ASSERT_EQ(256, plain_read(world->endpoint, &message));
	EXPECT_EQ(77, message.type);
	refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
}

TEST_F(caller, input_read_only)
{
	struct world *world = &self->world;
	struct hv_postmsg_message message;

	good_input(world->guest.read_only + 0x100, TO_ENDPOINT);
	check_status(_metadata, world,
		     hypercall(&world->guest, CALL_POST_MESSAGE, READ_ONLY + 0x100, 0),
		     HV_STATUS_SUCCESS);
	EXPECT_EQ(256, plain_read(world->endpoint, &message));
}

/* The last place in a page for the block, and the first. */
TEST_F(caller, input_at_the_edges)
{
	struct world *world = &self->world;
	const __u64 places[] = { INPUT, INPUT + 0xf00, INPUT + 0x1000, INPUT + 0x1f00,
				 HIGH_MEMORY, HIGH_MEMORY + HIGH_SIZE - 0x100,
				 MEMORY_SIZE - 0x100 };
	struct hv_postmsg_message message;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		good_input(places[i] < HIGH_MEMORY ? world->guest.memory + places[i] :
			   world->guest.high + (places[i] - HIGH_MEMORY), TO_ENDPOINT);
		check_status(_metadata, world,
			     hypercall(&world->guest, CALL_POST_MESSAGE, places[i], 0),
			     HV_STATUS_SUCCESS);
		EXPECT_EQ(256, plain_read(world->endpoint, &message));
	}
}

/* Every bit of the control word but the call code's is one too many. */
TEST_F(caller, status_invalid_hypercall_input)
{
	struct world *world = &self->world;
	unsigned int bit;

	input_for(world, TO_SELF);
	for (bit = 16; bit < 64; bit++)
		call_refused(_metadata, world, HV_STATUS_INVALID_HYPERCALL_INPUT,
			     CALL_POST_MESSAGE | 1ULL << bit, INPUT);
	call_refused(_metadata, world, HV_STATUS_INVALID_HYPERCALL_INPUT,
		     CALL_POST_MESSAGE | 1ULL << 32 | 1ULL << 48, INPUT);
	call_refused(_metadata, world, HV_STATUS_INVALID_HYPERCALL_INPUT,
		     CALL_POST_MESSAGE | ~0xffffULL, INPUT);
}

TEST_F(caller, status_invalid_alignment)
{
	struct world *world = &self->world;
	const __u64 nowhere[] = { HOLE, HOLE + 0xf00, MEMORY_SIZE, READ_ONLY + 0x1000,
				  HIGH_MEMORY + HIGH_SIZE, 1ULL << 45, 1ULL << 52,
				  1ULL << 63, 0x80000000ULL << 32 | INPUT,
				  0xfffffffffffff000 };
	unsigned int i;

	/* Good blocks all over both pages. */
	for (i = 0; i < 0x2000; i += 256)
		good_input(world->guest.memory + INPUT + i, TO_SELF);
	for (i = 1; i < 8; i++)
		call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
			     CALL_POST_MESSAGE, INPUT + i);
	call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
		     CALL_POST_MESSAGE, INPUT + 0xefc);
	/* One step past the last place, and the other places across the page's end. */
	for (i = 0xf08; i < 0x1000; i += i == 0xf08 ? 0x78 : 8 * (1 + i % 5)) {
		good_input(world->guest.memory + INPUT + i, TO_SELF);
		call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
			     CALL_POST_MESSAGE, INPUT + i);
	}
	call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
		     CALL_POST_MESSAGE, INPUT + 0xff8);
	/* No memory. */
	for (i = 0; i < ARRAY_SIZE(nowhere); i++)
		call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
			     CALL_POST_MESSAGE, nowhere[i]);
}

TEST_F(caller, status_invalid_parameter)
{
	const __u32 types[] = { 0, 0x80000000, 0x80000001, 0xffffffff };
	const __u32 sizes[] = { 241, 256, 0x100f0, 0x80000000, 0xffffffff };
	struct world *world = &self->world;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		input_for(world, TO_SELF)->message_type = types[i];
		refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
		input_for(world, TO_ENDPOINT)->message_type = types[i];
		refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		input_for(world, TO_SELF)->payload_size = sizes[i];
		refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
		input_for(world, TO_ENDPOINT)->payload_size = sizes[i];
		refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	}
}

TEST_F(caller, status_invalid_connection_id)
{
	const __u32 ids[] = { 0, UNKNOWN, 0xffffff, 0xffffffff };
	struct world *world = &self->world;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		input_for(world, ids[i]);
		refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
	}
	for (i = 24; i < 32; i++) {
		input_for(world, TO_SELF | 1U << i);
		refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
	}
	input_for(world, TO_SELF);
	accepted(_metadata, world);
	consume(_metadata, world, 0, 2);
	ASSERT_EQ(0, plain_disconnect(world->partition, TO_SELF));
	refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
}

TEST_F(caller, status_port_deleted)
{
	struct world *world = &self->world;

	ASSERT_EQ(0, plain_delete_port(world->partition, 2));
	input_for(world, TO_SELF);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	ASSERT_EQ(0, plain_delete_port(world->host, 1));
	input_for(world, TO_ENDPOINT);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
}

TEST_F(caller, status_partition_inactive)
{
	struct world *world = &self->world;

	input_for(world, TO_SELF);
	ASSERT_EQ(0, plain_set_state(world->partition, HV_POSTMSG_STATE_INACTIVE));
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	/* The sender's state does not matter. */
	input_for(world, TO_ENDPOINT);
	accepted(_metadata, world);
	ASSERT_EQ(0, plain_set_state(world->host, HV_POSTMSG_STATE_INACTIVE));
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	ASSERT_EQ(0, plain_set_state(world->host, HV_POSTMSG_STATE_ACTIVE));
	ASSERT_EQ(0, plain_set_state(world->partition, HV_POSTMSG_STATE_ACTIVE));
	accepted(_metadata, world);
	input_for(world, TO_SELF);
	accepted(_metadata, world);
}

TEST_F(caller, status_receiver_gone)
{
	struct world *world = &self->world;

	input_for(world, TO_ENDPOINT);
	close(world->endpoint);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	close(world->host);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	world->endpoint = -1;
	world->host = -1;
}

TEST_F(caller, status_event_port)
{
	struct world *world = &self->world;

	ASSERT_EQ(0, plain_vp_port(world->partition, 4, HV_POSTMSG_PORT_EVENT, 0, 2));
	ASSERT_EQ(0, plain_link(world->partition, 4, world->partition, 4));
	input_for(world, 4);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
}

/* A VP that was never there, one that comes, and one whose index moves away. */
TEST_F(caller, status_invalid_vp_index)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
	};
	struct world *world = &self->world;
	struct hv_postmsg_port_stats stats;

	ASSERT_EQ(0, plain_vp_port(world->partition, 4, HV_POSTMSG_PORT_MESSAGE, 2, 3));
	ASSERT_EQ(0, plain_link(world->partition, 4, world->partition, 4));
	ASSERT_EQ(0, plain_vp_port(world->partition, 5, HV_POSTMSG_PORT_MESSAGE,
				   0x80000000, 3));
	ASSERT_EQ(0, plain_link(world->partition, 5, world->partition, 5));
	input_for(world, 5);
	refused(_metadata, world, HV_STATUS_INVALID_VP_INDEX);
	input_for(world, 4);
	refused(_metadata, world, HV_STATUS_INVALID_VP_INDEX);
	ASSERT_EQ(0, plain_port_stats(world->partition, 4, &stats));
	EXPECT_EQ(1, stats.refused_vp);
	EXPECT_EQ(0, stats.refused_synic);

	add_vp(_metadata, &world->guest, &config);
	refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
	enable_synic(_metadata, &world->guest, 2);
	accepted(_metadata, world);
	ASSERT_EQ(DONE, enter_vp(&world->guest, 2));
	check_slot(_metadata, world, 2, 3, 4, input_for(world, 4), 0);

	ASSERT_EQ(0, set_msr(world->guest.vp[2].fd, HV_X64_MSR_VP_INDEX, 7));
	ASSERT_EQ(7, get_msr(world->guest.vp[2].fd, HV_X64_MSR_VP_INDEX));
	input_for(world, 4);
	refused(_metadata, world, HV_STATUS_INVALID_VP_INDEX);
	consume(_metadata, world, 2, 3);
	ASSERT_EQ(0, plain_vp_port(world->partition, 6, HV_POSTMSG_PORT_MESSAGE, 7, 3));
	ASSERT_EQ(0, plain_link(world->partition, 6, world->partition, 6));
	input_for(world, 6);
	accepted(_metadata, world);
	ASSERT_EQ(DONE, enter_vp(&world->guest, 2));
	check_slot(_metadata, world, 2, 3, 6, input_for(world, 6), 0);
}

/* The target's SynIC or its SIM page is disabled. */
TEST_F(caller, status_invalid_synic_state)
{
	struct world *world = &self->world;
	struct hv_postmsg_port_stats stats;
	unsigned int vp;

	for (vp = 0; vp < 2; vp++) {
		const int fd = world->guest.vp[vp].fd;

		input_for(world, vp ? TO_OTHER : TO_SELF);
		ASSERT_EQ(0, set_msr(fd, HV_X64_MSR_SCONTROL, 0));
		refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
		ASSERT_EQ(0, set_msr(fd, HV_X64_MSR_SCONTROL, 1));
		ASSERT_EQ(0, set_msr(fd, HV_X64_MSR_SIMP, SIM_PAGE + 0x1000 * vp));
		refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
		ASSERT_EQ(0, set_msr(fd, HV_X64_MSR_SCONTROL, 0));
		refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
		ASSERT_EQ(0, plain_port_stats(world->partition, 2 + vp, &stats));
		EXPECT_EQ(3, stats.refused_synic);
		EXPECT_EQ(0, stats.refused_vp);
		enable_synic(_metadata, &world->guest, vp);
		accepted(_metadata, world);
		ASSERT_EQ(DONE, enter_vp(&world->guest, vp));
		check_slot(_metadata, world, vp, 2 + vp, 2 + vp,
			   input_for(world, vp ? TO_OTHER : TO_SELF), 0);
		consume(_metadata, world, vp, 2 + vp);
		clear_interrupts(_metadata, fd);
	}
}

/* A VP whose SynIC was never set up by the VMM. */
TEST_F(caller, status_synic_never_active)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
		.no_synic = true,
	};
	struct world *world = &self->world;

	add_vp(_metadata, &world->guest, &config);
	ASSERT_EQ(0, plain_vp_port(world->partition, 4, HV_POSTMSG_PORT_MESSAGE, 2, 3));
	ASSERT_EQ(0, plain_link(world->partition, 4, world->partition, 4));
	input_for(world, 4);
	refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
}

TEST_F(caller, status_any_vp)
{
	struct world *world = &self->world;
	const int empty_vm = plain_new_vm();
	const int empty = plain_partition(world->device, 0, empty_vm);
	struct input *input;

	/* No VP at all. */
	ASSERT_LE(0, empty);
	ASSERT_EQ(0, plain_vp_port(empty, 1, HV_POSTMSG_PORT_MESSAGE, HV_POSTMSG_ANY_VP, 1));
	ASSERT_EQ(0, plain_link(world->partition, 5, empty, 1));
	input_for(world, 5);
	refused(_metadata, world, HV_STATUS_INVALID_VP_INDEX);
	close(empty);
	close(empty_vm);

	/* Two, but no SynIC. */
	ASSERT_EQ(0, plain_vp_port(world->partition, 4, HV_POSTMSG_PORT_MESSAGE,
				   HV_POSTMSG_ANY_VP, 1));
	ASSERT_EQ(0, plain_link(world->partition, 4, world->partition, 4));
	input = input_for(world, 4);
	ASSERT_EQ(0, set_msr(world->guest.vp[0].fd, HV_X64_MSR_SCONTROL, 0));
	ASSERT_EQ(0, set_msr(world->guest.vp[1].fd, HV_X64_MSR_SIMP, 0));
	refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);

	/* One. */
	enable_synic(_metadata, &world->guest, 1);
	accepted(_metadata, world);
	ASSERT_EQ(DONE, enter_vp(&world->guest, 0));
	ASSERT_EQ(DONE, enter_vp(&world->guest, 1));
	check_slot(_metadata, world, 1, 1, 4, input, 0);
	EXPECT_EQ(0, slot_of(&world->guest, 0, 1)->type);
}

/* One in the slot, 16 queued, no more; and in their order out again. */
TEST_F(caller, status_insufficient_buffers)
{
	struct world *world = &self->world;
	struct hv_postmsg_port_stats stats;
	struct input *input;
	unsigned int i;

	for (i = 0; i < 17; i++) {
		input = input_for(world, TO_SELF);
		input->message_type = 100 + i;
		accepted(_metadata, world);
	}
	/* The first got its MessagePending when the second came. */
	EXPECT_EQ(100, slot_of(&world->guest, 0, 2)->type);
	EXPECT_EQ(MESSAGE_PENDING, slot_of(&world->guest, 0, 2)->flags);
	input->message_type = 117;
	refused(_metadata, world, HV_STATUS_INSUFFICIENT_BUFFERS);
	ASSERT_EQ(0, plain_port_stats(world->partition, 2, &stats));
	EXPECT_EQ(17, stats.posted);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(16, stats.queued);
	EXPECT_EQ(0, stats.free);
	EXPECT_EQ(1, stats.refused_buffers);

	consume(_metadata, world, 0, 2);
	accepted(_metadata, world);
	refused(_metadata, world, HV_STATUS_INSUFFICIENT_BUFFERS);
	for (i = 1; i < 18; i++) {
		input->message_type = 100 + i;
		check_slot(_metadata, world, 0, 2, 2, input, i < 17 ? MESSAGE_PENDING : 0);
		consume(_metadata, world, 0, 2);
	}
	EXPECT_EQ(0, slot_of(&world->guest, 0, 2)->type);
	ASSERT_EQ(0, plain_port_stats(world->partition, 2, &stats));
	EXPECT_EQ(18, stats.delivered);
	EXPECT_EQ(16, stats.free);
	EXPECT_EQ(16, stats.high_water);
}

TEST_F(caller, status_insufficient_buffers_of_endpoint)
{
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		input_for(world, TO_ENDPOINT)->message_type = 100 + i;
		accepted(_metadata, world);
	}
	input_for(world, TO_ENDPOINT)->message_type = 116;
	refused(_metadata, world, HV_STATUS_INSUFFICIENT_BUFFERS);
	ASSERT_EQ(256, plain_read(world->endpoint, &message));
	EXPECT_EQ(100, message.type);
	accepted(_metadata, world);
	refused(_metadata, world, HV_STATUS_INSUFFICIENT_BUFFERS);
	for (i = 101; i < 117; i++) {
		ASSERT_EQ(256, plain_read(world->endpoint, &message));
		EXPECT_EQ(i, message.type);
	}
}

/* A masked SINT gets its message, without the interrupt. */
TEST_F(caller, masked_sint)
{
	struct world *world = &self->world;
	struct input *input = input_for(world, TO_SELF);

	ASSERT_EQ(0, set_msr(world->guest.vp[0].fd, HV_X64_MSR_SINT0 + 2,
			     SINT_VECTOR(0) | SINT_MASKED));
	accepted(_metadata, world);
	check_slot(_metadata, world, 0, 2, 2, input, 0);
	check_interrupt(_metadata, world->guest.vp[0].fd, -1);
}

/* The word at offset 4 is ignored, by default. */
TEST_F(caller, reserved_word)
{
	struct world *world = &self->world;
	struct hv_postmsg_message message;

	input_for(world, TO_ENDPOINT)->reserved = 0xffffffff;
	accepted(_metadata, world);
	EXPECT_EQ(256, plain_read(world->endpoint, &message));
	EXPECT_EQ(1, message.port_id);
}

TEST_F(caller, reserved_word_strict)
{
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	unsigned int bit;

	close(world->partition);
	attach_guest(_metadata, world, HV_POSTMSG_PARTITION_STRICT_RESERVED);
	for (bit = 0; bit < 32; bit++) {
		input_for(world, TO_ENDPOINT)->reserved = 1U << bit;
		refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	}
	input_for(world, TO_ENDPOINT);
	accepted(_metadata, world);
	EXPECT_EQ(256, plain_read(world->endpoint, &message));
}

/* Of two faults the earlier check's status is told. */
TEST_F(caller, order_of_checks)
{
	struct world *world = &self->world;
	struct input *input;
	unsigned int i;

	/* Control word before address. */
	input_for(world, TO_SELF);
	call_refused(_metadata, world, HV_STATUS_INVALID_HYPERCALL_INPUT,
		     CALL_POST_MESSAGE | CALL_FAST, INPUT + 1);
	/* Address before what is in the block. */
	good_input(world->guest.memory + INPUT + 1, UNKNOWN)->message_type = 0;
	call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT,
		     CALL_POST_MESSAGE, INPUT + 1);
	/* Type and size before the connection. */
	input_for(world, UNKNOWN)->message_type = 0;
	refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	input_for(world, UNKNOWN)->payload_size = 241;
	refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	/* Port before VP. */
	ASSERT_EQ(0, plain_vp_port(world->partition, 4, HV_POSTMSG_PORT_EVENT, 9, 1));
	ASSERT_EQ(0, plain_link(world->partition, 4, world->partition, 4));
	input_for(world, 4);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	/* VP before buffers. */
	input = input_for(world, TO_OTHER);
	for (i = 0; i < 16; i++)
		accepted(_metadata, world);
	check_status(_metadata, world, POST(world), HV_STATUS_INSUFFICIENT_BUFFERS);
	ASSERT_EQ(0, set_msr(world->guest.vp[1].fd, HV_X64_MSR_SCONTROL, 0));
	refused(_metadata, world, HV_STATUS_INVALID_SYNIC_STATE);
	/* Port before buffers. */
	ASSERT_EQ(0, set_msr(world->guest.vp[1].fd, HV_X64_MSR_SCONTROL, 1));
	ASSERT_EQ(0, plain_set_state(world->partition, HV_POSTMSG_STATE_INACTIVE));
	check_status(_metadata, world, POST(world), HV_STATUS_INVALID_PORT_ID);
	/* And everything before the connection is still looked at. */
	input->message_type = 0;
	check_status(_metadata, world, POST(world), HV_STATUS_INVALID_PARAMETER);
}

/* --- the VMM keeps what is its own --- */

/* The VMM gets the call that is loaded, and the guest the VMM's answer. */
static void loaded_handled_by_vmm(struct __test_metadata *_metadata, struct world *world,
				  __u64 control, __u64 input, __u64 answer)
{
	struct kvm_run *run = world->guest.vp[0].run;

	ASSERT_EQ(USER_EXIT, start_vp(&world->guest, 0, CODE_CALL));
	ASSERT_EQ(KVM_EXIT_HYPERV_HCALL, run->hyperv.type);
	EXPECT_EQ(control, run->hyperv.u.hcall.input);
	EXPECT_EQ(input, run->hyperv.u.hcall.params[0]);
	EXPECT_EQ(0x9abc, run->hyperv.u.hcall.params[1]);
	run->hyperv.u.hcall.result = answer;
	check_status(_metadata, world, run_vp(&world->guest, 0), answer);
}

static void handled_by_vmm(struct __test_metadata *_metadata, struct world *world,
			   __u64 control, __u64 answer)
{
	load_call(&world->guest, control, INPUT, 0x9abc);
	loaded_handled_by_vmm(_metadata, world, control, INPUT, answer);
}

TEST_F(caller, not_attached)
{
	struct world *world = &self->world;
	unsigned int bit;

	/* Nor attached any more. */
	input_for(world, TO_SELF);
	accepted(_metadata, world);
	close(world->partition);
	world->partition = -1;
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE, 0x1c);
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE, 0);
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE | CALL_FAST, 2);
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE, 0x100000013ULL);
	/* What KVM refuses it refuses without us as well. */
	for (bit = 17; bit < 64; bit++)
		check_status(_metadata, world,
			     hypercall(&world->guest, CALL_POST_MESSAGE | 1ULL << bit,
				       INPUT, 0),
			     HV_STATUS_INVALID_HYPERCALL_INPUT);
}

TEST_F(caller, pass_unknown)
{
	struct world *world = &self->world;
	struct hv_postmsg_partition_stats stats;
	struct hv_postmsg_message message;

	close(world->partition);
	attach_guest(_metadata, world, HV_POSTMSG_PARTITION_PASS_UNKNOWN);
	input_for(world, UNKNOWN);
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE, HV_STATUS_INVALID_CONNECTION_ID);
	handled_by_vmm(_metadata, world, CALL_POST_MESSAGE, HV_STATUS_SUCCESS);
	/* Known ones are answered here, and so is what is malformed. */
	input_for(world, TO_ENDPOINT);
	accepted(_metadata, world);
	EXPECT_EQ(256, plain_read(world->endpoint, &message));
	call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT, CALL_POST_MESSAGE,
		     INPUT + 4);
	input_for(world, UNKNOWN)->message_type = 0;
	refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	ASSERT_EQ(0, plain_delete_port(world->partition, 2));
	input_for(world, TO_SELF);
	refused(_metadata, world, HV_STATUS_INVALID_PORT_ID);
	ASSERT_EQ(0, plain_partition_stats(world->partition, &stats));
	EXPECT_EQ(2, stats.passed);
	EXPECT_EQ(0, stats.status[HV_STATUS_INVALID_CONNECTION_ID]);
	EXPECT_EQ(1, stats.status[HV_STATUS_SUCCESS]);
}

/* Without the flag the VMM sees none of it. */
TEST_F(caller, statistics)
{
	struct world *world = &self->world;
	struct hv_postmsg_partition_stats stats;

	input_for(world, TO_ENDPOINT);
	accepted(_metadata, world);
	accepted(_metadata, world);
	input_for(world, TO_SELF);
	accepted(_metadata, world);
	input_for(world, UNKNOWN);
	refused(_metadata, world, HV_STATUS_INVALID_CONNECTION_ID);
	input_for(world, TO_SELF)->message_type = 0;
	refused(_metadata, world, HV_STATUS_INVALID_PARAMETER);
	call_refused(_metadata, world, HV_STATUS_INVALID_ALIGNMENT, CALL_POST_MESSAGE,
		     INPUT + 4);
	ASSERT_EQ(0, plain_partition_stats(world->partition, &stats));
	EXPECT_EQ(3, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(1, stats.status[HV_STATUS_INVALID_CONNECTION_ID]);
	EXPECT_EQ(1, stats.status[HV_STATUS_INVALID_PARAMETER]);
	EXPECT_EQ(1, stats.status[HV_STATUS_INVALID_ALIGNMENT]);
	EXPECT_EQ(0, stats.passed);
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(1, stats.delivered);
	ASSERT_EQ(0, plain_partition_stats(world->host, &stats));
	EXPECT_EQ(2, stats.posted);
	EXPECT_EQ(2, stats.queued);
	EXPECT_EQ(0, stats.status[HV_STATUS_SUCCESS]);
}

/* Other calls are none of our business. */
TEST_F(caller, other_calls)
{
	struct world *world = &self->world;
	const __u64 unknown[] = { 0x0, 0x5b, 0x5e, 0x15c, 0x7f5c };
	struct traces before, after;
	unsigned int i;

	input_for(world, TO_SELF);
	take_traces(_metadata, world, &before);
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		check_status(_metadata, world,
			     hypercall(&world->guest, unknown[i], INPUT, 0),
			     HV_STATUS_INVALID_HYPERCALL_CODE);
	handled_by_vmm(_metadata, world, CALL_SIGNAL_EVENT | CALL_FAST, 0x12);
	take_traces(_metadata, world, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/*
 * Another call, with the code of a post where a caller of the other width has its own:
 * in RAX of a 64-bit one, in ECX of another.
 */
TEST_F(caller, code_in_the_other_register)
{
	struct world *world = &self->world;
	const __u64 control = CALL_SIGNAL_EVENT | CALL_FAST;
	struct traces before, after;

	input_for(world, TO_SELF);
	take_traces(_metadata, world, &before);
	load_call(&world->guest, control, CALL_POST_MESSAGE, 0x9abc);
	if (variant->mode == LONG_64)
		world->guest.vp[0].before.rax = CALL_POST_MESSAGE;
	loaded_handled_by_vmm(_metadata, world, control, CALL_POST_MESSAGE, 0x12);
	take_traces(_metadata, world, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/* A guest that has not told its name makes no Hyper-V calls. */
TEST_F(caller, no_guest_os_id)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
		.no_os_id = true,
	};
	struct world *world = &self->world;
	struct traces before, after;
	const int minus_enosys = -1000;

	leave_world(world);
	make_world(_metadata, world, &config, 0);
	input_for(world, TO_SELF);
	take_traces(_metadata, world, &before);
	ASSERT_EQ(DONE, POST(world));
	/* KVM's own answer to a call it does not know. */
	EXPECT_EQ((__u32)minus_enosys, (__u32)world->guest.vp[0].after.rax);
	EXPECT_EQ(DONE, enter_vp(&world->guest, 0));
	take_traces(_metadata, world, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/* --- callers without the means --- */

/* The caller's own SynIC was never set up: as KVM answers. */
TEST_F(caller, caller_without_synic)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
		.no_synic = true,
	};

	leave_world(&self->world);
	make_world(_metadata, &self->world, &config, 0);
	input_for(&self->world, TO_ENDPOINT);
	refused(_metadata, &self->world, HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* Without the privilege, where KVM enforces it and where the partition does. */
TEST_F(caller, status_access_denied)
{
	const struct {
		__u32 privileges;
		bool enforce;
		__u32 flags;
		__u64 status;
	} cases[] = {
		{ PRIVILEGE_SIGNAL, true, 0, HV_STATUS_ACCESS_DENIED },
		{ 0, true, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE, HV_STATUS_ACCESS_DENIED },
		{ ~PRIVILEGE_POST, false, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE,
		  HV_STATUS_ACCESS_DENIED },
		{ 0, false, 0, HV_STATUS_SUCCESS },
		{ PRIVILEGE_POST, true, 0, HV_STATUS_SUCCESS },
		{ PRIVILEGE_POST, false, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE,
		  HV_STATUS_SUCCESS },
	};
	struct world *world = &self->world;
	struct hv_postmsg_message message;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct guest_config config = {
			.mode = variant->mode,
			.privileges = cases[i].privileges,
			.enforce = cases[i].enforce,
		};

		leave_world(world);
		make_world(_metadata, world, &config, cases[i].flags);
		input_for(world, TO_ENDPOINT);
		if (!cases[i].status) {
			accepted(_metadata, world);
			EXPECT_EQ(256, plain_read(world->endpoint, &message));
			continue;
		}
		refused(_metadata, world, cases[i].status);
		/* It comes before anything that would tell more. */
		input_for(world, UNKNOWN);
		refused(_metadata, world, cases[i].status);
	}
}

/* --- callers that may not call at all --- */

FIXTURE(intruder)
{
	struct world world;
};

FIXTURE_VARIANT(intruder)
{
	enum mode mode;
	int privilege_level;
};

FIXTURE_VARIANT_ADD(intruder, real)
{
	.mode = REAL,
};

FIXTURE_VARIANT_ADD(intruder, virtual_8086)
{
	.mode = VIRTUAL_8086,
	.privilege_level = 3,
};

FIXTURE_VARIANT_ADD(intruder, protected_16_level_3)
{
	.mode = PROTECTED_16,
	.privilege_level = 3,
};

FIXTURE_VARIANT_ADD(intruder, protected_32_level_1)
{
	.mode = PROTECTED_32,
	.privilege_level = 1,
};

FIXTURE_VARIANT_ADD(intruder, protected_32_level_2)
{
	.mode = PROTECTED_32,
	.privilege_level = 2,
};

FIXTURE_VARIANT_ADD(intruder, protected_32_level_3)
{
	.mode = PROTECTED_32,
	.privilege_level = 3,
};

FIXTURE_VARIANT_ADD(intruder, compatibility_level_3)
{
	.mode = COMPATIBILITY,
	.privilege_level = 3,
};

FIXTURE_VARIANT_ADD(intruder, long_64_level_3)
{
	.mode = LONG_64,
	.privilege_level = 3,
};

FIXTURE_SETUP(intruder)
{
	const struct guest_config config = {
		.mode = variant->mode,
		.privilege_level = variant->privilege_level,
		.privileges = PRIVILEGE_POST | PRIVILEGE_SIGNAL,
	};

	make_world(_metadata, &self->world, &config, 0);
}

FIXTURE_TEARDOWN(intruder)
{
	leave_world(&self->world);
}

/* Where the exception says that it happened. */
static __u64 faulting_ip(const struct guest *guest)
{
	const void *stack = guest->memory + guest->vp[0].after.rsp;

	if (guest->mode == REAL)
		return *(const __u16 *)stack;
	if (is_long(guest->mode))
		return *(const __u64 *)stack;
	return *(const __u32 *)stack;
}

/* An invalid-opcode exception: no message, no status, no register changed. */
static void invalid_opcode(struct __test_metadata *_metadata, struct world *world)
{
	const __u32 connections[] = { TO_SELF, TO_ENDPOINT, TO_OTHER, UNKNOWN };
	const __u64 controls[] = { CALL_POST_MESSAGE, CALL_POST_MESSAGE | CALL_FAST, 0x7f };
	struct hv_postmsg_partition_stats stats_before, stats_after;
	const enum mode mode = world->guest.mode;
	struct traces before, after;
	unsigned int i, j;

	take_traces(_metadata, world, &before);
	ASSERT_EQ(0, plain_partition_stats(world->partition, &stats_before));
	for (i = 0; i < ARRAY_SIZE(connections); i++) {
		for (j = 0; j < ARRAY_SIZE(controls); j++) {
			input_for(world, connections[i]);
			ASSERT_EQ(FAULT + UD_VECTOR,
				  hypercall(&world->guest, controls[j], INPUT, 0));
			ASSERT_STREQ("", changed_register(&world->guest, false));
			ASSERT_EQ(HYPERCALL_PAGE, faulting_ip(&world->guest));
			/* The handler runs at level 0: back to where the caller was. */
			set_sregs(_metadata, &world->guest, world->guest.vp[0].fd);
		}
	}
	for (i = 0; i < world->guest.vps && mode != VIRTUAL_8086; i++)
		ASSERT_EQ(DONE, enter_vp(&world->guest, i));
	take_traces(_metadata, world, &after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	ASSERT_EQ(0, plain_partition_stats(world->partition, &stats_after));
	EXPECT_EQ(0, memcmp(&stats_before, &stats_after, sizeof(stats_before)));
}

TEST_F(intruder, invalid_opcode)
{
	invalid_opcode(_metadata, &self->world);
}

/* Whether it would have the privilege, and who would enforce it, is no matter. */
TEST_F(intruder, invalid_opcode_before_privilege)
{
	const struct {
		__u32 privileges;
		bool enforce;
		__u32 flags;
	} cases[] = {
		{ 0, false, 0 },
		{ 0, true, 0 },
		{ PRIVILEGE_POST, true, 0 },
		{ 0, false, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE },
		{ 0, true, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE },
		{ PRIVILEGE_POST, true, HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct guest_config config = {
			.mode = variant->mode,
			.privilege_level = variant->privilege_level,
			.privileges = cases[i].privileges,
			.enforce = cases[i].enforce,
		};

		leave_world(&self->world);
		make_world(_metadata, &self->world, &config, cases[i].flags);
		invalid_opcode(_metadata, &self->world);
	}
}

TEST_HARNESS_MAIN
