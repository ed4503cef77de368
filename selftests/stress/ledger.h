/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ledger: what every poster was told and every receiver found
 *
 * It lies in memory that all processes of the stress share and that every guest
 * has as guest memory, at one address everywhere.  So guests write to it
 * themselves, and what is in it outlives whoever is killed.  The SIM pages lie
 * in it, too, and the buffers that endpoints are read into: what a killed
 * receiver had been given and not noted is still there to be seen.
 *
 * Messages are counted by stream: those of one sender to one generation of one
 * port.  A generation is what is between a port's creation and its deletion; a
 * later port of the same number is another.  A stream has two bits for each
 * message: its poster was told that it is accepted, and it was received.  The
 * coordinator, which nobody kills, adds a generation up when it is over and only
 * then gives its place in the ledger to another.
 */
#ifndef SELFTESTS_STRESS_LEDGER_H
#define SELFTESTS_STRESS_LEDGER_H

#include "hvpm.h"

#define LEDGER_ADDRESS	0x100000000000UL
#define LEDGER_GPA	0x100000000UL
#define LEDGER_ALIGN	0x200000UL

/* Nodes are processes with a partition: VMMs first, then host processes. */
#define VMS		4
#define HOSTS		2
#define NODES		(VMS + HOSTS)
#define VPS		2
#define SENDERS		3
#define PORTS		7
#define ENDPOINTS	2
#define ALL_SENDERS	(NODES * SENDERS)
#define ALL_PORTS	(NODES * PORTS)
/* Generations of a port that the ledger has room for, at the same time. */
#define RING		4
/* Messages of a stream; a poster ends it there. */
#define STREAM_MAX	8192
/* Messages that an endpoint is asked for at once. */
#define BATCH		8
/* A SIM page, and another that the guest moves to. */
#define PAGES		2
#define FIRST_SINT	2
#define LAST_SINT	4
/* Reasons of a port to refuse a post. */
#define REFUSALS	3
#define STATUSES	HV_POSTMSG_STATUS_COUNT

/* What is going on: a kind, with a count above it. */
enum phase {
	PHASE_RUN,	/* all do what they do */
	PHASE_QUIET,	/* nobody posts or changes anything; receivers go on */
	PHASE_FROZEN,	/* nobody does anything; VPs are out of their guests */
	PHASE_END,	/* all leave */
};

#define PHASE_KIND(phase)	((phase) & 3)

/* What happens to ports, VPs and their registers. */
enum churn {
	CHURN_CREATE, CHURN_DELETE, CHURN_CONNECT, CHURN_CONNECT_REFUSED,
	CHURN_DISCONNECT, CHURN_STATE, CHURN_RESET, CHURN_ENDPOINT,
	CHURN_PREFERRED, CHURN_PAUSE, CHURN_HOST_SIMP, CHURN_HOST_SCONTROL,
	CHURN_HOST_SINT, CHURN_SIMP, CHURN_SIMP_MOVE, CHURN_SCONTROL,
	CHURN_SINT, CHURN_HALT, CHURN_INTERRUPTED, CHURNS,
};

/* Threads of a node that come to rest by themselves. */
enum worker {
	WORKER_SENDER,
	WORKER_READER = WORKER_SENDER + SENDERS,
	WORKER_PORTS = WORKER_READER + ENDPOINTS,
	WORKER_STATE,
	WORKERS,
};

enum fault {
	FAULT_NONE, FAULT_DAMAGED, FAULT_STRANGE, FAULT_MISPLACED,
	FAULT_NOT_POSTED, FAULT_DOUBLED, FAULT_REORDERED, FAULT_LOST,
	FAULT_STATUS, FAULT_CALL, FAULT_EXIT, FAULT_CLOSED,
};

/**
 * struct stream - the messages of one sender to one generation of a port
 *
 * @gen: the generation, 0 if there is none
 * @next: number of the sender's next message
 * @refused: posts refused with INVALID_PORT_ID, INVALID_SYNIC_STATE,
 *	INSUFFICIENT_BUFFERS
 * @expected: number from which on none was received: by VP, for an any-VP port
 * @resets: resets of the VP that had ended before the last message received
 *	came to its slot
 * @accepted: by number: the poster was told so
 * @received: by number
 */
struct stream {
	volatile uint32_t gen;
	volatile uint32_t next;
	volatile uint32_t refused[REFUSALS];
	volatile uint32_t expected[VPS];
	volatile uint32_t resets;
	volatile uint64_t accepted[STREAM_MAX / 64];
	volatile uint64_t received[STREAM_MAX / 64];
};

enum generation_state {
	GENERATION_FREE,	/* nothing is in it; its owner may take it */
	GENERATION_OPEN,	/* the port is there, or about to be */
	GENERATION_DELETED,	/* the coordinator may add it up */
};

/**
 * struct generation - a port from its creation to its deletion
 *
 * @state: enum generation_state
 * @gen: its number
 * @buffers: message buffers it has
 * @known: what its owner last read of the module's counters
 * @resets_first: resets of each VP that had ended when it was created
 * @resets_known: those that had ended before @known was read
 * @resets_last: those that had begun when it had been deleted
 * @passes: looks that its receivers had taken then
 * @orphan: its endpoint is closed
 * @streams: by sender
 */
struct generation {
	volatile uint32_t state;
	volatile uint32_t gen;
	uint32_t buffers;
	struct { uint64_t posted, delivered, freed; } known;
	uint32_t resets_first[VPS];
	uint32_t resets_known[VPS];
	uint32_t resets_last[VPS];
	uint32_t passes[VPS];
	volatile uint32_t orphan;
	struct stream streams[ALL_SENDERS];
};

/**
 * struct port - a port number of a node
 *
 * @published: generation << 32 | port file + 1, as its owner numbers it; or 0
 * @last: last generation there was
 * @ring: its generations
 */
struct port {
	volatile uint64_t published;
	uint32_t last;
	struct generation ring[RING];
};

/**
 * struct sender - a VP or thread that posts
 *
 * @using: number + 1 of the stream it looks at, which keeps it in the ledger
 * @posting: number + 1 of the message that is being posted
 * @status: posts by status, since its node was started
 */
struct sender {
	volatile uint32_t using;
	volatile uint32_t posting;
	volatile uint64_t status[STATUSES];
};

/**
 * struct receiver - a VP or endpoint that messages are delivered to
 *
 * @passes: looks it has taken at all of its slots, or at its queue
 * @busy: it is in the middle of taking or posting something; VPs only
 * @sleeping: it is on its way into HLT, there, or just behind; VPs only
 * @rest: last phase it has seen and obeyed; VPs only
 * @parked: last phase that found its thread out of the guest
 * @resets_begun: resets of the VP
 * @resets_ended: those that are over
 */
struct receiver {
	volatile uint32_t passes;
	volatile uint32_t busy;
	volatile uint32_t sleeping;
	volatile uint32_t rest;
	volatile uint32_t parked;
	volatile uint32_t resets_begun;
	volatile uint32_t resets_ended;
};

/**
 * struct node - a process with a partition
 *
 * @pid: the process
 * @life: how often it was started
 * @partition: its partition's file
 * @ready: its threads are running
 * @connected: by port: the generation it is connected to, or 0
 * @vps: its VPs
 * @endpoints: its endpoints
 * @rest: by enum worker: the last phase it has seen and obeyed
 * @churn: by enum churn: how often
 * @slots: SIM pages by VP
 * @read: what its endpoints' readers were given
 */
struct node {
	volatile int32_t pid;
	uint32_t life;
	volatile int32_t partition;
	volatile uint32_t ready;
	volatile uint32_t connected[ALL_PORTS];
	struct sender senders[SENDERS];
	struct receiver vps[VPS];
	struct receiver endpoints[ENDPOINTS];
	volatile uint32_t rest[WORKERS];
	volatile uint64_t churn[CHURNS];
	/* No page of it is the first or last part of a message. */
	struct hv_postmsg_message read[ENDPOINTS][BATCH] __attribute__((aligned(4096)));
	uint8_t slots[VPS][PAGES][4096] __attribute__((aligned(4096)));
};

/* The first thing that went wrong. */
struct found {
	uint32_t taken;
	volatile uint32_t fault;
	uint32_t node;
	uint32_t port;
	uint32_t gen;
	uint32_t sender;
	uint64_t number;
	uint64_t value;
};

/**
 * struct ledger - all of it
 *
 * @seed: what all chance begins with
 * @phase: enum phase, and a count
 * @lull: little is posted, so that VPs come to sleep and have to be woken
 * @found: the first fault
 * @nodes: the nodes
 * @ports: their ports
 */
struct ledger {
	uint64_t seed;
	volatile uint32_t phase;
	volatile uint32_t lull;
	struct found found;
	struct node nodes[NODES];
	struct port ports[ALL_PORTS];
};

static struct ledger *const ledger = (struct ledger *)LEDGER_ADDRESS;
#define LEDGER_SIZE (((sizeof(struct ledger)) + LEDGER_ALIGN - 1) & ~(LEDGER_ALIGN - 1))

#define compiler_barrier()	asm volatile("" : : : "memory")
#define full_barrier()		asm volatile("mfence" : : : "memory")

/* --- chance --- */

static inline uint64_t chance_next(uint64_t *chance)
{
	*chance += 0x9e3779b97f4a7c15ULL;
	return hvpm_mix(*chance, *chance >> 32);
}

/* A number below @limit. */
static inline uint32_t chance_below(uint64_t *chance, uint32_t limit)
{
	return (uint32_t)(chance_next(chance) >> 16) % limit;
}

/* Everybody's own, the same with the same seed. */
static inline uint64_t chance_begin(unsigned int node, unsigned int thread)
{
	uint64_t who = (uint64_t)ledger->nodes[node].life << 32 | node << 16 | thread;

	return hvpm_mix(hvpm_mix(ledger->seed, who), ledger->seed >> 7);
}

/* --- faults --- */

static inline void fault(enum fault what, unsigned int node, unsigned int port,
			 uint32_t gen, unsigned int sender, uint64_t number,
			 uint64_t value)
{
	struct found *found = &ledger->found;

	if (__atomic_exchange_n(&found->taken, 1, __ATOMIC_SEQ_CST))
		return;
	found->node = node;
	found->port = port;
	found->gen = gen;
	found->sender = sender;
	found->number = number;
	found->value = value;
	compiler_barrier();
	found->fault = what;
}

/* --- who is where --- */

/**
 * struct place - where the messages of a port arrive
 *
 * @endpoint: at an endpoint, else in a slot of a VP
 * @index: which; HV_POSTMSG_ANY_VP for any VP
 * @sint: which slot; 0 for an endpoint
 */
struct place {
	bool endpoint;
	uint32_t index;
	uint32_t sint;
};

static inline struct place port_place(unsigned int port)
{
	unsigned int node = port / PORTS, which = port % PORTS;
	struct place place = { .endpoint = node >= VMS || which == PORTS - 1 };

	if (place.endpoint) {
		place.index = node >= VMS ? which % ENDPOINTS : 0;
	} else if (which == PORTS - 2) {
		place.index = HV_POSTMSG_ANY_VP;
		place.sint = LAST_SINT;
	} else {
		/* The fifth shares a slot with the first. */
		place.index = which % VPS;
		place.sint = which / VPS % 2 + FIRST_SINT;
	}
	return place;
}

static inline bool receives_at(unsigned int port, bool endpoint, unsigned int index)
{
	struct place place = port_place(port);

	return place.endpoint == endpoint &&
	       (place.index == index || place.index == HV_POSTMSG_ANY_VP);
}

#define PORT_ID(port)			(0x1000 + (port))
#define CONNECTION_ID(port, gen)	((port) << 16 | (gen))
#define GEN_MAX				0xffffU

static inline struct generation *generation_of(unsigned int port, uint32_t gen)
{
	return &ledger->ports[port].ring[gen % RING];
}

/* --- posting --- */

/**
 * struct attempt - a post
 *
 * @sender: who posts
 * @port: to which port
 * @gen: to which generation of it
 * @number: the message's number in its stream
 * @word: generation and number: what makes the payload
 * @stream: where it is counted
 */
struct attempt {
	unsigned int sender;
	unsigned int port;
	uint32_t gen;
	uint32_t number;
	uint64_t word;
	struct stream *stream;
};

static inline struct sender *sender_of(unsigned int sender)
{
	return &ledger->nodes[sender / SENDERS].senders[sender % SENDERS];
}

/*
 * Say what is about to be posted; false if there is nothing to post to.  The
 * stream stays in the ledger once it is seen there behind the note that it is
 * used.
 */
static inline bool attempt_begin(struct attempt *attempt, unsigned int sender,
				 unsigned int port)
{
	uint32_t gen = ledger->nodes[sender / SENDERS].connected[port];
	struct sender *me = sender_of(sender);

	if (!gen)
		return false;
	attempt->sender = sender;
	attempt->port = port;
	attempt->gen = gen;
	attempt->stream = &generation_of(port, gen)->streams[sender];
	me->using = (port * RING + gen % RING) + 1;
	full_barrier();
	attempt->number = attempt->stream->next;
	if (attempt->stream->gen != gen || attempt->number == STREAM_MAX) {
		me->using = 0;
		return false;
	}
	attempt->word = (uint64_t)gen << 32 | attempt->number;
	me->posting = attempt->number + 1;
	compiler_barrier();
	return true;
}

/* Nothing was posted. */
static inline void attempt_void(struct attempt *attempt)
{
	struct sender *me = sender_of(attempt->sender);

	compiler_barrier();
	me->posting = 0;
	compiler_barrier();
	me->using = 0;
}

static inline void attempt_refused(struct attempt *attempt, uint32_t status)
{
	struct stream *stream = attempt->stream;

	if (status == HV_STATUS_INVALID_SYNIC_STATE &&
	    port_place(attempt->port).endpoint)
		status = STATUSES;
	switch (status) {
	case HV_STATUS_INVALID_CONNECTION_ID:
		break;
	case HV_STATUS_INVALID_PORT_ID:
		stream->refused[0]++;
		break;
	case HV_STATUS_INSUFFICIENT_BUFFERS:
		stream->refused[REFUSALS - 1]++;
		break;
	case HV_STATUS_INVALID_SYNIC_STATE:
		stream->refused[1]++;
		break;
	default:
		/* INVALID_VP_INDEX too: all VPs are there before any port. */
		fault(FAULT_STATUS, attempt->sender / SENDERS, attempt->port,
		      attempt->gen, attempt->sender, attempt->number, status);
	}
}

/* What the poster was told. */
static inline void attempt_end(struct attempt *attempt, uint32_t status)
{
	struct stream *stream = attempt->stream;
	uint32_t number = attempt->number;

	sender_of(attempt->sender)->status[status % STATUSES]++;
	if (status) {
		attempt_refused(attempt, status);
	} else {
		stream->accepted[number / 64] |= 1ULL << number % 64;
		compiler_barrier();
		stream->next = number + 1;
	}
	attempt_void(attempt);
}

/* --- receiving --- */

/**
 * struct arrival - a message as its receiver finds it
 *
 * @node: the receiver's
 * @endpoint: the receiver is an endpoint, else a VP
 * @index: which
 * @sint: the slot it was in
 * @resets: resets of the VP that had ended when the slot was last seen empty
 */
struct arrival {
	unsigned int node;
	bool endpoint;
	unsigned int index;
	unsigned int sint;
	uint32_t resets;
};

/* Whose a message is: false if it cannot be told. */
static inline bool message_origin(const struct hv_postmsg_message *message,
				  struct attempt *origin)
{
	struct hvpm_payload head;

	if (!hvpm_payload_check(message->payload, message->type,
				message->payload_size, &head))
		return false;
	origin->sender = head.sender;
	origin->port = message->port_id - PORT_ID(0);
	origin->word = head.sequence;
	origin->gen = head.sequence >> 32;
	origin->number = (uint32_t)head.sequence;
	origin->stream = NULL;
	if (origin->sender < ALL_SENDERS && message->port_id >= PORT_ID(0) &&
	    message->port_id < PORT_ID(ALL_PORTS) && origin->number < STREAM_MAX)
		origin->stream = &generation_of(origin->port, origin->gen)
					->streams[origin->sender];
	return message->type == hvpm_vary_type(origin->word) &&
	       message->payload_size == hvpm_vary_size(origin->word) &&
	       !message->reserved && !(message->flags & ~HV_MESSAGE_FLAG_PENDING);
}

static inline bool bit_of(const volatile uint64_t *bits, uint32_t number)
{
	return bits[number / 64] >> number % 64 & 1;
}

/*
 * Messages that were skipped.  One whose poster was killed may never have been
 * accepted.  Another must have been freed by a reset of the VP: one that had not
 * ended when the last message of the stream was still queued, and has begun by
 * now.  To an any-VP port others go to the other VP.
 */
static inline void skipped(const struct attempt *origin,
			   const struct arrival *arrival, uint32_t from)
{
	struct stream *stream = origin->stream;
	struct receiver *vp;
	uint32_t number;

	if (port_place(origin->port).index == HV_POSTMSG_ANY_VP)
		return;
	vp = &ledger->nodes[arrival->node].vps[arrival->index];
	if (!arrival->endpoint && vp->resets_begun != stream->resets)
		return;
	for (number = from; number < origin->number; number++)
		if (bit_of(stream->accepted, number))
			fault(FAULT_LOST, arrival->node, origin->port,
			      origin->gen, origin->sender, number,
			      origin->number);
}

static inline void receive_in_order(const struct attempt *origin,
				    const struct arrival *arrival)
{
	bool any = port_place(origin->port).index == HV_POSTMSG_ANY_VP;
	struct stream *stream = origin->stream;
	volatile uint32_t *expected = &stream->expected[any ? arrival->index : 0];
	uint64_t bit = 1ULL << origin->number % 64, old;
	enum fault what = FAULT_NONE;

	old = __atomic_fetch_or(&stream->received[origin->number / 64], bit,
				__ATOMIC_SEQ_CST);
	if (old & bit)
		what = FAULT_DOUBLED;
	else if (origin->number > stream->next)
		what = FAULT_NOT_POSTED;
	else if (origin->number < *expected)
		what = FAULT_REORDERED;
	if (what) {
		fault(what, arrival->node, origin->port, origin->gen,
		      origin->sender, origin->number, *expected);
		return;
	}
	if (origin->number > *expected)
		skipped(origin, arrival, *expected);
	*expected = origin->number + 1;
	stream->resets = arrival->resets;
}

/* Note a message, before the place it was found in is emptied. */
static inline void receive(const struct hv_postmsg_message *message,
			   const struct arrival *arrival)
{
	struct attempt origin = { 0 };
	enum fault what = FAULT_NONE;
	struct place place;

	if (!message_origin(message, &origin)) {
		fault(FAULT_DAMAGED, arrival->node, message->port_id - PORT_ID(0),
		      origin.gen, origin.sender, origin.number, message->type);
		return;
	}
	if (!origin.stream || origin.stream->gen != origin.gen) {
		what = FAULT_STRANGE;
	} else {
		place = port_place(origin.port);
		if (origin.port / PORTS != arrival->node ||
		    !receives_at(origin.port, arrival->endpoint, arrival->index) ||
		    place.sint != arrival->sint)
			what = FAULT_MISPLACED;
	}
	if (what)
		fault(what, arrival->node, origin.port, origin.gen, origin.sender,
		      origin.number, arrival->sint);
	else
		receive_in_order(&origin, arrival);
}

#endif /* SELFTESTS_STRESS_LEDGER_H */
