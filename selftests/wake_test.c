// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wake-up: targets that are asleep in HLT, on the way there, or running
 *
 * These want more than one CPU, and then QEMU's emulation may deliver an
 * interrupt twice, so none of them asserts an exact number of interrupts.
 */
#include <sched.h>

#include "absent_page.h"
#include "slot.h"

#include "apic.h"

/* Set when the guest is about to wait, and to stop it. */
#define DATA_WAITING	0
#define DATA_STOP	1

static uint64_t guest_wait_halted(struct hvpm_guest *guest, uint64_t sint)
{
	uint32_t seen = guest->interrupts[sint];

	guest->data[DATA_WAITING] = 1;
	hvpm_guest_halt(guest, sint, seen);
	return 0;
}

static uint64_t guest_wait_running(struct hvpm_guest *guest, uint64_t sint)
{
	uint32_t seen = guest->interrupts[sint];

	guest->data[DATA_WAITING] = 1;
	while (guest->interrupts[sint] == seen)
		;
	return 0;
}

/* Have the VP run a function in a thread of its own, and wait for it to begin. */
static void start_function(struct hvpm_vp *vp,
			   uint64_t (*function)(struct hvpm_guest *guest,
						uint64_t argument),
			   uint64_t argument)
{
	vp->guest->data[DATA_WAITING] = 0;
	vp->guest->argument[0] = (uint64_t)function;
	vp->guest->argument[1] = argument;
	hvpm_vp_command_start(vp, HVPM_CALL);
	while (!vp->guest->data[DATA_WAITING])
		sched_yield();
}

/* Have the VP wait for an interrupt of the SINT. */
static void start_waiting(struct hvpm_vp *vp,
			  uint64_t (*wait)(struct hvpm_guest *guest,
					   uint64_t sint))
{
	start_function(vp, wait, SINT);
}

/* From there to HLT, and to where KVM puts the thread to sleep. */
static void let_it_sleep(void)
{
	usleep(200000);
}

TEST_F(slot, halted_target_wakes)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		start_waiting(self->vp, guest_wait_halted);
		let_it_sleep();
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

/* The same without the pause: the post races with the way to sleep. */
TEST_F(slot, halting_target_wakes)
{
	unsigned int i;

	for (i = 0; i < 200; i++) {
		start_waiting(self->vp, guest_wait_halted);
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

TEST_F(slot, running_target_is_interrupted)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		start_waiting(self->vp, guest_wait_running);
		POST(i);
		hvpm_vp_command_join(self->vp);
		EXPECT_TAKE(self->vp, SINT, i);
	}
}

/* Without an interrupt the message is still written at once. */
static uint64_t guest_wait_slot(struct hvpm_guest *guest, uint64_t sint)
{
	volatile struct hv_postmsg_message *slot = &guest->slots[sint];

	guest->data[DATA_WAITING] = 1;
	while (!slot->type)
		;
	return slot->type;
}

TEST_F(slot, running_target_sees_a_masked_message)
{
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
	start_waiting(self->vp, guest_wait_slot);
	POST(0);
	hvpm_vp_command_join(self->vp);
	EXPECT_EQ(TYPE + 0, self->vp->guest->result[0]);
	EXPECT_TAKE(self->vp, SINT, 0);
}

#define PAGE_GPA	0x20000000ULL
#define PAGE_SLOT	6

static uint64_t guest_touch(struct hvpm_guest *guest, uint64_t address)
{
	guest->data[DATA_WAITING] = 1;
	return *(volatile uint64_t *)address;
}

/*
 * KVM keeps a VP that touches a page which is not there from running until it is, if
 * the guest does not know of asynchronous page faults.  An interrupt comes all the same.
 */
TEST_F(slot, target_that_waits_for_a_page_is_interrupted)
{
	static const uint8_t zero[4096];
	uint32_t seen = self->vp->guest->interrupts[SINT];
	void *page;
	int fd;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	fd = absent_page(page);
	ASSERT_LE(0, fd);
	vm_set_user_memory_region(self->vm->vm, PAGE_SLOT, 0, PAGE_GPA, 4096,
				  page);
	virt_map(self->vm->vm, PAGE_GPA, PAGE_GPA, 1);

	start_function(self->vp, guest_touch, PAGE_GPA);
	ASSERT_TRUE(absent_page_touched(fd));
	let_it_sleep();
	POST(0);
	WAIT_FOR(self->vp->guest->interrupts[SINT] != seen, "interrupt");
	EXPECT_SLOT(self->vp, SINT, 0, false);

	ASSERT_EQ(0, absent_page_provide(fd, page, zero));
	hvpm_vp_command_join(self->vp);
	EXPECT_TAKE(self->vp, SINT, 0);
	close(fd);
}

TEST_F(slot, eom_from_another_vp_wakes)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	start_waiting(self->vp, guest_wait_halted);
	let_it_sleep();
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	hvpm_vp_command_join(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
}

TEST_F(slot, eom_from_another_vp_interrupts)
{
	POST_AND_POKE(0);
	POST_AND_POKE(1);
	start_waiting(self->vp, guest_wait_running);
	empty_slot(self->vp, SINT);
	hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
	hvpm_vp_command_join(self->vp);
	EXPECT_SLOT(self->vp, SINT, 1, false);
}

/* --- a slot that another VP looks into --- */

static uint64_t guest_run(struct hvpm_guest *guest, uint64_t unused)
{
	guest->data[DATA_WAITING] = 1;
	while (!guest->data[DATA_STOP])
		cpu_relax();
	return 0;
}

/* Take @count messages out of the slot of VP 0; how many were whole and in order. */
static uint64_t guest_take_from_first(struct hvpm_guest *guest, uint64_t count)
{
	struct hv_postmsg_message *message = &guest->message;
	struct hvpm_payload head;
	uint64_t i, whole = 0;

	guest->data[DATA_WAITING] = 1;
	for (i = 0; i < count; i++) {
		while (!hvpm_guest_take(hvpm_guests[0], SINT, message))
			cpu_relax();
		whole += message->type == TYPE + i &&
			 hvpm_payload_check(message->payload, message->type,
					    message->payload_size, &head) &&
			 head.sequence == i;
	}
	return whole;
}

/* Whoever sees the type sees the rest. */
TEST_F(slot, type_is_written_last)
{
	const unsigned int count = 300;
	unsigned int i;

	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
	start_function(self->vp, guest_run, 0);
	start_function(self->other, guest_take_from_first, count);
	for (i = 0; i < count; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(self->host, CONNECTION, TYPE + i, SIZE, 0,
				    0, i));
	hvpm_vp_command_join(self->other);
	self->vp->guest->data[DATA_STOP] = 1;
	hvpm_vp_command_join(self->vp);
	EXPECT_EQ(count, self->other->guest->result[0]);
}

/* --- with a dirty ring --- */

/* Take @count messages, asleep in between. */
static uint64_t guest_take_many(struct hvpm_guest *guest, uint64_t count)
{
	uint64_t taken = 0;
	uint32_t seen;

	for (;;) {
		seen = guest->interrupts[SINT];
		while (hvpm_guest_take(guest, SINT, &guest->message))
			taken++;
		if (taken == count)
			return taken;
		hvpm_guest_halt(guest, SINT, seen);
	}
}

/* The smallest ring that KVM makes. */
#define RING_ENTRIES	256

/**
 * struct ring_vp - a VP and its dirty ring
 *
 * @vp: the VP
 * @ring: its ring
 * @full: times KVM said that it is full
 * @pushes: entries that were harvested
 * @gfn: page of VP 0's slots
 * @slot_pushes: entries that name this page
 */
struct ring_vp {
	struct hvpm_vp *vp;
	struct kvm_dirty_gfn *ring;
	unsigned int full;
	unsigned int pushes;
	uint64_t gfn;
	unsigned int slot_pushes;
};

/* The VMM's way with a full ring: give all of it back. */
static void harvest(struct ring_vp *ring)
{
	uint32_t i;

	for (i = 0; i < RING_ENTRIES; i++) {
		if (!(ring->ring[i].flags & KVM_DIRTY_GFN_F_DIRTY))
			continue;
		ring->pushes++;
		ring->slot_pushes += ring->ring[i].offset == ring->gfn;
		ring->ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	}
	kvm_vm_reset_dirty_ring(ring->vp->vm->vm);
}

static void *run_with_ring(void *arg)
{
	struct ring_vp *ring = arg;

	while (hvpm_vp_run(ring->vp, NULL) != UCALL_SYNC) {
		TEST_ASSERT(ring->vp->vcpu->run->exit_reason ==
			    KVM_EXIT_DIRTY_RING_FULL, "exit %u",
			    ring->vp->vcpu->run->exit_reason);
		ring->full++;
		harvest(ring);
	}
	return NULL;
}

/* A VM with dirty rings and a port for VP 0, and nothing logged yet. */
static struct hvpm_vm *create_ring_vm(struct _test_data_slot *self,
				      struct ring_vp *rings, unsigned int vps)
{
	struct hvpm_vm *vm = hvpm_vm_create_empty(vps);
	unsigned int i;

	vm_enable_dirty_ring(vm->vm, RING_ENTRIES * sizeof(struct kvm_dirty_gfn));
	hvpm_vm_attach(vm, 0);
	for (i = 0; i < vps; i++) {
		rings[i] = (struct ring_vp){ .vp = hvpm_vm_add_vp(vm, NULL, true) };
		hvpm_vp_enable_synic(rings[i].vp, SINT);
		rings[i].ring = vcpu_map_dirty_ring(rings[i].vp->vcpu);
		rings[i].gfn = vm->vps[0].guest->slots_gpa >> 12;
	}
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(self->host, CONNECTION + 1, vm->partition, PORT);
	return vm;
}

/* Have the VP call @function in a thread that looks after its ring. */
static pthread_t start_with_ring(struct ring_vp *ring,
				 uint64_t (*function)(struct hvpm_guest *, uint64_t),
				 uint64_t argument)
{
	struct hvpm_guest *guest = ring->vp->guest;
	pthread_t thread;

	guest->command = HVPM_CALL;
	guest->argument[0] = (uint64_t)function;
	guest->argument[1] = argument;
	TEST_ASSERT(!pthread_create(&thread, NULL, run_with_ring, ring),
		    "pthread_create");
	return thread;
}

/* A ring never overflows: a VP that wakes for a message can exit before it. */
TEST_F(slot, dirty_ring_full)
{
	const unsigned int count = 1000;
	struct ring_vp ring;
	struct hvpm_vm *vm;
	pthread_t thread;
	unsigned int i;

	if (!kvm_check_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL))
		SKIP(return, "no dirty ring in this KVM");
	vm = create_ring_vm(self, &ring, 1);
	vm_mem_region_set_flags(vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	thread = start_with_ring(&ring, guest_take_many, count);
	for (i = 0; i < count; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(self->host, CONNECTION + 1, TYPE, SIZE, 0,
				    0, i));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(count, ring.vp->guest->result[0]);
	EXPECT_LE(2, ring.full);
	hvpm_check_port(vm->partition, PORT);
	hvpm_vm_free(vm);
}

/* Nothing but HLT, for the whole of the test. */
static uint64_t guest_sleep(struct hvpm_guest *guest, uint64_t unused)
{
	for (;;) {
		asm volatile("cli" : : : "memory");
		if (guest->data[DATA_STOP])
			break;
		/* STI takes effect after HLT: the last interrupt is not missed. */
		asm volatile("sti; hlt" : : : "memory");
	}
	asm volatile("sti; nop" : : : "memory");
	return 0;
}

/* Take @count messages out of VP 0's slot, in order, with EOM on this VP. */
static uint64_t guest_take_many_for_0(struct hvpm_guest *guest, uint64_t count)
{
	struct hv_postmsg_message *message = &guest->message;
	struct hvpm_payload head;
	uint64_t taken;

	for (taken = 0; taken < count; taken++) {
		while (!hvpm_guest_take(hvpm_guests[0], SINT, message))
			cpu_relax();
		GUEST_ASSERT(hvpm_payload_check(message->payload, message->type,
						message->payload_size, &head));
		GUEST_ASSERT_EQ(head.sequence, taken);
	}
	/* The last: the sleeper comes to see that it is over. */
	hvpm_guests[0]->data[DATA_STOP] = 1;
	x2apic_write_reg(APIC_ICR, APIC_DEST_PHYSICAL | APIC_DM_FIXED |
			 HVPM_VECTOR(0, SINT + 1));
	return taken;
}

/*
 * Its guest code does nothing but sleep, another VP empties its slot, and the
 * host posts: the sleeper's own ring fills, says so, and misses nothing.
 */
static void dirty_ring_of_a_sleeper(struct _test_data_slot *self,
				    struct __test_metadata *_metadata,
				    uint64_t sint)
{
	const unsigned int count = 2000;
	struct ring_vp rings[2];
	pthread_t threads[2];
	struct hvpm_vm *vm;
	unsigned int i;

	if (!kvm_check_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL))
		SKIP(return, "no dirty ring in this KVM");
	vm = create_ring_vm(self, rings, 2);
	hvpm_vp_wrmsr(rings[0].vp, HV_X64_MSR_SINT0 + SINT, sint);
	vm_mem_region_set_flags(vm->vm, 0, KVM_MEM_LOG_DIRTY_PAGES);
	threads[0] = start_with_ring(&rings[0], guest_sleep, 0);
	threads[1] = start_with_ring(&rings[1], guest_take_many_for_0, count);
	for (i = 0; i < count; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS,
			  hvpm_post(self->host, CONNECTION + 1, TYPE, SIZE, 0,
				    0, i));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(count, rings[1].vp->guest->result[0]);
	EXPECT_EQ(0, rings[0].vp->guest->interrupts[SINT]);
	harvest(&rings[0]);
	/* One for each message at least, and one for each MessagePending. */
	EXPECT_LE(count, rings[0].slot_pushes);
	EXPECT_GE(2 * count + 10, rings[0].slot_pushes);
	/* KVM says so while 64 entries are left. */
	EXPECT_LE(count / RING_ENTRIES, rings[0].full);
	hvpm_check_port(vm->partition, PORT);
	hvpm_vm_free(vm);
}

TEST_F(slot, dirty_ring_of_a_masked_sleeper)
{
	dirty_ring_of_a_sleeper(self, _metadata,
				HV_SYNIC_SINT_MASKED | HVPM_VECTOR(0, SINT));
}

TEST_F(slot, dirty_ring_of_a_polling_sleeper)
{
	dirty_ring_of_a_sleeper(self, _metadata,
				HV_SYNIC_SINT_POLLING | HVPM_VECTOR(0, SINT));
}

/* --- memory that comes and goes --- */

/* A region of guest memory of its own, for a SIM page. */
#define REGION_GPA	0x10000000ULL
#define REGION_SLOT	5
#define REGION_ROUNDS	400

/**
 * struct region - memory for a SIM page, taken from the VM and given back
 *
 * @vm: the VM
 * @slots: the memory
 * @rounds: times it has been taken away and given back
 * @posts: posts so far, be they refused
 */
struct region {
	struct kvm_vm *vm;
	volatile struct hv_postmsg_message *slots;
	volatile unsigned int rounds;
	volatile unsigned int posts;
};

static void set_region(struct region *region, uint64_t size)
{
	vm_set_user_memory_region(region->vm, REGION_SLOT, 0, REGION_GPA, size,
				  (void *)region->slots);
}

/* Each time so long that something is posted meanwhile. */
static void *take_and_give(void *arg)
{
	struct region *region = arg;
	unsigned int posts;

	for (; region->rounds < fewer(REGION_ROUNDS); region->rounds++) {
		set_region(region, 0);
		posts = region->posts;
		while (region->posts == posts)
			sched_yield();
		set_region(region, 4096);
		posts = region->posts;
		while (region->posts == posts)
			sched_yield();
	}
	return NULL;
}

/* The host takes what is in the slot, as it keeps the memory all the time. */
static bool take_from_region(struct region *region, uint64_t sequence,
			     bool *pending)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head;

	if (!region->slots[SINT].type)
		return false;
	message = *(struct hv_postmsg_message *)&region->slots[SINT];
	TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
				       message.payload_size, &head),
		    "message %lu corrupt", sequence);
	TEST_ASSERT(head.sequence == sequence, "message %lu, not %lu",
		    head.sequence, sequence);
	region->slots[SINT].type = 0;
	__sync_synchronize();
	*pending = region->slots[SINT].flags & HV_MESSAGE_FLAG_PENDING;
	return true;
}

TEST_F(slot, sim_page_comes_and_goes)
{
	struct region region = { .vm = self->vm->vm };
	struct hv_postmsg_partition_stats stats;
	unsigned int posted = 0, taken = 0, triggers = 0, stuck = 0;
	pthread_t thread;
	bool pending;

	region.slots = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, region.slots);
	set_region(&region, 4096);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP, REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	self->vp->guest->data[DATA_STOP] = 0;
	self->vp->guest->argument[0] = (uint64_t)guest_sleep;
	hvpm_vp_command_start(self->vp, HVPM_CALL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, take_and_give, &region));

	while (region.rounds < fewer(REGION_ROUNDS)) {
		if (!post_to(self, CONNECTION, posted)) {
			posted++;
			triggers++;
		}
		region.posts++;
		if (take_from_region(&region, taken, &pending)) {
			taken++;
			if (!pending)
				continue;
		} else if (posted - taken < 16 || ++stuck % 256) {
			continue;
		}
		/* Also for what could not be delivered while it was away. */
		hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
		triggers++;
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* It is there for good: the next trigger brings the rest. */
	while (taken < posted) {
		hvpm_vp_wrmsr(self->other, HV_X64_MSR_EOM, 0);
		triggers++;
		WAIT_FOR(region.slots[SINT].type, "next message");
		ASSERT_TRUE(take_from_region(&region, taken, &pending));
		taken++;
	}
	EXPECT_QUEUED(0);
	hvpm_partition_stats(self->partition, &stats);
	EXPECT_EQ(taken, stats.delivered);
	/* It was away, and it was not tried without a reason, of which EOI is one. */
	triggers += self->vp->guest->interrupts[SINT];
	EXPECT_LE(1, stats.faults);
	EXPECT_GE(triggers, stats.faults);
	printf("# %u messages, %llu faults, %u triggers\n", taken, stats.faults,
	       triggers);

	self->vp->guest->data[DATA_STOP] = 1;
	POST(taken);
	hvpm_vp_command_join(self->vp);
}

TEST_HARNESS_MAIN
