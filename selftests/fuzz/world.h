/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A world: VMs, partitions and files, once in the module and once in the model.
 *
 * Each step of an input is done in both, and what the module answers must be what
 * the model says.  Behind each step all that can be seen of the module is compared
 * as well: counters, queues, slots, pending requests, poll.
 */
#ifndef _HVPM_FUZZ_WORLD_H
#define _HVPM_FUZZ_WORLD_H

#include <linux/hv_postmsg.h>

#include "core.h"
#include "model.h"

/**
 * struct step - a step as it is in an input: a record of 32 bytes
 *
 * What the numbers mean is each operation's; all that can be chosen badly is
 * mostly chosen well, from few possibilities.
 *
 * @op: the operation, an index into the target's table
 * @who: which VP or partition does it
 * @what: to which port, file, page
 * @mode: how wrong the argument is
 * @a: the first number, mostly an ID
 * @b: the second
 * @c: the third, mostly a size
 * @d: a raw word
 * @fail: which allocation fails; most values mean none. With a hypercall: whether, and
 *	from which access on, its guest's memory cannot be accessed without sleeping
 * @e: the fourth number
 * @f: the fifth
 * @seed: of a payload
 */
struct step {
	uint8_t op;
	uint8_t who;
	uint8_t what;
	uint8_t mode;
	uint32_t a;
	uint32_t b;
	uint32_t c;
	uint64_t d;
	uint8_t fail;
	uint8_t e;
	uint16_t f;
	uint32_t seed;
};

/* Longest input that is looked at. */
#define MAX_STEPS	128

/**
 * struct operation - what a step can do
 *
 * @name: its name, for a trace
 * @run: does it, in the module and in the model, and compares
 * @weight: how often it is chosen, of 256 at most for all
 */
struct operation {
	const char *name;
	void (*run)(const struct step *step);
	unsigned int weight;
};

#define OPERATION(name, weight)	{ #name, op_##name, weight }

/**
 * struct target - one of the two programs
 *
 * @name: its name
 * @counts_calls: its goal is a number of hypercalls, else one of ioctls
 * @setup: what each input begins with
 * @operations: what a step's @op chooses from; ends with a @name of NULL
 */
struct target {
	const char *name;
	bool counts_calls;
	void (*setup)(const struct step *first);
	const struct operation *operations;
};

/* Each program has one. */
extern const struct target target;

enum file_kind {
	FILE_NONE,
	FILE_PARTITION,
	FILE_PORT,
	FILE_ENDPOINT,
	FILE_VM,
	FILE_OTHER,
};

/**
 * struct world_file - a file descriptor
 *
 * @kind: what it is
 * @partition: of FILE_PARTITION
 * @port: of FILE_PORT
 * @endpoint: of FILE_ENDPOINT
 * @vm: of FILE_VM
 * @users: calls on it that sleep
 * @starved: a post of the partition that does not wait was refused: no POLLOUT
 * @starved_id: the connection it was made on
 */
struct world_file {
	enum file_kind kind;
	struct model_partition *partition;
	struct model_port *port;
	struct model_endpoint *endpoint;
	int vm;
	unsigned int users;
	bool starved;
	uint32_t starved_id;
};

#define WORLD_FILES	256
#define WORLD_TIMERS	2

/**
 * struct world_vcpu - a vCPU
 *
 * @vp: its VP in the model, while the VM is attached
 * @index: VP index
 * @active: the VMM has set up the SynIC
 * @scontrol: the register
 * @simp: the register
 * @sint: the registers
 * @enforce: the VMM has KVM enforce privileges
 * @privileged: CPUID grants PostMessages
 * @timer: timers that wait, by the SINT, plus 1
 * @requested: there is a request to look at timers and queue
 * @marked: the VP is in the bitmap of those with something queued
 * @interrupts: interrupts it got, by vector
 */
struct world_vcpu {
	struct model_vp *vp;
	uint32_t index;
	bool active;
	uint64_t scontrol;
	uint64_t simp;
	uint64_t sint[MODEL_SINTS];
	bool enforce;
	bool privileged;
	unsigned int timer[WORLD_TIMERS];
	bool requested;
	bool marked;
	uint64_t interrupts[256];
};

/**
 * struct world_vm - a VM
 *
 * @fd: its file, -1 without one
 * @irqchip: it has a local APIC in the kernel
 * @encrypted: its memory is out of reach
 * @ended: the VMM's process is gone
 * @partition: the last partition it was
 * @detaching: that is dead, and a worker has yet to let go of the VM
 * @vcpus: vCPUs in @vcpu
 * @access: of each page of guest memory
 * @vcpu: the vCPUs
 * @memory: what must be in guest memory
 */
struct world_vm {
	int fd;
	bool irqchip;
	bool encrypted;
	bool ended;
	struct model_partition *partition;
	bool detaching;
	unsigned int vcpus;
	enum core_access access[CORE_PAGES];
	struct world_vcpu vcpu[CORE_VCPUS];
	uint8_t memory[CORE_PAGES][CORE_PAGE_BYTES];
};

/* What a sleeper waits for: see on_sleep(). */
enum sleep_reason {
	SLEEP_POST,
	SLEEP_READ,
	SLEEP_ATTACH,
};

struct sleeper {
	enum sleep_reason reason;
	struct world_file *file;
	const struct model_block *block;
	struct model_endpoint *endpoint;
	struct world_vm *vm;
	unsigned int sleeps;
	bool signalled;
};

struct world {
	struct model model;
	struct world_file file[WORLD_FILES];
	struct world_vm vm[CORE_VMS];
	struct sleeper *sleeper;
	unsigned int depth;
	const uint8_t *input;
	size_t left;
	bool trace;
};

extern struct world world;

/* Fail, as the module and the model disagree. */
void world_fail(const char *file, int line, const char *what, long long got,
		long long wanted) __attribute__((noreturn));

#define expect(what, got, wanted)					\
	do {								\
		long long _got = (got), _wanted = (wanted);		\
									\
		if (_got != _wanted)					\
			world_fail(__FILE__, __LINE__, what, _got, _wanted); \
	} while (0)

/* Run an input: fails the program if the module does not do as the model. */
void world_run(const uint8_t *input, size_t size);

/* For operations: the file of a kind, mostly; -1 if there is none at all. */
int world_pick(enum file_kind kind, uint8_t number);
/* The partition that a VM is now, or NULL. */
struct model_partition *world_attached(const struct world_vm *vm);
/* An ID: mostly one of few. */
uint32_t world_id(uint32_t number);
/* Bytes of a payload. */
void world_payload(uint8_t *payload, uint32_t seed);
/* Bring the model's VPs up to date with the registers of the vCPUs. */
void world_update_vps(struct world_vm *vm);
/* Somebody has posted: @before is the newest message of before. */
void world_posted(const struct model_message *before);
const struct model_message *world_newest(void);
/* Only the way into the guest writes to its memory. */
void world_check_memory(int vm);
/* A partition dies. */
void world_shutdown(struct model_partition *partition);
void world_run_works(void);
/* Sleep in a call, if it does. */
void world_begin_sleep(struct sleeper *sleeper);
void world_end_sleep(struct sleeper *sleeper);

void world_count_call(unsigned int status);
void world_count_ioctl(const char *name, long result);
void world_count_vm(void);

/* Worlds to start from, start.c */
void world_make_vm(int vm, unsigned int vcpus, unsigned int guests,
		   uint32_t flags);
void world_make_all(uint32_t flags);

/* --- operations of guests and VMMs, guest.c --- */

void op_hypercall(const struct step *step);
void op_enter(const struct step *step);
void op_consume(const struct step *step);
void op_write_slot(const struct step *step);
void op_set_msr(const struct step *step);
void op_timer(const struct step *step);
void op_halt(const struct step *step);
void op_eoi(const struct step *step);
void op_init(const struct step *step);
void op_page_access(const struct step *step);
void op_privilege(const struct step *step);
void op_vm_create(const struct step *step);
void op_vcpu_create(const struct step *step);
void op_vcpu_activate(const struct step *step);

/* --- operations on files, control.c --- */

void op_info(const struct step *step);
void op_create_partition(const struct step *step);
void op_set_state(const struct step *step);
void op_create_port(const struct step *step);
void op_delete_port(const struct step *step);
void op_port_fd(const struct step *step);
void op_connect(const struct step *step);
void op_disconnect(const struct step *step);
void op_get_property(const struct step *step);
void op_set_property(const struct step *step);
void op_reset_vp(const struct step *step);
void op_post(const struct step *step);
void op_create_endpoint(const struct step *step);
void op_port_stats(const struct step *step);
void op_partition_stats(const struct step *step);
void op_unknown_ioctl(const struct step *step);
void op_read(const struct step *step);
void op_nonblock(const struct step *step);
void op_close(const struct step *step);
void op_end_process(const struct step *step);
void op_run_works(const struct step *step);
void op_open_other(const struct step *step);

/* A nested step is over: give user memory back to the call that sleeps. */
void control_return(void);
/* Compare a partition's counters and those of its ports with the model's. */
void control_check(int fd);

#endif /* _HVPM_FUZZ_WORLD_H */
