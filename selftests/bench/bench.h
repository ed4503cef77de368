/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench: executed instructions per call
 *
 * For the lab's --icount, where the time stamp counter, the guest's as the host's,
 * is the number of instructions that were executed.  A figure is the median over
 * BENCH_CALLS calls behind BENCH_WARM_UP others, so what happens to a few of
 * them (a tick of the clock, a page that is touched first) is not in it.
 *
 * What is counted in a guest is counted the same way in every case, from before the
 * hypercall to behind the look into the message slot, so that the difference of two
 * cases is that of the calls.
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#include "calls.h"
#include "hvpm.h"

/* What all messages are: as large as can be, to this SINT. */
#define BENCH_SINT	2
#define BENCH_TYPE	1

/* Where ports and connections have no other numbers. */
#define BENCH_PORT	7
#define BENCH_CONNECTION	7

/* A call code that there is not. */
#define BENCH_UNKNOWN_CALL	0x0fff

/* --- bench.c: which cases are wanted, and what came of them --- */

/**
 * struct bench_samples - what the calls of a case cost
 *
 * @count: calls, those for warming up included
 * @cost: what each cost
 */
struct bench_samples {
	unsigned int count;
	uint64_t cost[BENCH_ROUNDS];
};

/* Is one of these cases wanted?  The list ends with NULL. */
bool bench_wanted(const char *name, ...) __attribute__((sentinel));

void bench_add(struct bench_samples *samples, uint64_t cost);

/* The median, without what was for warming up. */
uint64_t bench_median(struct bench_samples *samples);

/* Print a case's line, if it is wanted. */
void bench_report(const char *name, uint64_t instructions);

/* Load the module, from where the command line says. */
void bench_load_module(void);

/* --- guest.c: what is counted inside a guest --- */

/**
 * struct bench_plan - what bench_guest_call() is to do
 *
 * @control: the hypercall's control word
 * @gpa: guest physical address of its input
 * @status: what it answers
 * @vary: each post goes to another connection, those of bench_connections
 */
struct bench_plan {
	uint64_t control;
	uint64_t gpa;
	uint64_t status;
	bool vary;
};

extern struct bench_plan bench_plan;
extern uint32_t bench_connections[BENCH_ROUNDS];
extern uint64_t bench_costs[BENCH_ROUNDS];

/*
 * Take an interrupt.  Until a vCPU has taken one, KVM may look for one that is
 * pending at each entry, as 6.12 does: some 90 instructions that no guest pays
 * which has booted.
 */
uint64_t bench_guest_settle(struct hvpm_guest *guest, uint64_t unused);

/*
 * Make the calls of bench_plan, interrupts off; returns how many messages came to
 * the slot.
 */
uint64_t bench_guest_call(struct hvpm_guest *guest, uint64_t unused);

/*
 * Post, take the interrupt, write EOI, empty the slot, and write EOM if something is
 * pending, which it is not.
 */
uint64_t bench_guest_interrupted(struct hvpm_guest *guest, uint64_t unused);

/*
 * Queue @depth messages behind one in the slot, then empty the slot until there is
 * none: @depth times EOM, @depth deliveries.
 */
uint64_t bench_guest_drain(struct hvpm_guest *guest, uint64_t depth);

/* Post; returns what that cost. */
uint64_t bench_guest_post_once(struct hvpm_guest *guest, uint64_t unused);

/* Data of a guest that receives. */
enum {
	BENCH_DATA_RECEIVED,
	BENCH_DATA_STOP,
};

/* Leave the guest by this port, again and again, and take what came meanwhile. */
#define BENCH_RECEIVE_PORT	0xe0
uint64_t bench_guest_receive(struct hvpm_guest *guest, uint64_t unused);

/* Sleep in HLT, take what comes, until told to stop and woken once more. */
uint64_t bench_guest_sleep(struct hvpm_guest *guest, uint64_t unused);

/* --- single.c --- */

/*
 * Have a VP make the calls of @plan.  Of its messages all must come to the slot or,
 * if it is no post that succeeds, none.
 */
void bench_count_calls(struct hvpm_vp *vp, const char *name, struct bench_plan plan);

/* Have a polling SINT. */
void bench_poll_sint(struct hvpm_vp *vp);

/* --- the cases --- */

void bench_single(void);
void bench_refused(void);
void bench_pair(void);
void bench_many(void);

#endif /* SELFTESTS_BENCH_H */
