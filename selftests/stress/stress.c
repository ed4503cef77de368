// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stress with proof: VMs and host processes post to each other while ports,
 * VPs, partitions and processes come and go; what became of each message is
 * accounted for.
 *
 *	stress SECONDS [SEED]
 *
 * This process, the coordinator, starts the others, kills some now and then, has
 * all of them come to rest from time to time, and compares what they have noted
 * with what the module has counted.  It ends with 0 if all was right.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "patience.h"

#include "account.h"
#include "node.h"

/*
 * Times of 5 ms until something is taken to hang: a lab that gets no time to run
 * does not count them.
 */
#define PATIENCE	12000

static pid_t processes[NODES];
static unsigned int kills, rests;
static uint64_t chance;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* --- nodes --- */

static void start_node(unsigned int node)
{
	pid_t parent = getpid();

	ledger->nodes[node].life++;
	fflush(stdout);
	processes[node] = fork();
	TEST_ASSERT(processes[node] >= 0, "fork: %s", strerror(errno));
	if (processes[node])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (node < VMS)
		vmm_main(node);
	else
		host_main(node);
}

/* Wait for a process's end; false if it does not come. */
static bool reap(unsigned int node, int *status)
{
	unsigned int tries;

	for (tries = 0; tries < patience(PATIENCE); tries++) {
		if (waitpid(processes[node], status, WNOHANG) > 0)
			return true;
		nap(5000);
	}
	complain("node %u does not end", node);
	return false;
}

static void kill_node(unsigned int node)
{
	int status;

	kill(processes[node], SIGKILL);
	if (!reap(node, &status))
		return;
	kills++;
	account_end(node);
	start_node(node);
}

/* Nobody ends by himself. */
static void check_alive(void)
{
	unsigned int node;
	int status;

	for (node = 0; node < NODES; node++)
		if (processes[node] &&
		    waitpid(processes[node], &status, WNOHANG) > 0) {
			complain("node %u ended: status 0x%x", node, status);
			processes[node] = 0;
		}
}

/* --- rest --- */

static bool has_worker(unsigned int node, enum worker worker)
{
	if (node >= VMS)
		return true;
	return worker != WORKER_SENDER && worker != WORKER_SENDER + 1 &&
	       worker != WORKER_READER + 1;
}

static bool worker_rests(unsigned int node, enum worker worker, uint32_t phase)
{
	bool reader = worker >= WORKER_READER && worker < WORKER_PORTS;

	if (!has_worker(node, worker) ||
	    (PHASE_KIND(phase) == PHASE_QUIET && reader))
		return true;
	return ledger->nodes[node].rest[worker] == phase;
}

static bool vp_rests(struct receiver *vp, uint32_t phase)
{
	if (PHASE_KIND(phase) == PHASE_FROZEN)
		return vp->parked == phase;
	/* One that wakes sees the phase. */
	return vp->rest == phase || vp->sleeping;
}

/* What of a node is not at rest, or NULL. */
static const char *restless(unsigned int node, uint32_t phase)
{
	static char name[32];
	enum worker worker;
	unsigned int i;

	for (worker = 0; worker < WORKERS; worker++)
		if (!worker_rests(node, worker, phase)) {
			snprintf(name, sizeof(name), "worker %u", worker);
			return name;
		}
	for (i = 0; i < VPS && node < VMS; i++)
		if (!vp_rests(&ledger->nodes[node].vps[i], phase)) {
			snprintf(name, sizeof(name), "VP %u", i);
			return name;
		}
	return NULL;
}

/* Wait until @test says NULL of each node, rather than what is wrong with it. */
static bool wait_for_all(const char *(*test)(unsigned int node, uint32_t phase),
			 const char *what)
{
	unsigned int node, tries;
	const char *wrong;

	for (node = 0; node < NODES; node++)
		for (tries = 0; (wrong = test(node, ledger->phase)); tries++) {
			check_alive();
			complain_found();
			if (complained())
				return false;
			if (tries == patience(PATIENCE)) {
				complain("node %u %s: %s", node, what, wrong);
				return false;
			}
			account_deleted();
			nap(5000);
		}
	return true;
}

static const char *not_ready(unsigned int node, uint32_t phase)
{
	return ledger->nodes[node].ready ? NULL : "it has not started";
}

static const char *not_drained(unsigned int node, uint32_t phase)
{
	if (account_queued(node))
		return "messages are queued";
	if (!account_slots_empty(node))
		return "messages are in slots";
	return NULL;
}

static bool enter(enum phase kind)
{
	ledger->phase = (ledger->phase & ~3) + 4 + kind;
	full_barrier();
	return kind == PHASE_RUN ||
	       wait_for_all(restless, "does not come to rest");
}

static void check_all(bool drained)
{
	unsigned int node;

	account_deleted();
	for (node = 0; node < NODES; node++)
		account_check(node, drained);
}

/* Nobody moves: what is queued is queued. */
static void look_frozen(uint64_t *queued, uint64_t *in_hands)
{
	unsigned int node;

	*queued = 0;
	*in_hands = 0;
	if (!enter(PHASE_FROZEN))
		return;
	check_all(false);
	for (node = 0; node < NODES; node++) {
		*queued += account_queued(node);
		*in_hands += account_in_hands(node);
	}
}

/* Nobody posts: what is queued comes, without anybody being nudged. */
static void look_drained(void)
{
	unsigned int node;

	if (!enter(PHASE_QUIET))
		return;
	if (!wait_for_all(not_drained, "never gets empty"))
		for (node = 0; node < NODES; node++)
			account_show_queued(node);
	check_all(true);
	rests++;
}

/* --- the run --- */

/* Returns how long it took. */
static double settle(void)
{
	uint64_t queued, in_hands;
	double start = now();

	if (!wait_for_all(not_ready, "does not start"))
		return 0;
	if (chance_below(&chance, 2)) {
		look_frozen(&queued, &in_hands);
	} else {
		/* The last messages come to VPs that sleep. */
		ledger->lull = true;
		nap(2000000);
	}
	if (!complained())
		look_drained();
	if (!complained())
		enter(PHASE_RUN);
	return now() - start;
}

/* One that is not ready is left alone as a rule: it would never be. */
static void kill_one(void)
{
	unsigned int node = chance_below(&chance, NODES);

	if (ledger->nodes[node].ready || !chance_below(&chance, 4))
		kill_node(node);
}

static void kill_some(void)
{
	kill_one();
	if (!chance_below(&chance, 4))
		kill_one();
}

/* Now and then from now on. */
static double in_a_while(double least, double more)
{
	return now() + least + more * chance_below(&chance, 1000) / 1000;
}

static void run(double seconds)
{
	double start, rest_at, kill_at, lull_at, shown;

	if (!wait_for_all(not_ready, "does not start"))
		return;
	start = now();
	shown = start;
	rest_at = in_a_while(5, 5);
	kill_at = in_a_while(1, 2);
	lull_at = in_a_while(1, 3);
	while (now() - start < seconds && !complained()) {
		account_deleted();
		check_alive();
		complain_found();
		if (now() > lull_at) {
			ledger->lull = !ledger->lull;
			lull_at = in_a_while(1, 3);
		}
		if (now() > kill_at && !complained()) {
			kill_some();
			kill_at = in_a_while(0.2, 4);
		}
		if (now() > rest_at && !complained()) {
			/* On a slow machine it would be all there is. */
			rest_at = in_a_while(2 * settle() + 5, 5);
		}
		if (now() > shown + 30) {
			shown = now();
			printf("%.0f s: %lu messages delivered, %u killed, %u times balanced\n",
			       shown - start, account_received(), kills, rests);
		}
		nap(3000);
	}
}

static void end_node(unsigned int node)
{
	int status;

	if (!reap(node, &status))
		return;
	if (status)
		complain("node %u did not end well: status 0x%x", node, status);
	account_end(node);
}

static void end(void)
{
	uint64_t queued = 0, in_hands = 0;
	unsigned int node;

	if (!complained() && wait_for_all(not_ready, "does not start"))
		look_frozen(&queued, &in_hands);
	if (!complained())
		look_drained();
	if (complained()) {
		for (node = 0; node < NODES; node++)
			if (processes[node])
				kill(processes[node], SIGKILL);
		return;
	}
	ledger->phase = (ledger->phase & ~3) + 4 + PHASE_END;
	for (node = 0; node < NODES; node++)
		end_node(node);
	account_show(queued, in_hands);
	printf("  %-48s %12u\n  %-48s %12u\n", "processes killed", kills,
	       "times that all was balanced", rests);
}

static void map_memory(void)
{
	void *at = mmap((void *)LEDGER_ADDRESS, LEDGER_SIZE,
			PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	TEST_ASSERT(at == ledger, "mmap: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	unsigned int node;
	struct timespec time;

	TEST_ASSERT(argc == 2 || argc == 3, "usage: stress SECONDS [SEED]");
	setlinebuf(stdout);
	clock_gettime(CLOCK_REALTIME, &time);
	map_memory();
	ledger->seed = argc > 2 ? strtoull(argv[2], NULL, 0) :
				  (uint64_t)time.tv_sec * 1000000 +
				  time.tv_nsec / 1000;
	printf("seed %lu\n", ledger->seed);
	chance = chance_begin(0, WORKERS + 100);
	for (node = 0; node < NODES; node++)
		start_node(node);
	run(strtod(argv[1], NULL));
	end();
	complain_found();
	if (complained())
		printf("the seed was %lu\n", ledger->seed);
	else
		printf("every message is accounted for\n");
	return complained();
}
