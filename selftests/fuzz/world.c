// SPDX-License-Identifier: GPL-2.0-only
/*
 * The world: running an input, and comparing what can be seen.
 */
#include <stdio.h>

#include "world.h"

struct world world;

void world_fail(const char *file, int line, const char *what, long long got,
		long long wanted)
{
	fprintf(stderr, "%s:%d: %s: the module has %lld, the model %lld\n",
		file, line, what, got, wanted);
	abort();
}

/* --- choosing --- */

int world_pick(enum file_kind kind, uint8_t number)
{
	unsigned int count = 0, fd;

	if (number >= 0xf4 && number < 0xfa) {
		kind = number - 0xf4;
		number = 0;
	}
	for (fd = 0; fd < WORLD_FILES; fd++)
		count += world.file[fd].kind == kind;
	if (!count || kind == FILE_NONE)
		return -1;
	number %= count;
	for (fd = 0; fd < WORLD_FILES; fd++)
		if (world.file[fd].kind == kind && !number--)
			return fd;
	return -1;
}

struct model_partition *world_attached(const struct world_vm *vm)
{
	if (vm->partition && !vm->partition->dead)
		return vm->partition;
	return NULL;
}

uint32_t world_id(uint32_t number)
{
	switch (number & 0xff) {
	case 0xf0:
		return 0;
	case 0xf1:
		return MODEL_ID_MAX;
	case 0xf2:
		return MODEL_ID_MAX + 1;
	case 0xf3:
		return 0x01000000 | (1 + (number >> 8) % 8);
	case 0xf4:
		return 0x80000000 | (1 + (number >> 8) % 8);
	case 0xf5:
		return 0xffffffff;
	case 0xf6:
		return number >> 8;
	case 0xf7:
		return number;
	default:
		return 1 + number % 8;
	}
}

void world_payload(uint8_t *payload, uint32_t seed)
{
	uint64_t word = 0x9e3779b97f4a7c15ull * (seed + 1);
	unsigned int i;

	for (i = 0; i < MODEL_PAYLOAD_MAX; i += sizeof(word)) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(payload + i, &word, sizeof(word));
	}
}

/* --- the model's side of things --- */

void world_update_vps(struct world_vm *vm)
{
	unsigned int i, timer;

	if (!world_attached(vm))
		return;
	for (i = 0; i < vm->vcpus; i++) {
		struct world_vcpu *vcpu = &vm->vcpu[i];
		uint64_t page = vcpu->simp / CORE_PAGE_BYTES;
		struct model_vp *vp = vcpu->vp;

		vp->index = vcpu->index;
		vp->enabled = vcpu->scontrol & 1 && vcpu->simp & 1;
		memcpy(vp->sint, vcpu->sint, sizeof(vp->sint));
		vp->timers = 0;
		for (timer = 0; timer < WORLD_TIMERS; timer++)
			if (vcpu->timer[timer])
				vp->timers |= 1u << (vcpu->timer[timer] - 1);
		vp->reachable = page < CORE_PAGES &&
				vm->access[page] <= CORE_READ_ONLY;
		vp->writable = page < CORE_PAGES &&
			       vm->access[page] == CORE_READ_WRITE;
		if (page < CORE_PAGES)
			vp->slot = (struct model_content *)vm->memory[page];
	}
}

const struct model_message *world_newest(void)
{
	struct model_message *message = world.model.messages;

	while (message && message->next)
		message = message->next;
	return message;
}

void world_posted(const struct model_message *before)
{
	const struct model_message *newest = world_newest();
	unsigned int i, j;

	if (newest == before || !newest->vp)
		return;
	for (i = 0; i < CORE_VMS; i++)
		for (j = 0; j < world.vm[i].vcpus; j++)
			if (world.vm[i].vcpu[j].vp == newest->vp) {
				world.vm[i].vcpu[j].requested = true;
				world.vm[i].vcpu[j].marked = true;
			}
}

void world_shutdown(struct model_partition *partition)
{
	unsigned int i, j;

	if (partition->dead)
		return;
	model_shutdown(&world.model, partition);
	for (i = 0; i < CORE_VMS; i++) {
		if (world.vm[i].partition != partition)
			continue;
		world.vm[i].detaching = true;
		for (j = 0; j < world.vm[i].vcpus; j++) {
			world.vm[i].vcpu[j].vp = NULL;
			world.vm[i].vcpu[j].marked = false;
		}
	}
}

void world_run_works(void)
{
	struct model_partition *partition;
	unsigned int i;

	while (core_run_work())
		;
	for (partition = world.model.partitions; partition;
	     partition = partition->next)
		if (partition->dead)
			model_finish_shutdown(&world.model, partition);
	for (i = 0; i < CORE_VMS; i++)
		world.vm[i].detaching = false;
}

/* --- comparing --- */

static void check_vcpu(int vm, int vcpu)
{
	const struct world_vcpu *mine = &world.vm[vm].vcpu[vcpu];
	int length = -1;

	if (mine->vp && mine->vp->synic)
		length = model_queued(&world.model, mine->vp);
	expect("queue length", core_queue_length(vm, vcpu), length);
	expect("request", core_requested(vm, vcpu), mine->requested);
	expect("interrupts", memcmp(core_interrupts(vm, vcpu), mine->interrupts,
				    sizeof(mine->interrupts)) != 0, 0);
}

static void check_vm(int vm)
{
	const struct world_vm *mine = &world.vm[vm];
	unsigned int i;

	if (mine->fd < 0)
		return;
	for (i = 0; i < mine->vcpus; i++)
		check_vcpu(vm, i);
}

void world_check_memory(int vm)
{
	if (world.vm[vm].fd >= 0)
		expect("guest memory",
		       memcmp(core_memory(vm), world.vm[vm].memory,
			      sizeof(world.vm[vm].memory)) != 0, 0);
}

#define POLL_IN		0x041
#define POLL_OUT	0x104
#define POLL_HUP	0x010
#define POLL_ERR	0x008

/*
 * POLLOUT is gone behind a refusal, and comes back when there is room; before that
 * it may, as another port's room looks the same.
 */
static void check_pollout(int fd, unsigned int mask)
{
	struct world_file *file = &world.file[fd];

	if (mask == POLL_OUT) {
		file->starved = false;
		return;
	}
	expect("poll of a partition", mask, 0);
	expect("POLLOUT is missing: a post was refused", file->starved, true);
	/* Some of the room is made by workers. */
	if (!core_works())
		expect("POLLOUT is missing: still no room",
		       model_starved(&world.model, file->partition,
				     file->starved_id), true);
}

static void check_file(int fd)
{
	const struct world_file *file = &world.file[fd];
	unsigned int mask = 0;

	if (file->kind == FILE_PARTITION) {
		if (!file->partition->dead)
			check_pollout(fd, core_poll(fd));
		else
			expect("poll of a dead partition", core_poll(fd),
			       POLL_ERR | POLL_HUP);
		control_check(fd);
	} else if (file->kind == FILE_ENDPOINT) {
		if (model_held(&world.model, file->endpoint))
			mask |= POLL_IN;
		if (model_hung_up(&world.model, file->endpoint))
			mask |= POLL_HUP;
		expect("poll of an endpoint", core_poll(fd), mask);
	}
}

static void check_world(void)
{
	unsigned int i;

	for (i = 0; i < CORE_VMS; i++)
		check_vm(i);
	for (i = 0; i < WORLD_FILES; i++)
		check_file(i);
}

/* --- steps --- */

static const struct operation *choose(unsigned int number)
{
	const struct operation *operation;
	unsigned int total = 0;

	for (operation = target.operations; operation->name; operation++)
		total += operation->weight;
	number %= total;
	for (operation = target.operations; number >= operation->weight;
	     operation++)
		number -= operation->weight;
	return operation;
}

static void trace(const struct operation *operation, const struct step *step)
{
	fprintf(stderr, "%*s%s: who %u what %u mode 0x%x a 0x%x b 0x%x c 0x%x ",
		2 * world.depth, "", operation->name, step->who, step->what,
		step->mode, step->a, step->b, step->c);
	fprintf(stderr, "d 0x%llx fail 0x%x e 0x%x f 0x%x seed 0x%x\n",
		(unsigned long long)step->d, step->fail, step->e, step->f,
		step->seed);
}

static void update_all(void)
{
	unsigned int i;

	for (i = 0; i < CORE_VMS; i++)
		world_update_vps(&world.vm[i]);
}

static void run_step(void)
{
	const struct operation *operation;
	struct step step;

	memcpy(&step, world.input, sizeof(step));
	world.input += sizeof(step);
	world.left -= sizeof(step);
	operation = choose(step.op);
	if (world.trace)
		trace(operation, &step);
	update_all();
	operation->run(&step);
	check_world();
}

/* --- sleeping --- */

#define MAX_DEPTH	3

static void expect_asleep(struct sleeper *sleeper)
{
	enum model_status status = MODEL_INSUFFICIENT_BUFFERS;

	switch (sleeper->reason) {
	case SLEEP_POST:
		if (!sleeper->sleeps)
			status = model_try_post(&world.model,
						sleeper->file->partition,
						sleeper->block, true);
		if (status == MODEL_INSUFFICIENT_BUFFERS)
			status = model_try_again(&world.model,
						 sleeper->file->partition,
						 sleeper->block, true);
		expect("a poster sleeps", MODEL_INSUFFICIENT_BUFFERS, status);
		break;
	case SLEEP_READ:
		expect("a reader sleeps, messages there are", 0,
		       model_held(&world.model, sleeper->endpoint));
		expect("a reader sleeps, hung up", false,
		       model_hung_up(&world.model, sleeper->endpoint));
		break;
	case SLEEP_ATTACH:
		expect("an attach sleeps", true, sleeper->vm->detaching);
		break;
	}
	sleeper->sleeps++;
}

/* Nobody has woken it, so there must be no reason to. */
static void expect_reason(const struct sleeper *sleeper)
{
	switch (sleeper->reason) {
	case SLEEP_POST:
		expect("a poster's wake-up was lost, there is room",
		       model_starved(&world.model, sleeper->file->partition,
				     sleeper->block->connection_id), true);
		break;
	case SLEEP_READ:
		expect("a reader's wake-up was lost, messages there are",
		       model_held(&world.model, sleeper->endpoint), 0);
		expect("a reader's wake-up was lost, hung up",
		       model_hung_up(&world.model, sleeper->endpoint), false);
		break;
	case SLEEP_ATTACH:
		expect("an attach's wake-up was lost",
		       sleeper->vm->detaching, true);
		break;
	}
}

/* Somebody sleeps: the next step is somebody else's. */
static bool on_sleep(bool first)
{
	struct sleeper *sleeper = world.sleeper;

	if (first)
		expect_asleep(sleeper);
	if (!first && !core_works())
		expect_reason(sleeper);
	if (world.depth == MAX_DEPTH || world.left < sizeof(struct step)) {
		if (core_works()) {
			world_run_works();
			return true;
		}
		sleeper->signalled = true;
		return false;
	}
	world.depth++;
	core_fail_alloc(0);
	core_fail_file(false);
	run_step();
	world.sleeper = sleeper;
	world.depth--;
	control_return();
	return true;
}

void world_begin_sleep(struct sleeper *sleeper)
{
	world.sleeper = sleeper;
}

void world_end_sleep(struct sleeper *sleeper)
{
	world.sleeper = NULL;
}

/* --- an input --- */

static void end_world(void)
{
	int fd;

	for (fd = 0; fd < WORLD_FILES; fd++) {
		struct world_file *file = &world.file[fd];

		if (file->kind == FILE_NONE)
			continue;
		core_close(fd);
	}
	while (core_run_work())
		;
	core_unload();
	model_free(&world.model);
}

void world_run(const uint8_t *input, size_t size)
{
	struct step first = {};
	unsigned int i;

	memset(&world, 0, sizeof(world));
	for (i = 0; i < CORE_VMS; i++)
		world.vm[i].fd = -1;
	world.trace = getenv("FUZZ_TRACE");
	core_on_sleep = on_sleep;
	memcpy(&first, input, size < sizeof(first) ? size : sizeof(first));
	core_reset();

	core_fail_alloc(first.fail >= 0xf0 ? first.fail - 0xef : 0);
	if (core_load()) {
		expect("loading fails", core_alloc_failed(), true);
		core_fail_alloc(0);
		expect("loading", core_load(), 0);
	}
	core_fail_alloc(0);

	world.input = input;
	world.left = size;
	if (size >= sizeof(first)) {
		world.input += sizeof(first);
		world.left -= sizeof(first);
	}
	target.setup(&first);
	check_world();
	for (i = 0; i < MAX_STEPS && world.left >= sizeof(first); i++)
		run_step();
	for (i = 0; i < CORE_VMS; i++)
		world_check_memory(i);
	end_world();
}
