// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accounting: what became of every message
 */
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "account.h"

/* Names of what may become of a message, and how many it became. */
static struct {
	uint64_t accepted;
	uint64_t received;
	uint64_t deleted;
	uint64_t reset;
	uint64_t closed;
	uint64_t ended;
	uint64_t unread;
	uint64_t unknown;
	uint64_t status[STATUSES];
	uint64_t churn[CHURNS];
	uint64_t generations;
} total;

/* What the ended generations of each node had, since the node was started. */
static struct balance ended[NODES];

static bool failed;

void complain(const char *format, ...)
{
	va_list args;

	failed = true;
	printf("FAILED: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* The same of a port: "port 1.2, generation 3: ..." */
__attribute__((format(printf, 3, 4)))
static void complain_of(unsigned int port, uint32_t gen, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	complain("port %u.%u, generation %u: %s", port / PORTS, port % PORTS,
		 gen, text);
}

bool complained(void)
{
	return failed;
}

static const char *const fault_names[] = {
	[FAULT_DAMAGED] = "a message came damaged",
	[FAULT_STRANGE] = "a message came of a port that was long gone, or never was",
	[FAULT_MISPLACED] = "a message came to a VP, slot or endpoint that is not its port's",
	[FAULT_NOT_POSTED] = "a message came that nobody has posted",
	[FAULT_DOUBLED] = "a message came twice",
	[FAULT_REORDERED] = "a message came behind a later one",
	[FAULT_LOST] = "a message was lost or overtaken: a later one came, and there was no reset",
	[FAULT_STATUS] = "a post got a status that nothing explains",
	[FAULT_CALL] = "a call failed",
	[FAULT_EXIT] = "a VP left the guest for no reason",
	[FAULT_CLOSED] = "an endpoint is closed, but a port of it has messages or lacks buffers",
};

void complain_found(void)
{
	struct found *found = &ledger->found;

	if (!found->fault)
		return;
	complain_of(found->port, found->gen,
		    "%s: node %u, sender %u.%u, number %lu, value %lu (0x%lx)",
		    fault_names[found->fault], found->node,
		    found->sender / SENDERS, found->sender % SENDERS,
		    found->number, found->value, found->value);
	found->fault = FAULT_NONE;
}

/* --- adding up --- */

static unsigned int count_bits(uint64_t word)
{
	return __builtin_popcountll(word);
}

/* The messages of a stream below its next, 64 at a time. */
static void add_stream(struct stream *stream, struct balance *sum)
{
	uint32_t next = stream->next, i;
	uint64_t accepted, received, range;

	for (i = 0; i < REFUSALS; i++)
		sum->refused[i] += stream->refused[i];
	for (i = 0; i * 64 < next; i++) {
		range = next - i * 64 < 64 ? (1ULL << next % 64) - 1 : ~0ULL;
		accepted = stream->accepted[i] & range;
		received = stream->received[i] & range;
		sum->accepted += count_bits(accepted | received);
		sum->received += count_bits(received);
		sum->missing += count_bits(accepted & ~received);
		sum->unknown += count_bits(range & ~(accepted | received));
	}
}

static void add_generation(struct generation *generation, struct balance *sum)
{
	unsigned int i;

	for (i = 0; i < ALL_SENDERS; i++)
		add_stream(&generation->streams[i], sum);
}

static void add_balance(struct balance *sum, const struct balance *part)
{
	unsigned int i;

	sum->accepted += part->accepted;
	sum->received += part->received;
	sum->missing += part->missing;
	sum->unknown += part->unknown;
	for (i = 0; i < REFUSALS; i++)
		sum->refused[i] += part->refused[i];
}

/* --- what lies in slots and buffers --- */

/* A message in a slot or buffer is of this generation and not noted yet. */
static bool is_unread(const struct hv_postmsg_message *message,
		      unsigned int port, uint32_t gen)
{
	struct attempt origin = { 0 };

	if (!*(volatile uint32_t *)&message->type)
		return false;
	if (!message_origin(message, &origin) || !origin.stream) {
		complain_of(port, gen, "a message came damaged, type 0x%x",
			    message->type);
		return false;
	}
	return origin.port == port && origin.gen == gen &&
	       !bit_of(origin.stream->received, origin.number);
}

/*
 * All messages that a node can have been given and not noted: @number counts from
 * 0.  NULL behind the last.
 */
static struct hv_postmsg_message *held(unsigned int node, unsigned int number)
{
	struct node *of = &ledger->nodes[node];
	struct hv_postmsg_message *slots;
	unsigned int page = number / HV_SYNIC_SINT_COUNT;

	if (page < VPS * PAGES) {
		slots = (void *)of->slots[page / PAGES][page % PAGES];
		return &slots[number % HV_SYNIC_SINT_COUNT];
	}
	number -= VPS * PAGES * HV_SYNIC_SINT_COUNT;
	if (number < ENDPOINTS * BATCH)
		return &of->read[number / BATCH][number % BATCH];
	return NULL;
}

static uint64_t unread_in(unsigned int port, uint32_t gen)
{
	struct hv_postmsg_message *message;
	uint64_t count = 0;
	unsigned int i;

	for (i = 0; (message = held(port / PORTS, i)); i++)
		count += is_unread(message, port, gen);
	return count;
}

bool account_slots_empty(unsigned int node)
{
	struct hv_postmsg_message *message;
	unsigned int i;

	for (i = 0; (message = held(node, i)); i++)
		if (*(volatile uint32_t *)&message->type)
			return false;
	return true;
}

uint64_t account_in_hands(unsigned int node)
{
	unsigned int port, i;
	struct generation *generation;
	uint64_t count = 0;

	for (port = node * PORTS; port < (node + 1) * PORTS; port++)
		for (i = 0; i < RING; i++) {
			generation = &ledger->ports[port].ring[i];
			if (generation->state != GENERATION_FREE)
				count += unread_in(port, generation->gen);
		}
	return count;
}

/* --- the end of a generation --- */

/* Resets so far, of a port whose owner does not say which was the last. */
static void note_resets(unsigned int port, struct generation *generation)
{
	struct node *node = &ledger->nodes[port / PORTS];
	unsigned int i;

	for (i = 0; i < VPS; i++)
		generation->resets_last[i] = node->vps[i].resets_begun;
}

/* Resets of its VPs whose count of messages its owner did not learn. */
static uint64_t resets_unknown(unsigned int port, struct generation *generation)
{
	uint64_t count = 0;
	unsigned int i;

	for (i = 0; i < VPS; i++)
		if (receives_at(port, false, i))
			count += generation->resets_last[i] -
				 generation->resets_known[i];
	return count;
}

/* Nothing but its end can have freed a message of it. */
static bool never_freed(unsigned int port, struct generation *generation)
{
	unsigned int i;

	for (i = 0; i < VPS; i++)
		if (receives_at(port, false, i) &&
		    generation->resets_last[i] != generation->resets_first[i])
			return false;
	return !generation->orphan;
}

/*
 * What is missing was freed by resets, which the module had counted, or lies
 * unread with a receiver that is gone, or was queued in the end; and there can be
 * no more of the last than the port has buffers, or once more for each reset that
 * was not counted.
 */
static void check_end(unsigned int port, struct generation *generation,
		      const struct balance *sum, uint64_t unread)
{
	uint64_t unsure = resets_unknown(port, generation);
	int64_t rest = sum->missing - generation->known.freed - unread;
	uint32_t gen = generation->gen;

	if (rest < -(int64_t)sum->unknown ||
	    rest > (int64_t)(generation->buffers * (1 + unsure)))
		complain_of(port, gen,
			    "%lu messages missing, %lu freed, %lu unread, %u buffers",
			    sum->missing, generation->known.freed, unread,
			    generation->buffers);
	if (generation->known.freed && never_freed(port, generation))
		complain_of(port, gen, "%lu messages freed, there was no reason",
			    generation->known.freed);
	if (generation->known.delivered > sum->received + unread)
		complain_of(port, gen, "%lu messages delivered, %lu received",
			    generation->known.delivered, sum->received + unread);
	if (generation->known.posted > sum->accepted + sum->unknown)
		complain_of(port, gen, "%lu messages posted, %lu accepted",
			    generation->known.posted,
			    sum->accepted + sum->unknown);
}

/* A poster that was told "refused" uses the number again. */
static void check_refused(unsigned int port, struct generation *generation)
{
	unsigned int i;

	for (i = 0; i < ALL_SENDERS; i++) {
		struct stream *stream = &generation->streams[i];

		if (stream->next < STREAM_MAX &&
		    bit_of(stream->received, stream->next))
			complain_of(port, generation->gen,
				    "a message came whose post was refused: sender %u.%u, number %u",
				    i / SENDERS, i % SENDERS, stream->next);
	}
}

/* @unread: its messages in slots and buffers of a node that is gone. */
static void file_generation(unsigned int port, struct generation *generation,
			    bool deleted, uint64_t unread)
{
	struct balance sum = { 0 };
	uint64_t known, rest;

	add_generation(generation, &sum);
	check_end(port, generation, &sum, unread);
	check_refused(port, generation);
	add_balance(&ended[port / PORTS], &sum);

	rest = sum.missing > unread ? sum.missing - unread : 0;
	known = generation->known.freed < rest ? generation->known.freed : rest;
	total.accepted += sum.accepted;
	total.received += sum.received;
	total.unknown += sum.unknown;
	total.unread += sum.missing - rest;
	*(port_place(port).endpoint ? &total.closed : &total.reset) += known;
	*(deleted ? &total.deleted : &total.ended) += rest - known;
	total.generations++;
}

/* Nobody takes the streams for their own any more; false if somebody still does. */
static bool streams_unused(unsigned int port, struct generation *generation)
{
	unsigned int place = port * RING + generation->gen % RING + 1, i;

	for (i = 0; i < ALL_SENDERS; i++)
		generation->streams[i].gen = 0;
	full_barrier();
	for (i = 0; i < ALL_SENDERS; i++)
		if (sender_of(i)->using == place)
			return false;
	return true;
}

/*
 * A message that was on its way as the port was deleted has been found by its
 * receiver: it has looked, beginning behind the deletion.
 */
static bool receivers_through(unsigned int port, struct generation *generation)
{
	struct node *node = &ledger->nodes[port / PORTS];
	struct place place = port_place(port);
	unsigned int i;

	if (place.endpoint)
		return node->endpoints[place.index].passes -
		       generation->passes[0] >= 2;
	for (i = 0; i < VPS; i++)
		if (receives_at(port, false, i) &&
		    node->vps[i].passes - generation->passes[i] < 2)
			return false;
	return true;
}

static void free_generation(struct generation *generation)
{
	compiler_barrier();
	generation->state = GENERATION_FREE;
}

void account_deleted(void)
{
	struct generation *generation;
	unsigned int port, i;

	for (port = 0; port < ALL_PORTS; port++)
		for (i = 0; i < RING; i++) {
			generation = &ledger->ports[port].ring[i];
			if (generation->state != GENERATION_DELETED ||
			    !receivers_through(port, generation) ||
			    !streams_unused(port, generation))
				continue;
			file_generation(port, generation, true, 0);
			free_generation(generation);
		}
}

/* --- the end of a node --- */

/* It was posting: whether that was accepted is known if it was received. */
static void settle_sender(struct sender *sender, unsigned int which)
{
	struct generation *generation;
	struct stream *stream;
	unsigned int i;

	if (sender->using && sender->posting) {
		generation = &ledger->ports[(sender->using - 1) / RING]
				     .ring[(sender->using - 1) % RING];
		stream = &generation->streams[which];
		if (stream->next < sender->posting)
			stream->next = sender->posting;
	}
	sender->posting = 0;
	sender->using = 0;
	for (i = 0; i < STATUSES; i++) {
		total.status[i] += sender->status[i];
		sender->status[i] = 0;
	}
}

static void end_port(unsigned int port)
{
	struct generation *generation;
	unsigned int i, tries;

	ledger->ports[port].published = 0;
	for (i = 0; i < RING; i++) {
		generation = &ledger->ports[port].ring[i];
		if (generation->state == GENERATION_FREE)
			continue;
		for (tries = 0; !streams_unused(port, generation); tries++) {
			if (tries == 120000) {
				complain_of(port, generation->gen,
					    "a post did not end with it");
				break;
			}
			usleep(1000);
		}
		if (generation->state == GENERATION_OPEN)
			note_resets(port, generation);
		file_generation(port, generation,
				generation->state == GENERATION_DELETED,
				unread_in(port, generation->gen));
		free_generation(generation);
	}
}

void account_end(unsigned int which)
{
	struct node *node = &ledger->nodes[which];
	uint32_t life = node->life;
	unsigned int i;

	for (i = 0; i < SENDERS; i++)
		settle_sender(&node->senders[i], which * SENDERS + i);
	for (i = 0; i < PORTS; i++)
		end_port(which * PORTS + i);
	for (i = 0; i < CHURNS; i++)
		total.churn[i] += node->churn[i];
	memset(&ended[which], 0, sizeof(ended[which]));
	memset(node, 0, sizeof(*node));
	node->life = life;
}

/* --- comparing --- */

/* The partition's file, out of the node's process. */
static int take_partition(unsigned int node)
{
	int process = syscall(SYS_pidfd_open, ledger->nodes[node].pid, 0), file;

	if (process < 0)
		return -1;
	file = syscall(SYS_pidfd_getfd, process, ledger->nodes[node].partition, 0);
	close(process);
	return file;
}

static bool partition_stats(unsigned int node,
			    struct hv_postmsg_partition_stats *stats)
{
	int partition = take_partition(node), ret;

	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	ret = __hvpm_ioctl(partition, HV_POSTMSG_PARTITION_STATS, stats);
	close(partition);
	return !ret;
}

int64_t account_queued(unsigned int node)
{
	struct hv_postmsg_partition_stats stats;

	return partition_stats(node, &stats) ? (int64_t)stats.queued : -1;
}

/* All posters are at rest, so what is known of one that was not killed is all. */
static bool is_between(uint64_t value, uint64_t least, uint64_t more)
{
	return value >= least && value <= least + more;
}

static void check_statuses(unsigned int node,
			   const struct hv_postmsg_partition_stats *stats)
{
	uint64_t told;
	unsigned int i, j;

	for (i = 0; i < STATUSES; i++) {
		for (told = 0, j = 0; j < SENDERS; j++)
			told += ledger->nodes[node].senders[j].status[i];
		if (told != stats->status[i])
			complain("node %u: status 0x%x was told %lu times, counted %llu times",
				 node, i, told, stats->status[i]);
	}
}

static void check_partition(unsigned int node, bool drained)
{
	uint64_t unread = account_in_hands(node), connections = 0, ports = 0;
	struct hv_postmsg_partition_stats stats;
	struct balance sum = ended[node];
	struct generation *generation;
	unsigned int i;

	for (i = 0; i < PORTS * RING; i++) {
		generation = &ledger->ports[node * PORTS + i / RING].ring[i % RING];
		if (generation->state != GENERATION_FREE)
			add_generation(generation, &sum);
		ports += generation->state == GENERATION_OPEN;
	}
	for (i = 0; i < ALL_PORTS; i++)
		connections += !!ledger->nodes[node].connected[i];
	if (!partition_stats(node, &stats)) {
		complain("node %u: no statistics: %s", node, strerror(errno));
		return;
	}

	if (!is_between(stats.posted, sum.accepted, sum.unknown))
		complain("node %u: %llu messages accepted, posters were told so of %lu; %lu unsure",
			 node, stats.posted, sum.accepted, sum.unknown);
	if (stats.delivered != sum.received + unread)
		complain("node %u: %llu messages delivered, %lu received, %lu unread",
			 node, stats.delivered, sum.received, unread);
	if (!is_between(stats.freed + stats.queued + unread, sum.missing, sum.unknown))
		complain("node %u: %llu messages freed, %llu queued, %lu unread; %lu missing",
			 node, stats.freed, stats.queued, unread, sum.missing);
	if (drained && stats.queued)
		complain("node %u: %llu messages are queued for ever", node,
			 stats.queued);
	if (stats.faults || stats.passed)
		complain("node %u: %llu slots out of reach, %llu posts passed to the VMM",
			 node, stats.faults, stats.passed);
	if (stats.ports != ports || stats.connections != connections)
		complain("node %u: %u ports, not %lu; %u connections, not %lu",
			 node, stats.ports, ports, stats.connections, connections);
	check_statuses(node, &stats);
}

static void check_refusals(unsigned int port, uint32_t gen,
			   const struct balance *sum,
			   const struct hv_postmsg_port_stats *stats)
{
	const uint64_t counted[] = {
		stats->refused_port, stats->refused_synic,
		stats->refused_buffers,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counted); i++)
		if (!is_between(counted[i], sum->refused[i], sum->unknown))
			complain_of(port, gen,
				    "%lu posts refused for reason %u, posters were told so of %lu",
				    counted[i], i, sum->refused[i]);
	if (stats->refused_vp)
		complain_of(port, gen, "%llu posts refused for want of a VP",
			    stats->refused_vp);
}

static void check_port(int partition, unsigned int port, bool drained)
{
	uint32_t gen = ledger->ports[port].last;
	struct generation *generation = generation_of(port, gen);
	struct hv_postmsg_port_stats stats = {
		.size = sizeof(stats),
		.port_id = PORT_ID(port),
	};
	uint64_t unread = unread_in(port, gen);
	struct balance sum = { 0 };

	if (generation->state != GENERATION_OPEN)
		return;
	note_resets(port, generation);
	add_generation(generation, &sum);
	if (__hvpm_ioctl(partition, HV_POSTMSG_PORT_STATS, &stats)) {
		complain_of(port, gen, "no statistics: %s", strerror(errno));
		return;
	}
	if (!is_between(stats.posted, sum.accepted, sum.unknown))
		complain_of(port, gen,
			    "%llu messages accepted, posters were told so of %lu; %lu unsure",
			    stats.posted, sum.accepted, sum.unknown);
	if (stats.delivered != sum.received + unread)
		complain_of(port, gen, "%llu messages delivered, %lu received, %lu unread",
			    stats.delivered, sum.received, unread);
	if (stats.buffers != generation->buffers ||
	    stats.free + stats.queued != stats.buffers)
		complain_of(port, gen, "%u buffers free, %llu messages queued, of %u buffers",
			    stats.free, stats.queued, stats.buffers);
	if (drained && stats.queued)
		complain_of(port, gen, "%llu messages are queued for ever", stats.queued);
	if (stats.freed && never_freed(port, generation))
		complain_of(port, gen, "%llu messages freed, there was no reason",
			    stats.freed);
	check_refusals(port, gen, &sum, &stats);
}

void account_check(unsigned int node, bool drained)
{
	int partition = take_partition(node);
	unsigned int i;

	check_partition(node, drained);
	for (i = 0; i < PORTS; i++)
		check_port(partition, node * PORTS + i, drained);
	close(partition);
}

void account_show_queued(unsigned int node)
{
	int partition = take_partition(node);
	unsigned int i;

	for (i = 0; i < PORTS; i++) {
		struct hv_postmsg_port_stats stats = {
			.size = sizeof(stats),
			.port_id = PORT_ID(node * PORTS + i),
		};

		if (!__hvpm_ioctl(partition, HV_POSTMSG_PORT_STATS, &stats) &&
		    stats.queued)
			printf("  port %u.%u: %llu queued, %u of %u buffers free\n",
			       node, i, stats.queued, stats.free, stats.buffers);
	}
	close(partition);
	for (i = 0; i < VPS && node < VMS; i++)
		printf("  VP %u.%u: %s%s\n", node, i,
		       ledger->nodes[node].vps[i].sleeping ? "asleep" : "awake",
		       ledger->nodes[node].vps[i].busy ? ", busy" : "");
}

/* --- showing --- */

uint64_t account_received(void)
{
	struct balance sum = { 0 };
	unsigned int port, i;

	for (port = 0; port < ALL_PORTS; port++)
		for (i = 0; i < RING; i++)
			if (ledger->ports[port].ring[i].state != GENERATION_FREE)
				add_generation(&ledger->ports[port].ring[i], &sum);
	return total.received + sum.received;
}

static void show(const char *what, uint64_t count)
{
	printf("  %-48s %12lu\n", what, count);
}

static void show_statuses(void)
{
	static const char *const names[STATUSES] = {
		[HV_STATUS_INVALID_PORT_ID] = "INVALID_PORT_ID",
		[HV_STATUS_INVALID_CONNECTION_ID] = "INVALID_CONNECTION_ID",
		[HV_STATUS_INVALID_SYNIC_STATE] = "INVALID_SYNIC_STATE",
		[HV_STATUS_INSUFFICIENT_BUFFERS] = "INSUFFICIENT_BUFFERS",
	};
	unsigned int i;

	printf("posts refused\n");
	for (i = 1; i < STATUSES; i++)
		if (total.status[i] || names[i])
			show(names[i] ?: "another status", total.status[i]);
}

static void show_churn(void)
{
	static const char *const names[CHURNS] = {
		[CHURN_CREATE] = "ports created",
		[CHURN_DELETE] = "ports deleted",
		[CHURN_CONNECT] = "connections made",
		[CHURN_CONNECT_REFUSED] = "connections refused: port deleted, or taken",
		[CHURN_DISCONNECT] = "connections deleted",
		[CHURN_STATE] = "partitions made inactive and active",
		[CHURN_RESET] = "VPs reset",
		[CHURN_ENDPOINT] = "endpoints closed and opened",
		[CHURN_PREFERRED] = "preferred VPs set",
		[CHURN_PAUSE] = "vCPUs called out of the guest",
		[CHURN_HOST_SIMP] = "SIMP disabled by the VMM",
		[CHURN_HOST_SCONTROL] = "SCONTROL disabled by the VMM",
		[CHURN_HOST_SINT] = "SINTs masked by the VMM",
		[CHURN_SIMP] = "SIMP disabled by the guest",
		[CHURN_SIMP_MOVE] = "SIM pages moved",
		[CHURN_SCONTROL] = "SCONTROL disabled by the guest",
		[CHURN_SINT] = "SINTs masked, polling or with AutoEOI",
		[CHURN_HALT] = "sleeps in HLT",
		[CHURN_INTERRUPTED] = "waiting posts interrupted",
	};
	unsigned int i;

	printf("meanwhile\n");
	for (i = 0; i < CHURNS; i++)
		show(names[i], total.churn[i]);
	show("port generations accounted for", total.generations);
}

void account_show(uint64_t queued, uint64_t in_hands)
{
	uint64_t sum;

	sum = total.received + total.deleted + total.reset + total.closed +
	      total.ended + total.unread;
	printf("messages\n");
	show("accepted", total.accepted);
	show("= delivered, each once and in order", total.received);
	show("+ freed by deletion of the port", total.deleted);
	show("+ freed by reset of the VP", total.reset);
	show("+ freed with the endpoint that was closed", total.closed);
	show("+ freed with the partition that ended", total.ended);
	show("+ in the slot or buffer of one that was killed", total.unread);
	show("in flight as the poster was killed, not delivered", total.unknown);
	show("queued at the last look", queued);
	show("in a slot and not yet taken then", in_hands);
	if (sum != total.accepted)
		complain("%lu messages accepted, %lu accounted for",
			 total.accepted, sum);
	show_statuses();
	show_churn();
}
