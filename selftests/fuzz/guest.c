// SPDX-License-Identifier: GPL-2.0-only
/*
 * What guests and their VMMs do: hypercalls, slots, MSRs, timers, the way into the
 * guest.
 */
#include "world.h"

#define MSR_VP_INDEX	0x40000002
#define MSR_SCONTROL	0x40000080
#define MSR_SIMP	0x40000083
#define MSR_EOM		0x40000084
#define MSR_SINT0	0x40000090
#define MSR_SINT15	0x4000009f

#define SINT_MASKED	0x10000ull

/* Pages of SIM pages come first, two for each vCPU. */
#define SIM_PAGES	(2 * CORE_VCPUS)

/* The VM and the vCPU that a step means; NULL if there is none. */
static struct world_vcpu *pick_vcpu(const struct step *step, int *vm, int *vcpu)
{
	struct world_vm *in;

	*vm = step->who % CORE_VMS;
	in = &world.vm[*vm];
	if (in->fd < 0 || in->ended || !in->vcpus)
		return NULL;
	*vcpu = step->who / CORE_VMS % in->vcpus;
	return &in->vcpu[*vcpu];
}

/* Mostly one that ports have. */
static unsigned int pick_sint(uint32_t number)
{
	return number & 0x30 ? 1 + number % 4 : number % MODEL_SINTS;
}

/* What must be at a guest physical address. */
static uint8_t *memory_at(struct world_vm *in, uint64_t gpa)
{
	return &in->memory[gpa / CORE_PAGE_BYTES][gpa % CORE_PAGE_BYTES];
}

/* --- hypercall --- */

static uint64_t pick_control(const struct step *step)
{
	const uint64_t call = MODEL_CALL;
	uint64_t bits = 1 + step->f;

	switch (step->mode % 64) {
	case 0:
		return call | 1 << 16;
	case 1:
		return call | (bits & 0x3ff) << 17;
	case 2:
		return call | (bits & 0xf) << 27;
	case 3:
		return call | 1ull << 31;
	case 4:
		return call | (bits & 0xfff) << 32;
	case 5:
		return call | (bits & 0xf) << 44;
	case 6:
		return call | (bits & 0xfff) << 48;
	case 7:
		return call | (bits & 0xf) << 60;
	case 8:
		return call | step->d << 16;
	case 9:
		return step->d;
	case 10:
		return call ^ bits;
	default:
		return call;
	}
}

static uint64_t pick_gpa(const struct step *step)
{
	const uint64_t page = SIM_PAGES +
			      step->what % (CORE_PAGES - SIM_PAGES);
	const uint64_t start = page * CORE_PAGE_BYTES;
	const uint64_t last = CORE_PAGE_BYTES - sizeof(struct model_block);

	switch (step->e % 64) {
	case 0:
		return start + step->f % CORE_PAGE_BYTES;
	case 1:
		return start + step->f % last / 8 * 8 + 1 + step->f % 7;
	case 2:
		return start + last;
	case 3:
		return start + last + 8;
	case 4:
		return start + last + 1 + step->f % 255;
	case 5:
		return start + CORE_PAGE_BYTES - 8;
	case 6:
		return step->f % (CORE_PAGES + 2) * CORE_PAGE_BYTES +
		       step->f % 16 * 256;
	case 7:
		return step->d;
	case 8:
		return step->d & ~7ull;
	case 9:
		return start | step->d << 32;
	default:
		return start + step->f % (last + 1) / 8 * 8;
	}
}

static uint32_t pick_type(const struct step *step)
{
	switch (step->b % 64) {
	case 0:
		return 0;
	case 1:
		return 0x80000000;
	case 2:
		return step->b | 0x80000000;
	case 3:
		return 0x7fffffff;
	case 4:
		return 0xffffffff;
	default:
		return 1 + (step->b & 0xffff);
	}
}

static uint32_t pick_size(const struct step *step)
{
	switch (step->c % 64) {
	case 0:
		return MODEL_PAYLOAD_MAX;
	case 1:
		return MODEL_PAYLOAD_MAX + 1;
	case 2:
		return step->c;
	case 3:
		return 0xffffffff;
	case 4:
		return MODEL_PAYLOAD_MAX + 1 + (step->c >> 8);
	case 5:
		return (step->c >> 6) % (MODEL_PAYLOAD_MAX + 1) + 256;
	default:
		return (step->c >> 6) % (MODEL_PAYLOAD_MAX + 1);
	}
}

static void make_block(struct model_block *block, const struct step *step)
{
	block->connection_id = world_id(step->a);
	block->reserved = step->what & 0x80 ? step->seed : 0;
	block->message_type = pick_type(step);
	block->payload_size = pick_size(step);
	world_payload(block->payload, step->seed);
}

/* The guest writes as much of a block as is in the pages for that. */
static void write_block(struct world_vm *in, int vm, uint64_t gpa,
			const struct model_block *block)
{
	const uint8_t *bytes = (const uint8_t *)block;
	unsigned int i;

	for (i = 0; i < sizeof(*block); i++) {
		uint64_t page = (gpa + i) / CORE_PAGE_BYTES;

		if (page < SIM_PAGES || page >= CORE_PAGES)
			continue;
		core_memory(vm)[gpa + i] = bytes[i];
		*memory_at(in, gpa + i) = bytes[i];
	}
}

static bool can_read(const struct world_vm *in, uint64_t page)
{
	return page < CORE_PAGES && (in->access[page] == CORE_READ_WRITE ||
				     in->access[page] == CORE_READ_ONLY);
}

/* As soon as the module has read something of a block the guest changes it. */
static void change_when_read(int vm, uint64_t gpa)
{
	const uint64_t end = CORE_PAGES * CORE_PAGE_BYTES;

	if (gpa < SIM_PAGES * CORE_PAGE_BYTES || gpa >= end)
		return;
	core_change_when_read(core_memory(vm) + gpa,
			      end - gpa < CORE_BLOCK_BYTES ? end - gpa :
							     CORE_BLOCK_BYTES);
}

/* What KVM answers without the module, or without calling it. */
static unsigned int kvm_answer(const struct model_call *call)
{
	const uint64_t reserved = 0xfull << 27 | 0xfull << 44 | 0xfull << 60;

	if (call->kvm_enforces && !call->privileged &&
	    (call->control & 0xffff) == MODEL_CALL)
		return MODEL_ACCESS_DENIED;
	if (call->control & (reserved & ~(1ull << 31)))
		return MODEL_INVALID_HYPERCALL_INPUT;
	if ((call->control & 0xffff) != MODEL_CALL)
		return 2;
	if (call->control & ~(0x1ffffull | 1ull << 31) || !call->synic)
		return MODEL_INVALID_HYPERCALL_INPUT;
	return CORE_EXIT;
}

/* The model counts by SINT, the vCPU by vector. */
static void count_interrupts(struct world_vcpu *vcpu)
{
	unsigned int sint;

	for (sint = 0; sint < MODEL_SINTS; sint++) {
		vcpu->interrupts[vcpu->sint[sint] & 0xff] +=
			vcpu->vp->interrupts[sint];
		vcpu->vp->interrupts[sint] = 0;
	}
}

void op_hypercall(const struct step *step)
{
	unsigned int status, wanted = MODEL_OTHER_CALL;
	const struct model_message *newest = world_newest();
	struct model_partition *from;
	struct model_call call = {};
	/* To nothing, or the head's first half: with all of it a buffer would be taken. */
	int accesses = step->fail % 8 == 1 ? step->fail / 8 % 2 : -1;
	struct world_vcpu *caller;
	unsigned long allocs;
	const uint8_t *copied;
	struct world_vm *in;
	int vm, vcpu;

	caller = pick_vcpu(step, &vm, &vcpu);
	if (!caller)
		return;
	in = &world.vm[vm];
	call.control = pick_control(step);
	call.gpa = pick_gpa(step);
	make_block(&call.block, step);
	write_block(in, vm, call.gpa, &call.block);
	call.synic = caller->active;
	call.kvm_enforces = caller->enforce;
	call.privileged = caller->privileged;
	call.readable = can_read(in, call.gpa / CORE_PAGE_BYTES);
	if (call.readable && call.gpa % CORE_PAGE_BYTES <= 4096 - 256)
		memcpy(&call.block, memory_at(in, call.gpa), 256);

	allocs = core_allocs();
	change_when_read(vm, call.gpa);
	core_user_accesses(accesses);
	status = core_hypercall(vm, vcpu, call.control, call.gpa);
	core_user_accesses(-1);
	copied = core_change_no_more();
	if (copied)
		memcpy(&call.block, copied, sizeof(call.block));
	expect("allocations by a post", core_allocs(), allocs);

	from = world_attached(in);
	if (from)
		wanted = model_hypercall(&world.model, from, &call);
	if (wanted == MODEL_OTHER_CALL)
		wanted = kvm_answer(&call);
	expect("status of a hypercall", status, wanted);
	world_count_call(status);
	if (accesses >= 0 || !caller->vp || world_newest() == newest ||
	    !model_deliver_at_once(&world.model, from, caller->vp, world_newest())) {
		world_posted(newest);
		return;
	}
	count_interrupts(caller);
	world_check_memory(vm);
}

/* --- the way into the guest, timers --- */

/* As KVM delivers a timer's message: true if the timer is done with it. */
static bool deliver_timer(struct world_vm *in, struct world_vcpu *vcpu,
			  unsigned int sint)
{
	uint64_t page = vcpu->simp / CORE_PAGE_BYTES;
	struct model_content *slot;
	bool writable;

	if (!(vcpu->simp & 1) || !can_read(in, page))
		return false;
	writable = in->access[page] == CORE_READ_WRITE;
	slot = &((struct model_content *)in->memory[page])[sint];
	if (slot->type) {
		if (writable)
			slot->flags |= MODEL_PENDING;
		return false;
	}
	if (!writable)
		return false;
	memset(slot, 0, 16 + 24);
	slot->type = MODEL_TIMER_EXPIRED;
	slot->payload_size = 24;
	if (vcpu->sint[sint] & SINT_MASKED)
		return false;
	vcpu->interrupts[vcpu->sint[sint] & 0xff]++;
	return true;
}

static void run_timers(struct world_vm *in, struct world_vcpu *vcpu)
{
	unsigned int i;

	for (i = 0; i < WORLD_TIMERS; i++)
		if (vcpu->timer[i] &&
		    deliver_timer(in, vcpu, vcpu->timer[i] - 1))
			vcpu->timer[i] = 0;
	world_update_vps(in);
}

void op_enter(const struct step *step)
{
	struct model_partition *partition;
	struct world_vcpu *entering;
	unsigned long allocs;
	struct world_vm *in;
	int vm, vcpu;

	entering = pick_vcpu(step, &vm, &vcpu);
	if (!entering)
		return;
	in = &world.vm[vm];
	allocs = core_allocs();
	core_enter(vm, vcpu);
	expect("allocations by a scan", core_allocs(), allocs);

	if (!entering->requested)
		return;
	entering->requested = false;
	partition = world_attached(in);
	if (!partition || !entering->marked) {
		run_timers(in, entering);
		return;
	}
	model_scan_behind(&world.model, partition, entering->vp);
	run_timers(in, entering);
	model_scan(&world.model, partition, entering->vp);
	count_interrupts(entering);
	entering->marked = model_queued(&world.model, entering->vp);
	world_check_memory(vm);
}

void op_timer(const struct step *step)
{
	unsigned int timer = step->what % WORLD_TIMERS;
	unsigned int sint = pick_sint(step->b);
	struct world_vcpu *target;
	int vm, vcpu;

	target = pick_vcpu(step, &vm, &vcpu);
	if (!target)
		return;
	core_timer(vm, vcpu, timer, sint);
	target->timer[timer] = sint + 1;
	target->requested = true;
}

void op_halt(const struct step *step)
{
	bool started = step->mode & 1, no_page = step->mode & 2, awake;
	struct world_vcpu *halting;
	int vm, vcpu;

	halting = pick_vcpu(step, &vm, &vcpu);
	if (!halting)
		return;
	awake = world_attached(&world.vm[vm]) && halting->requested &&
		halting->marked;
	expect("stays awake", core_halt(vm, vcpu), awake);
	expect("goes on without a page", core_block(vm, vcpu, started, no_page),
	       awake && started && no_page);
}

void op_eoi(const struct step *step)
{
	struct world_vcpu *ending;
	int vm, vcpu;

	ending = pick_vcpu(step, &vm, &vcpu);
	if (!ending)
		return;
	core_eoi(vm, vcpu, step->b);
	if (world_attached(&world.vm[vm]) && ending->marked)
		ending->requested = true;
}

void op_init(const struct step *step)
{
	struct world_vcpu *target;
	int vm, vcpu;

	target = pick_vcpu(step, &vm, &vcpu);
	if (!target)
		return;
	core_init(vm, vcpu);
	if (world_attached(&world.vm[vm]))
		model_empty_vp(&world.model, target->vp);
}

/* --- slots --- */

static struct model_content *pick_slot(const struct step *step, int vm,
				       const struct world_vcpu *vcpu,
				       uint64_t *offset)
{
	uint64_t page = vcpu->simp / CORE_PAGE_BYTES;

	if (page >= SIM_PAGES)
		return NULL;
	*offset = page * CORE_PAGE_BYTES + pick_sint(step->b) * 256;
	return (struct model_content *)memory_at(&world.vm[vm], *offset);
}

/* EOM, on any VP: all that have something queued look at it. */
static void write_eom(int vm, int vcpu)
{
	struct world_vm *in = &world.vm[vm];
	unsigned int i;
	bool done;

	done = core_set_msr(vm, vcpu, MSR_EOM, 0, false);
	expect("EOM", done, in->vcpu[vcpu].active);
	if (!done || !world_attached(in))
		return;
	for (i = 0; i < in->vcpus; i++)
		if (in->vcpu[i].marked)
			in->vcpu[i].requested = true;
}

/* A guest takes a message and, if it is good, looks at MessagePending. */
void op_consume(const struct step *step)
{
	struct model_content *slot;
	struct world_vcpu *reader;
	uint64_t offset;
	int vm, vcpu;

	reader = pick_vcpu(step, &vm, &vcpu);
	if (!reader)
		return;
	slot = pick_slot(step, vm, reader, &offset);
	if (!slot)
		return;
	slot->type = 0;
	memset(core_memory(vm) + offset, 0, 4);
	if (slot->flags & MODEL_PENDING && step->mode % 16)
		write_eom(vm, vcpu);
}

/* A guest writes anything into a slot. */
void op_write_slot(const struct step *step)
{
	struct model_content *slot;
	struct world_vcpu *writer;
	uint64_t offset;
	int vm, vcpu;

	writer = pick_vcpu(step, &vm, &vcpu);
	if (!writer)
		return;
	slot = pick_slot(step, vm, writer, &offset);
	if (!slot)
		return;
	memcpy(slot, &step->d, sizeof(step->d));
	memcpy(core_memory(vm) + offset, &step->d, sizeof(step->d));
}

/* --- MSRs --- */

static uint64_t pick_sint_value(const struct step *step)
{
	uint64_t value = step->c & 0xff;

	if (step->e & 2)
		value |= SINT_MASKED;
	if (step->e & 4)
		value |= 1 << 17;
	if (step->e & 8)
		value |= 1 << 18;
	if (step->e & 16)
		value = step->d;
	return value;
}

/* Mostly one of the vCPU's own two pages, where no other VP's slots are. */
static uint64_t pick_simp(const struct step *step, int vcpu)
{
	uint64_t page = 2 * vcpu + step->b % 2;

	if (step->e % 32 == 2)
		page = CORE_PAGES + (step->d >> 12);
	return page * CORE_PAGE_BYTES | !!(step->e & 0x7c) |
	       (step->d & 0xffe);
}

static bool index_free(const struct world_vm *in, uint64_t index)
{
	unsigned int i;

	for (i = 0; i < in->vcpus; i++)
		if (in->vcpu[i].index == index)
			return false;
	/* The next vCPU's. */
	return index != in->vcpus;
}

/* The register, its value, and what has to be so before and is so behind it. */
static bool write_msr(struct world_vm *in, struct world_vcpu *vcpu,
		      const struct step *step, uint32_t msr, uint64_t value,
		      bool host)
{
	int vm = in - world.vm, number = vcpu - in->vcpu;
	bool done, allowed = vcpu->active || (host && !value);

	if (msr == MSR_VP_INDEX) {
		allowed = host && value < 8;
		if (allowed && !index_free(in, value))
			return false;
	} else if (msr >= MSR_SINT0 && msr <= MSR_SINT15) {
		allowed = allowed && ((value & 0xff) >= 16 || host ||
				      value & SINT_MASKED);
	} else if (msr != MSR_SCONTROL && msr != MSR_SIMP) {
		allowed = false;
	}

	core_fail_alloc(step->fail >= 0xf8 ? step->fail - 0xf7 : 0);
	done = core_set_msr(vm, number, msr, value, host);
	expect("MSR write", done, allowed);
	if (!done || msr == MSR_VP_INDEX)
		return done;
	if (!world_attached(in))
		return true;
	if (vcpu->active && !core_alloc_failed())
		vcpu->vp->synic = true;
	if (vcpu->vp->synic)
		vcpu->requested = true;
	return true;
}

void op_set_msr(const struct step *step)
{
	unsigned int sint = pick_sint(step->b);
	bool host = step->e & 1;
	struct world_vcpu *writer;
	struct world_vm *in;
	int vm, vcpu;

	writer = pick_vcpu(step, &vm, &vcpu);
	if (!writer)
		return;
	in = &world.vm[vm];
	switch (step->what % 16) {
	case 0 ... 5:
		if (write_msr(in, writer, step, MSR_SINT0 + sint,
			      pick_sint_value(step), host))
			writer->sint[sint] = pick_sint_value(step);
		break;
	case 6 ... 7:
		if (write_msr(in, writer, step, MSR_SCONTROL, step->d, host))
			writer->scontrol = step->d;
		break;
	case 8 ... 11:
		if (write_msr(in, writer, step, MSR_SIMP,
			      pick_simp(step, vcpu), host))
			writer->simp = pick_simp(step, vcpu);
		break;
	case 12 ... 13:
		write_eom(vm, vcpu);
		break;
	case 14:
		if (write_msr(in, writer, step, MSR_VP_INDEX, step->b % 10,
			      host))
			writer->index = step->b % 10;
		break;
	default:
		write_msr(in, writer, step, 0x40000081, step->d, host);
	}
	core_fail_alloc(0);
}

/* --- what the VMM does --- */

void op_page_access(const struct step *step)
{
	unsigned int page = step->what % CORE_PAGES;
	int vm = step->who % CORE_VMS, vcpu;
	const struct world_vcpu *reader;

	if (world.vm[vm].fd < 0)
		return;
	/* Mostly one that is looked at. */
	reader = pick_vcpu(step, &vm, &vcpu);
	if (reader && step->what & 0xc0 &&
	    reader->simp / CORE_PAGE_BYTES < SIM_PAGES)
		page = reader->simp / CORE_PAGE_BYTES;
	/* Mostly good, or nothing would ever arrive. */
	world.vm[vm].access[page] = step->b % 8 < 4 ? step->b % 8 :
						      CORE_READ_WRITE;
	core_page_access(vm, page, world.vm[vm].access[page]);
}

void op_privilege(const struct step *step)
{
	struct world_vcpu *target;
	int vm, vcpu;

	target = pick_vcpu(step, &vm, &vcpu);
	if (!target)
		return;
	target->enforce = step->b % 4 == 1;
	target->privileged = step->b % 8 < 6;
	core_vcpu_privilege(vm, vcpu, target->enforce, target->privileged);
}

static void forget_vm(struct world_vm *in)
{
	memset(in, 0, sizeof(*in));
	in->fd = -1;
}

void op_vm_create(const struct step *step)
{
	int vm = step->who % CORE_VMS;
	struct world_vm *in = &world.vm[vm];
	int fd;

	/* A partition may hold a VM whose VMM has closed it. */
	if (in->fd >= 0 || core_vm_exists(vm))
		return;
	forget_vm(in);
	in->irqchip = step->b % 8 != 1;
	in->encrypted = step->b % 8 == 2;
	fd = core_vm_create(vm, in->irqchip, in->encrypted);
	if (fd < 0)
		return;
	in->fd = fd;
	world.file[fd] = (struct world_file){ .kind = FILE_VM, .vm = vm };
	world_count_vm();
}

void op_vcpu_create(const struct step *step)
{
	int vm = step->who % CORE_VMS;
	struct world_vm *in = &world.vm[vm];
	struct world_vcpu *vcpu = &in->vcpu[in->vcpus];
	unsigned int sint;

	if (in->fd < 0 || in->ended || in->vcpus == CORE_VCPUS)
		return;
	core_vcpu_create(vm);
	vcpu->index = in->vcpus;
	for (sint = 0; sint < MODEL_SINTS; sint++)
		vcpu->sint[sint] = SINT_MASKED;
	vcpu->privileged = true;
	core_vcpu_privilege(vm, in->vcpus, false, true);
	in->vcpus++;
	if (world_attached(in))
		vcpu->vp = model_new_vp(in->partition, vcpu->index);
}

void op_vcpu_activate(const struct step *step)
{
	struct world_vcpu *target;
	int vm, vcpu;

	target = pick_vcpu(step, &vm, &vcpu);
	if (!target)
		return;
	core_vcpu_activate(vm, vcpu);
	target->active = true;
	target->scontrol = 1;
}
