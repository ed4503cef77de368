// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMM: two VPs that post and receive, and change their SynIC as they please
 */
#include <signal.h>

#include "node.h"
#include "processor.h"

#define LEDGER_SLOT	10

/* --- the guest --- */

/**
 * struct guest_vp - what a VP knows of itself
 *
 * @guest: it
 * @node: its VM's node
 * @receiver: its place in the ledger
 * @chance: its source of chance
 * @page: the SIM page it uses
 * @astray: rounds until it puts its SynIC in order again
 * @resets: resets that had ended when a slot was last seen empty
 */
struct guest_vp {
	struct hvpm_guest *guest;
	unsigned int node;
	struct receiver *receiver;
	uint64_t chance;
	unsigned int page;
	unsigned int astray;
	uint32_t resets[PAGES][HV_SYNIC_SINT_COUNT];
};

static struct hv_postmsg_message *slots_of(struct guest_vp *vp, unsigned int page)
{
	return (void *)ledger->nodes[vp->node].slots[vp->guest->vp][page];
}

static uint64_t simp_of(struct guest_vp *vp, unsigned int page)
{
	return (uint64_t)slots_of(vp, page) - LEDGER_ADDRESS + LEDGER_GPA;
}

static void guest_count(struct guest_vp *vp, enum churn what)
{
	__atomic_fetch_add(&ledger->nodes[vp->node].churn[what], 1,
			   __ATOMIC_RELAXED);
}

static void set_in_order(struct guest_vp *vp)
{
	unsigned int sint;

	wrmsr(HV_X64_MSR_SIMP, simp_of(vp, vp->page) | HV_SYNIC_SIMP_ENABLE);
	for (sint = FIRST_SINT; sint <= LAST_SINT; sint++)
		wrmsr(HV_X64_MSR_SINT0 + sint, HVPM_VECTOR(vp->guest->vp, sint));
	wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
	vp->astray = 0;
}

static bool take(struct guest_vp *vp, unsigned int page, unsigned int sint)
{
	volatile struct hv_postmsg_message *slot = slots_of(vp, page) + sint;
	struct hv_postmsg_message message;
	struct arrival arrival = {
		.node = vp->node,
		.index = vp->guest->vp,
		.sint = sint,
		.resets = vp->resets[page][sint],
	};
	unsigned int i;

	/*
	 * The VP's own thread alone writes slots.  So with the slot seen empty
	 * here, what it is given later is taken out of the queue later.
	 */
	vp->resets[page][sint] = vp->receiver->resets_ended;
	compiler_barrier();
	if (!slot->type)
		return false;
	compiler_barrier();
	for (i = 0; i < sizeof(message) / sizeof(uint64_t); i++)
		((uint64_t *)&message)[i] = ((volatile uint64_t *)slot)[i];
	receive(&message, &arrival);
	vp->resets[page][sint] = vp->receiver->resets_ended;
	compiler_barrier();
	slot->type = 0;
	full_barrier();
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_X64_MSR_EOM, 0);
	return true;
}

/* The page left last has what is older. */
static bool look(struct guest_vp *vp)
{
	unsigned int sint, taken = 0;

	for (sint = FIRST_SINT; sint <= LAST_SINT; sint++)
		taken += take(vp, !vp->page, sint);
	for (sint = FIRST_SINT; sint <= LAST_SINT; sint++)
		taken += take(vp, vp->page, sint);
	compiler_barrier();
	vp->receiver->passes++;
	return taken;
}

static bool slots_empty(struct guest_vp *vp)
{
	unsigned int page, sint;

	for (page = 0; page < PAGES; page++)
		for (sint = FIRST_SINT; sint <= LAST_SINT; sint++)
			if (((volatile struct hv_postmsg_message *)
			     slots_of(vp, page))[sint].type)
				return false;
	return true;
}

/* Sleep until an interrupt comes, with all in order so that one does. */
static void sleep_in_hlt(struct guest_vp *vp)
{
	vp->receiver->sleeping = 1;
	set_in_order(vp);
	asm volatile("cli" : : : "memory");
	if (slots_empty(vp)) {
		guest_count(vp, CHURN_HALT);
		asm volatile("sti; hlt" : : : "memory");
	}
	asm volatile("sti; nop" : : : "memory");
	vp->receiver->sleeping = 0;
	full_barrier();
}

static bool guest_post(struct guest_vp *vp, unsigned int port)
{
	unsigned int sender = vp->node * SENDERS + vp->guest->vp;
	struct hvpm_guest *guest = vp->guest;
	struct attempt attempt;
	uint16_t status;

	if (!attempt_begin(&attempt, sender, port))
		return false;
	status = hvpm_guest_post(guest, CONNECTION_ID(port, attempt.gen),
				 hvpm_vary_type(attempt.word),
				 hvpm_vary_size(attempt.word), sender,
				 attempt.word);
	attempt_end(&attempt, status);
	return !status;
}

static void guest_post_some(struct guest_vp *vp)
{
	unsigned int port = chance_below(&vp->chance, ALL_PORTS);
	unsigned int count = chance_below(&vp->chance, 12) + 1;

	while (count-- && guest_post(vp, port))
		;
}

static void guest_change_sint(struct guest_vp *vp)
{
	static const uint64_t flags[] = {
		HV_SYNIC_SINT_MASKED, HV_SYNIC_SINT_POLLING,
		HV_SYNIC_SINT_AUTO_EOI, 0,
	};
	unsigned int sint = FIRST_SINT + chance_below(&vp->chance,
						      LAST_SINT - FIRST_SINT + 1);

	wrmsr(HV_X64_MSR_SINT0 + sint, flags[chance_below(&vp->chance, 4)] |
				       HVPM_VECTOR(vp->guest->vp, sint));
	guest_count(vp, CHURN_SINT);
}

static void guest_change(struct guest_vp *vp)
{
	switch (chance_below(&vp->chance, 5)) {
	case 0:
		wrmsr(HV_X64_MSR_SIMP, simp_of(vp, vp->page));
		guest_count(vp, CHURN_SIMP);
		break;
	case 1:
		wrmsr(HV_X64_MSR_SCONTROL, 0);
		guest_count(vp, CHURN_SCONTROL);
		break;
	case 2:
		vp->page = !vp->page;
		wrmsr(HV_X64_MSR_SIMP,
		      simp_of(vp, vp->page) | HV_SYNIC_SIMP_ENABLE);
		guest_count(vp, CHURN_SIMP_MOVE);
		/* Before it can be moved back. */
		look(vp);
		break;
	default:
		guest_change_sint(vp);
	}
	vp->astray = chance_below(&vp->chance, 8) + 1;
}

/* Returns whether there was anything to be done. */
static bool guest_round(struct guest_vp *vp, bool quiet)
{
	bool taken;

	vp->receiver->busy = 1;
	compiler_barrier();
	taken = look(vp);
	if (vp->astray && !--vp->astray)
		set_in_order(vp);
	if (!quiet && (!ledger->lull || !chance_below(&vp->chance, 8))) {
		guest_post_some(vp);
		if (!chance_below(&vp->chance, 16))
			guest_change(vp);
	}
	compiler_barrier();
	vp->receiver->busy = 0;
	return taken;
}

static void guest_main(struct hvpm_guest *guest)
{
	struct guest_vp vp = { .guest = guest, .node = guest->data[0] };
	uint32_t phase;
	bool quiet;

	vp.receiver = &ledger->nodes[vp.node].vps[guest->vp];
	vp.chance = chance_begin(vp.node, WORKERS + 8 + guest->vp);
	hvpm_guest_init(guest);
	set_in_order(&vp);
	for (;;) {
		phase = ledger->phase;
		quiet = PHASE_KIND(phase) != PHASE_RUN;
		if (quiet)
			vp.receiver->rest = phase;
		if (PHASE_KIND(phase) >= PHASE_FROZEN)
			cpu_relax();
		else if (!guest_round(&vp, quiet) &&
			 (quiet || ledger->lull || !chance_below(&vp.chance, 4)))
			sleep_in_hlt(&vp);
	}
}

/* --- the VMM --- */

/**
 * struct host_vp - a VP as its thread knows it
 *
 * @vp: it
 * @receiver: its place in the ledger
 * @chance: the thread's source of chance
 * @changed: the MSR that the VMM has changed, or 0
 * @thread: the thread
 */
static struct host_vp {
	struct hvpm_vp *vp;
	struct receiver *receiver;
	uint64_t chance;
	uint32_t changed;
	pthread_t thread;
} host_vps[VPS];

static void host_restore(struct host_vp *vp)
{
	struct kvm_vcpu *vcpu = vp->vp->vcpu;
	uint64_t value;

	if (!vp->changed)
		return;
	value = vcpu_get_msr(vcpu, vp->changed);
	if (vp->changed == HV_X64_MSR_SIMP || vp->changed == HV_X64_MSR_SCONTROL)
		value |= HV_SYNIC_SIMP_ENABLE;
	else
		value &= ~HV_SYNIC_SINT_MASKED;
	vcpu_set_msr(vcpu, vp->changed, value);
	vp->changed = 0;
}

static void host_change(struct host_vp *vp, uint32_t msr, uint64_t set,
			uint64_t clear, enum churn what)
{
	struct kvm_vcpu *vcpu = vp->vp->vcpu;

	vcpu_set_msr(vcpu, msr, (vcpu_get_msr(vcpu, msr) | set) & ~clear);
	vp->changed = msr;
	count_churn(what);
}

/* The VP's thread was called out of the guest. */
static void between_runs(struct host_vp *vp)
{
	uint32_t sint;

	if (vp->changed) {
		host_restore(vp);
		return;
	}
	switch (chance_below(&vp->chance, 8)) {
	case 0:
		host_change(vp, HV_X64_MSR_SIMP, 0, HV_SYNIC_SIMP_ENABLE,
			    CHURN_HOST_SIMP);
		break;
	case 1:
		host_change(vp, HV_X64_MSR_SCONTROL, 0, HV_SYNIC_CONTROL_ENABLE,
			    CHURN_HOST_SCONTROL);
		break;
	case 2:
		/* One that sleeps relies on its interrupt. */
		sint = FIRST_SINT + chance_below(&vp->chance, 3);
		if (!vp->receiver->sleeping)
			host_change(vp, HV_X64_MSR_SINT0 + sint,
				    HV_SYNIC_SINT_MASKED, 0, CHURN_HOST_SINT);
		break;
	case 3 ... 4:
		nap(chance_below(&vp->chance, 30000));
		break;
	}
	count_churn(CHURN_PAUSE);
}

static bool exit_expected(struct kvm_vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_HYPERV &&
	       vcpu->run->hyperv.type == KVM_EXIT_HYPERV_SYNIC;
}

static void run_once(struct host_vp *vp)
{
	struct kvm_vcpu *vcpu = vp->vp->vcpu;

	if (__vcpu_run(vcpu) < 0) {
		if (errno == EINTR)
			between_runs(vp);
		else
			fault(FAULT_CALL, self, ALL_PORTS, 0, vp->vp->index,
			      KVM_RUN, errno);
	} else if (!exit_expected(vcpu)) {
		fault(FAULT_EXIT, self, ALL_PORTS, 0, vp->vp->index, 0,
		      vcpu->run->exit_reason);
		/* Else it would exit again at once. */
		nap(100000);
	}
}

static void *vcpu_main(void *arg)
{
	struct host_vp *vp = arg;
	uint32_t phase;

	for (;;) {
		phase = ledger->phase;
		if (PHASE_KIND(phase) >= PHASE_FROZEN && !vp->receiver->busy) {
			if (PHASE_KIND(phase) == PHASE_END)
				return NULL;
			vp->receiver->parked = phase;
			nap(1000);
			continue;
		}
		if (PHASE_KIND(phase) == PHASE_QUIET)
			host_restore(vp);
		run_once(vp);
	}
}

/* Call VPs out of their guests: by chance, or where the phase wants it. */
static void interrupt_vps(uint64_t *chance)
{
	uint32_t phase = ledger->phase;
	struct host_vp *vp;
	unsigned int i;
	bool call;

	for (i = 0; i < VPS; i++) {
		vp = &host_vps[i];
		if (PHASE_KIND(phase) >= PHASE_FROZEN)
			call = vp->receiver->parked != phase;
		else if (PHASE_KIND(phase) == PHASE_QUIET || ledger->lull)
			/* To be called out of HLT would make up for a lost wake-up. */
			call = vp->changed;
		else
			call = !chance_below(chance, 6);
		if (call)
			pthread_kill(vp->thread, INTERRUPT);
	}
}

static void join_vps(void)
{
	unsigned int i;

	for (i = 0; i < VPS; i++)
		while (pthread_tryjoin_np(host_vps[i].thread, NULL)) {
			pthread_kill(host_vps[i].thread, INTERRUPT);
			nap(1000);
		}
}

/* The ledger becomes guest memory, at the address it has here. */
static void map_ledger(struct hvpm_vm *vm)
{
	vm_set_user_memory_region(vm->vm, LEDGER_SLOT, 0, LEDGER_GPA,
				  LEDGER_SIZE, ledger);
	virt_map_level(vm->vm, LEDGER_ADDRESS, LEDGER_GPA, LEDGER_SIZE,
		       PG_LEVEL_2M);
}

static void start_vp(struct hvpm_vp *vp)
{
	struct host_vp *mine = &host_vps[vp->index];
	int ret;

	mine->vp = vp;
	mine->receiver = &own->vps[vp->index];
	mine->chance = chance_begin(self, WORKERS + 4 + vp->index);
	ret = pthread_create(&mine->thread, NULL, vcpu_main, mine);
	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
}

void vmm_main(unsigned int node)
{
	struct hvpm_vm *vm;
	uint64_t chance;
	unsigned int i;

	node_begin(node);
	chance = chance_begin(self, WORKERS + 1);
	vm = hvpm_vm_create(VPS, guest_main);
	map_ledger(vm);
	for (i = 0; i < VPS; i++)
		vm->vps[i].guest->data[0] = node;
	hvpm_vm_attach(vm, 0);
	for (i = 0; i < VPS; i++)
		start_vp(&vm->vps[i]);
	node_start(vm->partition, VPS);
	while (node_interrupt(&chance)) {
		interrupt_vps(&chance);
		nap(1000 + chance_below(&chance, 8000));
	}
	join_vps();
	close(vm->partition);
	_exit(0);
}
