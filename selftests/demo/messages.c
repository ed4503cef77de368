// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acts 1 and 2 of the demo
 *
 *	messages 1 [COUNT]	guest to guest, and each guest to itself
 *	messages 2 [COUNT]	guest to host process, and host process to guest
 *	messages 0		the control: what is wrong on purpose is found
 *
 * Two processes, each a side.  A side is a VMM with one guest VM of one VP, or
 * in act 2 also a plain host process.  The sides post COUNT messages to each
 * other at the same time, guests of act 1 as many to themselves on top, and
 * every receiver checks each message it gets by what the payload carries.
 * Whoever posted or received counts; the program that reports knows nothing but
 * those counts, holds them against the module's statistics, and fails on any
 * difference.
 *
 * In the control the host process posts messages that are missing, doubled, out
 * of order and damaged, and the guest posts once where its VMM must see it.
 */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "hvpm.h"
#include "apic.h"

#define DEFAULT_COUNT	100000

/* Progress is looked at and shown this often, and a lack of it is an end. */
#define TICK_MS		100
#define SHOW_EVERY	25000
#define PATIENCE_S	60

/* The streams of a side: with the other side, and with itself. */
enum { PEER, SELF, STREAMS };

static const uint32_t port_ids[STREAMS] = { 0x101, 0x102 };
static const uint32_t connection_ids[STREAMS] = { 0x201, 0x202 };
static const uint32_t sints[STREAMS] = { 2, 3 };

/**
 * struct outgoing - what a side posts on one connection
 *
 * @count: messages to post, set by the VMM
 * @posted: messages accepted
 * @refused: posts refused with HV_STATUS_INSUFFICIENT_BUFFERS, and repeated
 * @status: any other refusal, which ends the stream
 * @prepared: messages written to the input block so far
 */
struct outgoing {
	uint64_t count;
	uint64_t posted;
	uint64_t refused;
	uint64_t status;
	uint64_t prepared;
};

/**
 * struct incoming - what a side receives through one port
 *
 * @count: messages to expect, set by the VMM
 * @sender: who posts them, as their payload says
 * @interrupts: interrupts of the SINT that were looked into
 * @tally: the messages
 */
struct incoming {
	uint64_t count;
	uint64_t sender;
	uint64_t interrupts;
	struct hvpm_tally tally;
};

/**
 * struct traffic - a side's messages; a guest's is in its struct hvpm_guest
 *
 * @side: the side's number, its sender number for its peer
 * @out: by stream
 * @in: by stream
 */
struct traffic {
	uint64_t side;
	struct outgoing out[STREAMS];
	struct incoming in[STREAMS];
};

kvm_static_assert(sizeof(struct traffic) <= sizeof(((struct hvpm_guest *)0)->data));

/**
 * struct report - what a side leaves for the end
 *
 * @traffic: the guest's or host process's counts
 * @user_exits: hypercalls its VMM saw
 * @partition: the module's counts
 * @port: the module's counts, by stream
 */
struct report {
	struct traffic traffic;
	uint64_t user_exits;
	struct hv_postmsg_partition_stats partition;
	struct hv_postmsg_port_stats port[STREAMS];
};

static unsigned int act;

/* For the reader: what is shown as the act's name, and the sides'. */
static const char *title, *names[2];

#define say(fmt, ...)	printf("%s: " fmt "\n", title, ##__VA_ARGS__)

/* Streams in use: only guests post to themselves. */
static unsigned int streams(void)
{
	return act == 1 ? STREAMS : 1;
}

/* Messages are told apart by who posts on which of its connections. */
static uint32_t sender_of(uint64_t side, unsigned int stream)
{
	return 0x5e000000 | side << 8 | stream;
}

static uint64_t received(const struct incoming *in)
{
	return in->tally.received + in->tally.corrupt;
}

static void check_message(struct incoming *in, uint32_t port_id,
			  const struct hv_postmsg_message *message)
{
	struct hvpm_payload head;

	if (hvpm_payload_check(message->payload, message->type,
			       message->payload_size, &head) &&
	    head.sender == in->sender && message->port_id == port_id)
		hvpm_tally_count(&in->tally, head.sequence);
	else
		in->tally.corrupt++;
}

/* --- the guest --- */

/*
 * The VP assist page tells whether the end of an interrupt needs saying: the
 * specification's way to spare the guest, and us, an exit per message.
 */
static uint32_t *guest_assist;
static uint64_t guest_assist_gpa;

__attribute__((target("general-regs-only")))
static void guest_interrupt(struct ex_regs *regs)
{
	bool needless;

	hvpm_guest_interrupt(regs);
	asm volatile("lock btrl $0, %0" : "+m"(*guest_assist), "=@ccc"(needless));
	if (!needless)
		wrmsr(APIC_BASE_MSR + (APIC_EOI >> 4), 0);
}

/* Take what the interrupts announce; true if that was anything. */
static bool guest_receive(struct hvpm_guest *guest, struct traffic *traffic)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < STREAMS; i++) {
		struct incoming *in = &traffic->in[i];
		uint32_t interrupts = guest->interrupts[sints[i]];

		if (in->interrupts == interrupts)
			continue;
		in->interrupts = interrupts;
		while (hvpm_guest_take(guest, sints[i], &guest->message)) {
			check_message(in, port_ids[i], &guest->message);
			any = true;
		}
	}
	return any;
}

/* Post the next message, or once more the one that was refused. */
static bool guest_post(struct hvpm_guest *guest, struct traffic *traffic,
		       unsigned int stream)
{
	struct outgoing *out = &traffic->out[stream];
	const uint32_t offset = stream * 4096;
	struct hvpm_input *input = (struct hvpm_input *)(guest->input + offset);
	uint64_t status;

	if (out->posted == out->count || out->status)
		return false;
	if (out->prepared == out->posted) {
		input->connection_id = connection_ids[stream];
		input->reserved = 0;
		input->message_type = hvpm_vary_type(out->posted);
		input->payload_size = hvpm_vary_size(out->posted);
		hvpm_payload_fill(input->payload, input->message_type,
				  input->payload_size,
				  sender_of(traffic->side, stream), out->posted);
		out->prepared++;
	}
	status = hvpm_guest_hypercall(guest, HVPM_POST,
				      guest->input_gpa + offset, 0);
	if (!status)
		out->posted++;
	else if (status == HV_STATUS_INSUFFICIENT_BUFFERS)
		out->refused++;
	else
		out->status = status;
	return !status;
}

static bool all_posted(const struct traffic *traffic)
{
	unsigned int i;

	for (i = 0; i < STREAMS; i++)
		if (traffic->out[i].posted != traffic->out[i].count &&
		    !traffic->out[i].status)
			return false;
	return true;
}

static bool all_received(const struct traffic *traffic)
{
	unsigned int i;

	for (i = 0; i < STREAMS; i++)
		if (received(&traffic->in[i]) < traffic->in[i].count)
			return false;
	return true;
}

/* HLT until an interrupt that was not looked into yet. */
static void guest_halt(struct hvpm_guest *guest, const struct traffic *traffic)
{
	asm volatile("cli" : : : "memory");
	/* STI takes effect after HLT: no interrupt is missed. */
	if (guest->interrupts[sints[PEER]] == traffic->in[PEER].interrupts &&
	    guest->interrupts[sints[SELF]] == traffic->in[SELF].interrupts)
		asm volatile("sti; hlt" : : : "memory");
	asm volatile("sti; nop" : : : "memory");
}

enum { GUEST_READY, GUEST_FINISHED };

static void guest_code(struct hvpm_guest *guest)
{
	struct traffic *traffic = (struct traffic *)guest->data;
	bool progress;
	unsigned int i;

	hvpm_guest_init(guest);
	guest->no_eoi = true;
	wrmsr(HV_X64_MSR_VP_ASSIST_PAGE, guest_assist_gpa | BIT(0));
	for (i = 0; i < STREAMS; i++)
		hvpm_guest_enable_synic(guest, sints[i]);
	GUEST_SYNC(GUEST_READY);

	while (!all_posted(traffic) || !all_received(traffic)) {
		progress = guest_receive(guest, traffic);
		for (i = 0; i < STREAMS; i++)
			progress |= guest_post(guest, traffic, i);
		if (progress)
			continue;
		if (all_posted(traffic))
			guest_halt(guest, traffic);
		else
			cpu_relax();
	}

	/* The other side is at its end too: now there must be no more. */
	GUEST_SYNC(GUEST_FINISHED);
	guest_receive(guest, traffic);
	GUEST_DONE();
}

/* --- a side's process --- */

static int peer_socket;
static volatile bool finished;

/* Both sides come here before either goes on. */
static void meet_peer(void)
{
	char byte = 0;

	TEST_ASSERT(write(peer_socket, &byte, 1) == 1 &&
		    read(peer_socket, &byte, 1) == 1, "the other side is gone");
}

/* Give the other side the right to post to us, and get the same from it. */
static void connect_peer(int partition)
{
	int port_fd = hvpm_port_fd(partition, port_ids[PEER]);

	hvpm_send_fd(peer_socket, port_fd);
	close(port_fd);
	port_fd = hvpm_receive_fd(peer_socket);
	hvpm_connect(partition, connection_ids[PEER], port_fd, 0);
	close(port_fd);
}

static void expect_messages(struct traffic *traffic, uint64_t side,
			    uint64_t count)
{
	unsigned int i;

	traffic->side = side;
	for (i = 0; i < streams(); i++) {
		traffic->out[i].count = count;
		traffic->in[i].count = count;
	}
	traffic->in[PEER].sender = sender_of(!side, PEER);
	traffic->in[SELF].sender = sender_of(side, SELF);
}

/* Lay the counts as they are now where the reporting process sees them. */
static void update(struct report *report, const struct traffic *traffic,
		   int partition)
{
	unsigned int i;

	report->traffic = *traffic;
	hvpm_partition_stats(partition, &report->partition);
	for (i = 0; i < streams(); i++)
		hvpm_port_stats(partition, port_ids[i], &report->port[i]);
}

/* Do so until the side's thread has finished, and once more then. */
static void update_until_finished(struct report *report,
				  const struct traffic *traffic, int partition,
				  pthread_t thread)
{
	while (!finished) {
		usleep(TICK_MS * 1000);
		update(report, traffic, partition);
	}
	pthread_join(thread, NULL);
	update(report, traffic, partition);
}

static void *run_guest(void *arg)
{
	struct hvpm_vp *vp = arg;
	struct kvm_run *run = vp->vcpu->run;
	struct ucall uc;

	while (!finished) {
		switch (hvpm_vp_run(vp, &uc)) {
		case UCALL_SYNC:
			meet_peer();
			break;
		case UCALL_DONE:
			finished = true;
			break;
		default:
			TEST_ASSERT(run->exit_reason == KVM_EXIT_HYPERV,
				    "unexpected exit %u (%s)", run->exit_reason,
				    exit_reason_str(run->exit_reason));
			/* Counted by the library; answered as an old VMM does. */
			run->hyperv.u.hcall.result =
				HV_STATUS_INVALID_HYPERCALL_CODE;
		}
	}
	return NULL;
}

static void start(pthread_t *thread, void *(*function)(void *), void *arg)
{
	int ret = pthread_create(thread, NULL, function, arg);

	TEST_ASSERT(!ret, "pthread_create: %s", strerror(ret));
}

static void add_assist_page(struct kvm_vm *vm)
{
	vm_vaddr_t page = vm_vaddr_alloc_page(vm);
	unsigned int i;

	*(vm_vaddr_t *)addr_gva2hva(vm, (vm_vaddr_t)&guest_assist) = page;
	*(uint64_t *)addr_gva2hva(vm, (vm_vaddr_t)&guest_assist_gpa) =
		addr_gva2gpa(vm, page);
	for (i = 0; i < STREAMS; i++)
		vm_install_exception_handler(vm, HVPM_VECTOR(0, sints[i]),
					     guest_interrupt);
}

static void vmm(uint64_t side, uint64_t count, struct report *report)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, guest_code);
	struct hvpm_vp *vp = &vm->vps[0];
	struct traffic *traffic = (struct traffic *)vp->guest->data;
	int partition = hvpm_vm_attach(vm, act ? 0 : HV_POSTMSG_PARTITION_PASS_UNKNOWN);
	unsigned int i;
	pthread_t thread;

	add_assist_page(vm->vm);
	for (i = 0; i < streams(); i++)
		hvpm_create_port(partition, port_ids[i], 0, sints[i], 0, 0);
	connect_peer(partition);
	if (streams() > SELF)
		hvpm_join(partition, connection_ids[SELF], partition,
			  port_ids[SELF]);
	expect_messages(traffic, side, count);
	if (!act) {
		/* One post, on a connection that is not there. */
		traffic->out[PEER].count = 0;
		traffic->out[SELF].count = 1;
	}

	start(&thread, run_guest, vp);
	update_until_finished(report, traffic, partition, thread);
	report->user_exits = vp->exits;
	meet_peer();
	hvpm_vm_free(vm);
}

/* --- the host process --- */

static int host_partition;
static int endpoint;
static struct traffic host_traffic;

static void host_read(struct incoming *in)
{
	struct hv_postmsg_message messages[16];
	ssize_t i, bytes = read(endpoint, messages, sizeof(messages));

	TEST_ASSERT(bytes > 0 && !(bytes % sizeof(*messages)),
		    "read() of the endpoint returns %zd: %s", bytes,
		    strerror(errno));
	for (i = 0; i < bytes / sizeof(*messages); i++)
		check_message(in, port_ids[PEER], &messages[i]);
}

static void *run_reader(void *arg)
{
	struct incoming *in = &host_traffic.in[PEER];

	while (received(in) < in->count)
		host_read(in);
	return NULL;
}

/*
 * The control's messages.  Of numbers 0 to 8, 3 and 7 are missing, one is there
 * twice and one is late; three are damaged, each in its own way.
 */
static const struct {
	uint64_t sequence;
	bool bad_type, bad_size, bad_payload;
} control[] = {
	{ 0 }, { 1 }, { 2 }, { 2 }, { 4 }, { 6 }, { 5 },
	{ 7, .bad_type = true }, { 7, .bad_size = true },
	{ 7, .bad_payload = true }, { 8 },
};

static void *run_control_poster(void *arg)
{
	struct outgoing *out = &host_traffic.out[PEER];
	uint8_t payload[HV_POSTMSG_PAYLOAD_MAX];
	uint32_t type, size, status;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(control); i++) {
		type = hvpm_vary_type(control[i].sequence);
		size = 100;
		hvpm_payload_fill(payload, type, size,
				  sender_of(host_traffic.side, PEER),
				  control[i].sequence);
		type ^= control[i].bad_type;
		size -= control[i].bad_size;
		payload[50] ^= control[i].bad_payload;
		TEST_ASSERT(!__hvpm_post(host_partition, connection_ids[PEER],
					 type, payload, size, 0, &status) &&
			    !status, "message %u: status 0x%x", i, status);
		out->posted++;
	}
	return NULL;
}

static void *run_poster(void *arg)
{
	struct outgoing *out = &host_traffic.out[PEER];

	while (out->posted < out->count && !out->status) {
		out->status = hvpm_post(host_partition, connection_ids[PEER],
					hvpm_vary_type(out->posted),
					hvpm_vary_size(out->posted), 0,
					sender_of(host_traffic.side, PEER),
					out->posted);
		if (!out->status)
			out->posted++;
	}
	return NULL;
}

static void *run_host(void *arg)
{
	struct pollfd more = { .events = POLLIN };
	pthread_t reader, poster;

	meet_peer();
	start(&reader, run_reader, NULL);
	start(&poster, act ? run_poster : run_control_poster, NULL);
	pthread_join(poster, NULL);
	pthread_join(reader, NULL);

	/* The other side is at its end too: now there must be no more. */
	meet_peer();
	for (more.fd = endpoint; poll(&more, 1, 0) == 1 && more.revents & POLLIN;)
		host_read(&host_traffic.in[PEER]);
	finished = true;
	return NULL;
}

static void host(uint64_t side, uint64_t count, struct report *report)
{
	pthread_t thread;

	host_partition = hvpm_create_host_partition();
	endpoint = hvpm_create_endpoint(host_partition, 0);
	hvpm_create_endpoint_port(host_partition, port_ids[PEER], endpoint, 0, 0);
	connect_peer(host_partition);
	expect_messages(&host_traffic, side, count);
	if (!act)
		host_traffic.in[PEER].count = 0;

	start(&thread, run_host, NULL);
	update_until_finished(report, &host_traffic, host_partition, thread);
	meet_peer();
}

/* --- the judge --- */

static bool same(const char *what, uint64_t counted, uint64_t module)
{
	if (counted == module)
		return true;
	say("%s: %lu were counted, the module says %lu", what, counted, module);
	return false;
}

/* Hold the counts of one receiving side against the module's. */
static bool judge(const char *of, const struct report *report,
		  const struct report *peer)
{
	const struct traffic *mine = &report->traffic, *theirs = &peer->traffic;
	const struct outgoing *senders[STREAMS] = {
		&theirs->out[PEER], &mine->out[SELF],
	};
	const struct hv_postmsg_partition_stats *partition = &report->partition;
	uint64_t posted = 0, delivered = 0, mine_posted = 0, mine_refused = 0;
	unsigned int i, other;
	bool ok = true;

	for (i = 0; i < streams(); i++) {
		const struct hv_postmsg_port_stats *port = &report->port[i];
		const struct incoming *in = &mine->in[i];
		const struct outgoing *out = senders[i];

		if (out->status) {
			say("a post to port 0x%x of %s got status 0x%lx",
			    port_ids[i], of, out->status);
			ok = false;
		}
		if (out->posted != out->count || received(in) != in->count) {
			say("port 0x%x of %s: %lu of %lu posted, %lu received",
			    port_ids[i], of, out->posted, out->count,
			    received(in));
			ok = false;
		}
		ok &= same("posted to a port", out->posted, port->posted);
		ok &= same("received from a port", received(in), port->delivered);
		ok &= same("refused by a port", out->refused,
			   port->refused_buffers);
		ok &= same("queued at the end", 0, port->queued);
		ok &= same("buffers free at the end", port->buffers, port->free);
		ok &= same("other refusals by a port", 0, port->refused_port +
			   port->refused_vp + port->refused_synic);
		posted += out->posted;
		delivered += received(in);
		mine_posted += mine->out[i].posted;
		mine_refused += mine->out[i].refused;
	}
	ok &= same("posted to a partition", posted, partition->posted);
	ok &= same("received by a partition", delivered, partition->delivered);
	ok &= same("freed", 0, partition->freed);
	ok &= same("queued at the end", 0, partition->queued);
	ok &= same("faults", 0, partition->faults);
	ok &= same("passed to the VMM", report->user_exits, partition->passed);
	ok &= same("posts by a partition", mine_posted, partition->status[0]);
	ok &= same("refused posts of a partition", mine_refused,
		   partition->status[HV_STATUS_INSUFFICIENT_BUFFERS]);
	for (other = 0, i = 1; i < HV_POSTMSG_STATUS_COUNT; i++)
		if (i != HV_STATUS_INSUFFICIENT_BUFFERS)
			other += partition->status[i];
	ok &= same("other refused posts of a partition", 0, other);
	return ok;
}

/* What was posted and has not come at the very end is lost too. */
static uint64_t lost(const struct incoming *in, const struct outgoing *out)
{
	uint64_t missing = 0;

	if (in->tally.next < out->posted)
		missing = out->posted - in->tally.next;
	return in->tally.lost + missing;
}

/*
 * Show how far the sides are until both have ended.  False if one of them ended
 * badly, or if nothing moved for too long.
 */
static bool follow(const pid_t *sides, const struct report *reports)
{
	uint64_t posted[2], got[2], sum, last = 0, shown = 0;
	unsigned int i, ended = 0, still = 0;
	int status;
	pid_t pid;

	while (ended < 2) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid && status) {
			if (WIFSIGNALED(status))
				say("process %d was killed by signal %d", pid,
				    WTERMSIG(status));
			else
				say("process %d ended with status %d", pid,
				    WEXITSTATUS(status));
			break;
		}
		if (pid) {
			ended++;
			continue;
		}
		usleep(TICK_MS * 1000);

		for (sum = 0, i = 0; i < 2; i++) {
			const struct traffic *traffic = &reports[i].traffic;

			posted[i] = traffic->out[PEER].posted +
				    traffic->out[SELF].posted;
			got[i] = received(&traffic->in[PEER]) +
				 received(&traffic->in[SELF]);
			sum += posted[i] + got[i];
		}
		if ((posted[0] + posted[1]) / SHOW_EVERY != shown) {
			shown = (posted[0] + posted[1]) / SHOW_EVERY;
			say("%s has posted %lu and received %lu, %s %lu and %lu",
			    names[0], posted[0], got[0], names[1], posted[1],
			    got[1]);
		}
		still = sum == last ? still + 1 : 0;
		last = sum;
		if (still >= PATIENCE_S * 1000 / TICK_MS) {
			say("nothing has moved for %u s", PATIENCE_S);
			break;
		}
	}
	if (ended == 2)
		return true;
	/* What is left waits for the other side in vain. */
	kill(sides[0], SIGKILL);
	kill(sides[1], SIGKILL);
	while (wait(NULL) > 0)
		;
	return false;
}

/* The sum of all counts, on the act's last line. */
struct sum {
	uint64_t posted, delivered, user_exits;
	struct hvpm_tally tally;
};

static void conclude(const struct report *reports, struct sum *sum)
{
	unsigned int i, j;

	for (i = 0; i < 2; i++) {
		const struct traffic *traffic = &reports[i].traffic;

		sum->user_exits += reports[i].user_exits;
		for (j = 0; j < STREAMS; j++) {
			const struct incoming *in = &traffic->in[j];
			const struct outgoing *out = j == SELF ?
				&traffic->out[SELF] : &reports[!i].traffic.out[PEER];

			sum->posted += out->posted;
			sum->delivered += received(in);
			sum->tally.lost += lost(in, out);
			sum->tally.duplicated += in->tally.duplicated;
			sum->tally.reordered += in->tally.reordered;
			sum->tally.corrupt += in->tally.corrupt;
		}
	}
	printf("%s: posted=%lu delivered=%lu ", title, sum->posted, sum->delivered);
	printf("lost=%lu duplicated=%lu reordered=%lu corrupt=%lu user_exits=%lu\n",
	       sum->tally.lost, sum->tally.duplicated, sum->tally.reordered,
	       sum->tally.corrupt, sum->user_exits);
}

static bool flawless(const struct sum *sum)
{
	return sum->posted == sum->delivered && !sum->tally.lost &&
	       !sum->tally.duplicated && !sum->tally.reordered &&
	       !sum->tally.corrupt && !sum->user_exits;
}

/* The faults of the control, and the two numbers that its count lacks. */
static bool as_intended(const struct sum *sum, const struct report *reports)
{
	return sum->posted == ARRAY_SIZE(control) &&
	       sum->delivered == ARRAY_SIZE(control) &&
	       sum->tally.lost == 2 + 2 && sum->tally.duplicated == 1 &&
	       sum->tally.reordered == 1 && sum->tally.corrupt == 3 &&
	       sum->user_exits == 1 && reports[0].partition.passed == 1 &&
	       reports[0].traffic.out[SELF].status ==
			HV_STATUS_INVALID_HYPERCALL_CODE;
}

static void start_sides(pid_t *sides, uint64_t count, struct report *reports)
{
	int sockets[2];
	unsigned int i;

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets),
		    "socketpair: %s", strerror(errno));
	for (i = 0; i < 2; i++) {
		sides[i] = fork();
		TEST_ASSERT(sides[i] >= 0, "fork: %s", strerror(errno));
		if (sides[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		peer_socket = sockets[i];
		close(sockets[!i]);
		if (act == 1 || !i)
			vmm(i, count, &reports[i]);
		else
			host(i, count, &reports[i]);
		exit(KSFT_PASS);
	}
	close(sockets[0]);
	close(sockets[1]);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_COUNT;
	struct report *reports;
	struct sum sum = { 0 };
	pid_t sides[2];
	bool ok;

	if (argc < 2 || argc > 3 || !count || strlen(argv[1]) != 1 ||
	    !strchr("012", argv[1][0])) {
		fprintf(stderr, "usage: %s 0|1|2 [COUNT]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	act = argv[1][0] - '0';
	names[0] = act == 1 ? "guest A" : "the guest";
	names[1] = act == 1 ? "guest B" : "the host process";
	switch (act) {
	case 0:
		title = "control";
		count = ARRAY_SIZE(control);
		say("a host process posts to a guest what is wrong on purpose");
		break;
	case 1:
		title = "act 1";
		say("two guests in two processes: %lu messages each way at once", count);
		say("and as many of each guest to itself");
		break;
	case 2:
		title = "act 2";
		say("a guest and a host process: %lu messages each way at once",
		    count);
		break;
	}

	reports = mmap(NULL, 2 * sizeof(*reports), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(reports != MAP_FAILED, "mmap: %s", strerror(errno));
	start_sides(sides, count, reports);
	ok = follow(sides, reports);
	if (act) {
		ok &= judge(names[0], &reports[0], &reports[1]);
		ok &= judge(names[1], &reports[1], &reports[0]);
	}
	conclude(reports, &sum);
	ok &= act ? flawless(&sum) : as_intended(&sum, reports);
	if (!act)
		say("%s", ok ? "all of it was found" : "NOT all of it was found");
	return ok ? KSFT_PASS : KSFT_FAIL;
}
