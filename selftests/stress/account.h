/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accounting: what became of every message
 */
#ifndef SELFTESTS_STRESS_ACCOUNT_H
#define SELFTESTS_STRESS_ACCOUNT_H

#include "ledger.h"

/**
 * struct balance - messages of a set of streams
 *
 * @accepted: the poster was told so, or the message was received
 * @received: and it was received
 * @missing: the poster was told so, and it was not received
 * @unknown: the poster was killed before it was told, and it was not received
 * @refused: posts refused, as in a stream
 */
struct balance {
	uint64_t accepted;
	uint64_t received;
	uint64_t missing;
	uint64_t unknown;
	uint64_t refused[REFUSALS];
};

/* Say that something is wrong, and remember it. */
__attribute__((format(printf, 1, 2)))
void complain(const char *format, ...);
bool complained(void);

/* Say the first fault that a node found, if any. */
void complain_found(void);

/* Add up the generations that are over. */
void account_deleted(void);

/* A node's process is gone: what it was posting, and all of its ports. */
void account_end(unsigned int node);

/* Nothing is in a node's slots and buffers. */
bool account_slots_empty(unsigned int node);

/*
 * What is in a node's slots and buffers and not noted as received; nobody may be
 * about to change that.
 */
uint64_t account_in_hands(unsigned int node);

/*
 * All nodes are at rest: compare with the module's counters.  @drained: nothing
 * may be queued.
 */
void account_check(unsigned int node, bool drained);

/* Messages queued in a node's ports, as the module has it; -1 without a node. */
int64_t account_queued(unsigned int node);

/* Say which ports of a node have something queued. */
void account_show_queued(unsigned int node);

/* The sums; @queued and @in_hands are of the nodes that there are. */
void account_show(uint64_t queued, uint64_t in_hands);

/* Messages received so far. */
uint64_t account_received(void);

#endif /* SELFTESTS_STRESS_ACCOUNT_H */
