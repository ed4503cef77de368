/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nodes: processes with a partition, of a VM or of the process itself
 */
#ifndef SELFTESTS_STRESS_NODE_H
#define SELFTESTS_STRESS_NODE_H

#include "ledger.h"

/* Which node this process is, and its place in the ledger. */
extern unsigned int self;
extern struct node *own;

/* Interrupts a thread in what it waits for. */
#define INTERRUPT	SIGUSR1

static inline void nap(unsigned int us)
{
	usleep(us);
}

static inline void count_churn(enum churn what)
{
	__atomic_fetch_add(&own->churn[what], 1, __ATOMIC_RELAXED);
}

/* Become node @node, whose partition @partition is. */
void node_begin(unsigned int node);

/* Start the workers; the senders from @first_sender on are threads. */
void node_start(int partition, unsigned int first_sender);

/*
 * Interrupt workers that have to come to rest, and posts now and then; false when
 * all is over.
 */
bool node_interrupt(uint64_t *chance);

/* What the two kinds of nodes run; neither returns. */
void vmm_main(unsigned int node);
void host_main(unsigned int node);

#endif /* SELFTESTS_STRESS_NODE_H */
