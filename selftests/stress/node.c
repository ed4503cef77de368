// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all nodes do: post as their partition, read their endpoints, create and
 * delete ports, connect and disconnect
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "node.h"

#define MAX_BUFFERS	64

unsigned int self;
struct node *own;

static int own_partition;

/* The own ports, the counts of them in the ledger, and the endpoints' files. */
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;

/**
 * struct own_port - a port of this node
 *
 * @open: it is there
 * @orphan: its endpoint is closed
 * @file: its port file
 */
static struct own_port {
	bool open;
	bool orphan;
	int file;
} own_ports[PORTS];

/**
 * struct own_endpoint - an endpoint of this node
 *
 * @lock: held while it is read and what was read is noted
 * @wanted: somebody wants the lock
 * @file: its file
 */
static struct own_endpoint {
	pthread_mutex_t lock;
	volatile bool wanted;
	int file;
} own_endpoints[ENDPOINTS];

static pthread_t workers[WORKERS];
static bool working[WORKERS];

static void call_failed(unsigned int port, unsigned long which)
{
	fault(FAULT_CALL, self, port, 0, 0, which, errno);
}

/* --- rest --- */

/*
 * True if the worker may go on in this phase.  @busiest is the last phase in which
 * it works.
 */
static bool may_work(enum worker worker, enum phase busiest)
{
	uint32_t phase = ledger->phase;

	if (PHASE_KIND(phase) <= busiest)
		return true;
	own->rest[worker] = phase;
	nap(1000);
	return false;
}

static bool is_over(void)
{
	return PHASE_KIND(ledger->phase) == PHASE_END;
}

/* --- senders --- */

static bool post_one(unsigned int sender, unsigned int port, uint64_t *chance)
{
	uint8_t payload[HV_POSTMSG_PAYLOAD_MAX];
	struct attempt attempt;
	uint32_t type, size, flags, status;

	if (!attempt_begin(&attempt, sender, port))
		return false;
	type = hvpm_vary_type(attempt.word);
	size = hvpm_vary_size(attempt.word);
	hvpm_payload_fill(payload, type, size, sender, attempt.word);
	flags = chance_below(chance, 8) ? HV_POSTMSG_POST_NONBLOCK : 0;
	if (!__hvpm_post(own_partition, CONNECTION_ID(port, attempt.gen), type,
			 payload, size, flags, &status)) {
		attempt_end(&attempt, status);
		return !status;
	}
	attempt_void(&attempt);
	if (errno == EINTR)
		count_churn(CHURN_INTERRUPTED);
	else
		call_failed(port, HV_POSTMSG_POST);
	return false;
}

static void *sender_main(void *arg)
{
	enum worker worker = (unsigned long)arg;
	unsigned int sender = self * SENDERS + worker - WORKER_SENDER;
	uint64_t chance = chance_begin(self, worker);
	unsigned int port, count;

	while (!is_over()) {
		if (!may_work(worker, PHASE_RUN))
			continue;
		port = chance_below(&chance, ALL_PORTS);
		count = chance_below(&chance, ledger->lull ? 2 : 24) + 1;
		while (count-- && post_one(sender, port, &chance))
			;
		nap(chance_below(&chance, ledger->lull ? 60000 : 3000));
	}
	return NULL;
}

/* --- readers --- */

static int read_some(unsigned int which, uint64_t *chance)
{
	struct hv_postmsg_message *to = own->read[which];
	int file = own_endpoints[which].file;
	int count = chance_below(chance, BATCH) + 1;
	struct arrival arrival = {
		.node = self, .endpoint = true, .index = which,
	};
	int ret, i;

	fcntl(file, F_SETFL, chance_below(chance, 4) ? O_NONBLOCK : 0);
	ret = read(file, to, count * sizeof(*to));
	if (ret < 0 && errno != EAGAIN && errno != EINTR)
		call_failed(ALL_PORTS, 0);
	count = ret > 0 ? ret / sizeof(*to) : 0;
	for (i = 0; i < count; i++) {
		receive(&to[i], &arrival);
		compiler_barrier();
		*(volatile uint32_t *)&to[i].type = 0;
	}
	own->endpoints[which].passes++;
	return count;
}

static void *reader_main(void *arg)
{
	enum worker worker = (unsigned long)arg;
	unsigned int which = worker - WORKER_READER;
	struct own_endpoint *endpoint = &own_endpoints[which];
	uint64_t chance = chance_begin(self, worker);
	int count;

	while (!is_over()) {
		if (!may_work(worker, PHASE_QUIET))
			continue;
		if (endpoint->wanted) {
			nap(500);
			continue;
		}
		pthread_mutex_lock(&endpoint->lock);
		count = read_some(which, &chance);
		pthread_mutex_unlock(&endpoint->lock);
		if (!count)
			nap(2000);
	}
	return NULL;
}

/* The reader may be asleep with the lock held: wake it until it lets go. */
static void lock_endpoint(unsigned int which)
{
	struct own_endpoint *endpoint = &own_endpoints[which];

	endpoint->wanted = true;
	while (pthread_mutex_trylock(&endpoint->lock)) {
		pthread_kill(workers[WORKER_READER + which], INTERRUPT);
		nap(500);
	}
	endpoint->wanted = false;
}

/* --- own ports --- */

static unsigned int port_number(unsigned int which)
{
	return self * PORTS + which;
}

static struct generation *last_generation(unsigned int which)
{
	unsigned int port = port_number(which);

	return generation_of(port, ledger->ports[port].last);
}

/* Note what the module has counted for a port. */
static void sample(unsigned int which, struct hv_postmsg_port_stats *stats)
{
	struct generation *generation = last_generation(which);
	unsigned int i;

	for (i = 0; i < VPS; i++)
		generation->resets_known[i] = own->vps[i].resets_ended;
	full_barrier();
	stats->size = sizeof(*stats);
	stats->flags = 0;
	stats->port_id = PORT_ID(port_number(which));
	if (__hvpm_ioctl(own_partition, HV_POSTMSG_PORT_STATS, stats)) {
		call_failed(port_number(which), HV_POSTMSG_PORT_STATS);
		return;
	}
	generation->known.posted = stats->posted;
	generation->known.delivered = stats->delivered;
	generation->known.freed = stats->freed;
}

/* Prepare the ledger for a new generation, if there is room. */
static bool generation_begin(unsigned int which, uint32_t buffers)
{
	struct port *port = &ledger->ports[port_number(which)];
	struct place place = port_place(port_number(which));
	uint32_t gen = port->last + 1;
	struct generation *generation = generation_of(port_number(which), gen);
	unsigned int i;

	if (gen > GEN_MAX || generation->state != GENERATION_FREE)
		return false;
	memset(generation, 0, sizeof(*generation));
	generation->buffers = buffers ?: 16;
	for (i = 0; i < VPS; i++) {
		generation->resets_first[i] = own->vps[i].resets_ended;
		generation->resets_known[i] = own->vps[i].resets_ended;
	}
	for (i = 0; i < ALL_SENDERS; i++) {
		if (place.index < VPS)
			generation->streams[i].resets =
				own->vps[place.index].resets_ended;
		generation->streams[i].gen = gen;
	}
	generation->gen = gen;
	compiler_barrier();
	generation->state = GENERATION_OPEN;
	port->last = gen;
	return true;
}

static int create_port(unsigned int which, uint32_t flags, uint32_t buffers)
{
	struct place place = port_place(port_number(which));
	struct hv_postmsg_create_port create = {
		.size = sizeof(create),
		.flags = flags,
		.port_id = PORT_ID(port_number(which)),
		.type = HV_POSTMSG_PORT_MESSAGE,
		.endpoint_fd = -1,
		.buffers = buffers,
	};

	if (place.endpoint) {
		create.flags |= HV_POSTMSG_PORT_ENDPOINT;
		create.endpoint_fd = own_endpoints[place.index].file;
	} else {
		create.sint = place.sint;
		create.vp = place.index;
	}
	return __hvpm_ioctl(own_partition, HV_POSTMSG_CREATE_PORT, &create);
}

static void open_port(unsigned int which, uint64_t *chance)
{
	uint32_t buffers = chance_below(chance, 4) ? chance_below(chance, 24) :
						     MAX_BUFFERS;
	unsigned int port = port_number(which);
	struct own_port *mine = &own_ports[which];
	uint32_t flags = HV_POSTMSG_PORT_SHARED;

	if (!chance_below(chance, 16))
		flags = 0;
	pthread_mutex_lock(&ports_lock);
	if (generation_begin(which, buffers)) {
		if (create_port(which, flags, buffers))
			call_failed(port, HV_POSTMSG_CREATE_PORT);
		mine->file = __hvpm_port_fd(own_partition, PORT_ID(port));
		if (mine->file < 0)
			call_failed(port, HV_POSTMSG_PORT_FD);
		mine->open = true;
		mine->orphan = false;
		ledger->ports[port].published =
			(uint64_t)ledger->ports[port].last << 32 |
			(mine->file + 1);
		count_churn(CHURN_CREATE);
	}
	pthread_mutex_unlock(&ports_lock);
}

/* What can have happened to its messages, and when it will have. */
static void note_end(unsigned int which)
{
	struct place place = port_place(port_number(which));
	struct generation *generation = last_generation(which);
	unsigned int i;

	for (i = 0; i < VPS; i++)
		generation->resets_last[i] = own->vps[i].resets_begun;
	if (place.endpoint)
		generation->passes[0] = own->endpoints[place.index].passes;
	else
		for (i = 0; i < VPS; i++)
			generation->passes[i] = own->vps[i].passes;
}

static void delete_port(unsigned int which)
{
	unsigned int port = port_number(which);
	struct own_port *mine = &own_ports[which];
	struct hv_postmsg_port_stats stats;

	pthread_mutex_lock(&ports_lock);
	/* Taken back before the file's number can become another's. */
	ledger->ports[port].published = 0;
	full_barrier();
	close(mine->file);
	sample(which, &stats);
	if (__hvpm_delete_port(own_partition, PORT_ID(port)))
		call_failed(port, HV_POSTMSG_DELETE_PORT);
	mine->open = false;
	full_barrier();
	note_end(which);
	compiler_barrier();
	last_generation(which)->state = GENERATION_DELETED;
	pthread_mutex_unlock(&ports_lock);
	count_churn(CHURN_DELETE);
}

/* --- connections, to the ports of all nodes --- */

static void disconnect(unsigned int port, uint64_t *chance)
{
	uint32_t gen = own->connected[port];

	/* Now and then posters learn from the module that it is gone. */
	if (chance_below(chance, 2))
		own->connected[port] = 0;
	if (__hvpm_disconnect(own_partition, CONNECTION_ID(port, gen)))
		call_failed(port, HV_POSTMSG_DISCONNECT);
	nap(chance_below(chance, 500));
	own->connected[port] = 0;
	count_churn(CHURN_DISCONNECT);
}

/* Take a port file out of its owner's process; -1 if it is gone. */
static int take_file(unsigned int port, uint64_t published)
{
	struct node *owner = &ledger->nodes[port / PORTS];
	int process, file;

	process = syscall(SYS_pidfd_open, owner->pid, 0);
	if (process < 0)
		return -1;
	file = syscall(SYS_pidfd_getfd, process, (int)published - 1, 0);
	close(process);
	full_barrier();
	/* If it was taken back meanwhile, the file may be another. */
	if (file >= 0 && ledger->ports[port].published != published) {
		close(file);
		return -1;
	}
	return file;
}

static void connect_to(unsigned int port, uint64_t published)
{
	uint32_t gen = published >> 32;
	int file = take_file(port, published);
	uint32_t flags = 0;

	if (file < 0)
		return;
	if (port / PORTS == self)
		flags = HV_POSTMSG_CONNECT_SELF;
	if (!__hvpm_connect(own_partition, CONNECTION_ID(port, gen), file, flags)) {
		own->connected[port] = gen;
		count_churn(CHURN_CONNECT);
	} else if (errno == ENXIO || errno == EBUSY) {
		count_churn(CHURN_CONNECT_REFUSED);
	} else {
		call_failed(port, HV_POSTMSG_CONNECT);
	}
	close(file);
}

static void refresh_connection(unsigned int port, uint64_t *chance)
{
	uint64_t published = ledger->ports[port].published;
	uint32_t connected = own->connected[port];

	if (connected) {
		if (connected == published >> 32 && chance_below(chance, 40))
			return;
		disconnect(port, chance);
	}
	if (published)
		connect_to(port, published);
}

/* --- churn --- */

static void churn_ports(uint64_t *chance)
{
	unsigned int which = chance_below(chance, PORTS);
	struct own_port *mine = &own_ports[which];

	if (!mine->open)
		open_port(which, chance);
	else if (!chance_below(chance, mine->orphan ? 8 : 40))
		delete_port(which);
}

static void churn_state(uint64_t *chance)
{
	if (__hvpm_set_state(own_partition, HV_POSTMSG_STATE_INACTIVE))
		call_failed(ALL_PORTS, HV_POSTMSG_SET_STATE);
	nap(chance_below(chance, 4000));
	if (__hvpm_set_state(own_partition, HV_POSTMSG_STATE_ACTIVE))
		call_failed(ALL_PORTS, HV_POSTMSG_SET_STATE);
	count_churn(CHURN_STATE);
}

static void churn_reset(uint64_t *chance)
{
	unsigned int vp = chance_below(chance, VPS), which;
	struct hv_postmsg_port_stats stats;

	own->vps[vp].resets_begun++;
	full_barrier();
	if (__hvpm_reset_vp(own_partition, vp))
		call_failed(ALL_PORTS, HV_POSTMSG_RESET_VP);
	full_barrier();
	own->vps[vp].resets_ended++;
	count_churn(CHURN_RESET);
	pthread_mutex_lock(&ports_lock);
	for (which = 0; which < PORTS; which++)
		if (own_ports[which].open &&
		    receives_at(port_number(which), false, vp))
			sample(which, &stats);
	pthread_mutex_unlock(&ports_lock);
}

/* What a post under way has left to a worker is freed a moment later. */
static void check_closed(unsigned int which)
{
	struct hv_postmsg_port_stats stats;
	unsigned int tries;

	sample(which, &stats);
	for (tries = 0; tries < 30000 && stats.free != stats.buffers; tries++) {
		nap(1000);
		sample(which, &stats);
	}
	if (stats.queued || stats.free != stats.buffers)
		fault(FAULT_CLOSED, self, port_number(which),
		      ledger->ports[port_number(which)].last, 0, stats.queued,
		      stats.buffers - stats.free);
	own_ports[which].orphan = true;
	last_generation(which)->orphan = true;
}

static void open_endpoint(unsigned int which, uint64_t *chance)
{
	uint32_t depth = chance_below(chance, 2) ? chance_below(chance, 32) : 256;

	own_endpoints[which].file = hvpm_create_endpoint(own_partition, depth);
}

/* Close one with its ports and what is queued, and make another. */
static void churn_endpoint(uint64_t *chance)
{
	unsigned int endpoint = self < VMS ? 0 : chance_below(chance, ENDPOINTS);
	unsigned int which;

	lock_endpoint(endpoint);
	pthread_mutex_lock(&ports_lock);
	close(own_endpoints[endpoint].file);
	for (which = 0; which < PORTS; which++)
		if (own_ports[which].open && !own_ports[which].orphan &&
		    receives_at(port_number(which), true, endpoint))
			check_closed(which);
	open_endpoint(endpoint, chance);
	pthread_mutex_unlock(&ports_lock);
	pthread_mutex_unlock(&own_endpoints[endpoint].lock);
	count_churn(CHURN_ENDPOINT);
}

static void churn_preferred(uint64_t *chance)
{
	static const uint32_t choice[] = { 0, 1, VPS, HV_POSTMSG_ANY_VP };
	struct hv_postmsg_port_property set = {
		.size = sizeof(set),
		.port_id = PORT_ID(port_number(PORTS - 2)),
		.property = HV_POSTMSG_PROPERTY_PREFERRED_VP,
		.value = choice[chance_below(chance, 4)],
	};

	if (!__hvpm_ioctl(own_partition, HV_POSTMSG_SET_PORT_PROPERTY, &set))
		count_churn(CHURN_PREFERRED);
	else if (errno != ENOENT)
		call_failed(PORTS - 2, HV_POSTMSG_SET_PORT_PROPERTY);
}

static void churn_rest(uint64_t *chance)
{
	switch (chance_below(chance, 40)) {
	case 0 ... 1:
		churn_state(chance);
		break;
	case 2:
		if (self < VMS)
			churn_reset(chance);
		break;
	case 3:
		churn_endpoint(chance);
		break;
	case 4 ... 5:
		if (self < VMS)
			churn_preferred(chance);
		break;
	}
}

/* Two of them: each has half of the connections, and one the ports. */
static void *churn_main(void *arg)
{
	enum worker worker = (unsigned long)arg;
	uint64_t chance = chance_begin(self, worker);
	unsigned int half = worker == WORKER_STATE, i;

	while (!is_over()) {
		if (!may_work(worker, PHASE_RUN))
			continue;
		for (i = 0; i < 4; i++)
			refresh_connection(chance_below(&chance, ALL_PORTS / 2) *
					   2 + half, &chance);
		if (worker == WORKER_PORTS)
			churn_ports(&chance);
		else
			churn_rest(&chance);
		nap(chance_below(&chance, 8000));
	}
	return NULL;
}

/* --- all of it --- */

static void interrupted(int signal)
{
}

void node_begin(unsigned int node)
{
	/* What waits shall not go on by itself. */
	struct sigaction action = { .sa_handler = interrupted };

	self = node;
	own = &ledger->nodes[node];
	own->pid = getpid();
	sigaction(INTERRUPT, &action, NULL);
}

static void start_worker(enum worker worker, void *(*function)(void *))
{
	int ret = pthread_create(&workers[worker], NULL, function,
				 (void *)(unsigned long)worker);

	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
	working[worker] = true;
}

void node_start(int partition, unsigned int first_sender)
{
	uint64_t chance = chance_begin(self, WORKERS);
	unsigned int endpoints = self < VMS ? 1 : ENDPOINTS, i;

	own_partition = partition;
	own->partition = partition;
	for (i = 0; i < endpoints; i++) {
		pthread_mutex_init(&own_endpoints[i].lock, NULL);
		open_endpoint(i, &chance);
	}
	for (i = 0; i < PORTS; i++)
		open_port(i, &chance);
	for (i = first_sender; i < SENDERS; i++)
		start_worker(WORKER_SENDER + i, sender_main);
	for (i = 0; i < endpoints; i++)
		start_worker(WORKER_READER + i, reader_main);
	start_worker(WORKER_PORTS, churn_main);
	start_worker(WORKER_STATE, churn_main);
	own->ready = true;
}

/* Does a worker have to be interrupted in what it may be waiting for? */
static bool shall_rest(enum worker worker, uint32_t phase)
{
	if (own->rest[worker] == phase)
		return false;
	/* In the end the queues get empty, but then a waiting post is queued. */
	if (PHASE_KIND(phase) == PHASE_QUIET)
		return worker < WORKER_READER;
	return PHASE_KIND(phase) >= PHASE_FROZEN;
}

static void interrupt_workers(uint32_t phase, uint64_t *chance)
{
	bool sender, by_chance;
	enum worker worker;

	for (worker = 0; worker < WORKERS; worker++) {
		sender = worker < WORKER_READER;
		by_chance = sender && !chance_below(chance, 32);
		if (working[worker] && (by_chance || shall_rest(worker, phase)))
			pthread_kill(workers[worker], INTERRUPT);
	}
}

static void join_workers(void)
{
	enum worker worker;

	for (worker = 0; worker < WORKERS; worker++)
		while (working[worker] &&
		       pthread_tryjoin_np(workers[worker], NULL)) {
			pthread_kill(workers[worker], INTERRUPT);
			nap(1000);
		}
}

bool node_interrupt(uint64_t *chance)
{
	if (is_over()) {
		join_workers();
		return false;
	}
	interrupt_workers(ledger->phase, chance);
	return true;
}

void host_main(unsigned int node)
{
	uint64_t chance;

	node_begin(node);
	chance = chance_begin(self, WORKERS + 1);
	node_start(hvpm_create_host_partition(), 0);
	while (node_interrupt(&chance))
		nap(1000 + chance_below(&chance, 4000));
	close(own_partition);
	_exit(0);
}
