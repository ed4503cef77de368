// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random hypercalls of a guest, predicted one by one.
 *
 * VP 0 of VM A makes them, a batch at a time.  The host has made the batch, and
 * a model has said what must come of each entry before the guest sees any.  What
 * the guest found is compared behind it.  Between two batches the host changes
 * something, in the module and in the model, and other VPs empty their slots.
 *
 * A round begins with new partitions.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "hvpm.h"

#include "hypercall.h"
#include "../model.h"
#include "random.h"

#define PAGE		4096
#define BATCH		64
#define BATCHES		40
#define PORTS		8
#define CONNECTIONS	12
#define ENDPOINTS	3
#define LOG		512

/* What a VMM answers to a call that it was handed. */
#define VMM_ANSWER	0x1234

/* A SINT that no port has: its slot is nobody's. */
#define FREE_SINT	15

/* Where a page of the guest ends, and memory with it; and where none is. */
#define EDGE_GPA	0x20000000ull
#define EDGE_SLOT	10
#define LOCKED_GPA	0x28000000ull
#define LOCKED_SLOT	11

static const unsigned int sints[4] = { 1, 2, 3, 14 };

enum action {
	POST,
	TAKE,
	WRMSR,
};

/**
 * struct entry - what the guest does
 *
 * @action: enum action
 * @control: control word, or the MSR, or the SINT
 * @gpa: address of the input block, or the MSR's value
 * @to: where the guest copies @block before, as it addresses it, or NULL
 * @result: what it found
 * @block: input block; behind a TAKE the message
 */
struct entry {
	uint64_t action;
	uint64_t control;
	uint64_t gpa;
	uint8_t *to;
	uint64_t result;
	uint64_t block[32];
};

/* In guest memory. */
struct batch {
	uint64_t count;
	struct entry entries[BATCH];
};

struct log {
	uint64_t count;
	struct model_content messages[LOG];
};

/* What the model says of an entry. */
struct expected {
	uint64_t result;
	struct model_content message;
};

struct endpoint {
	int fd;
	struct model_endpoint *model;
};

/* A partition, and the VM or nothing behind it. */
struct side {
	const char *name;
	struct hvpm_vm *vm;
	int fd;
	struct model_partition *model;
	struct endpoint endpoints[ENDPOINTS];
};

/* A, B, the host, and a host partition that comes and goes. */
enum { A, B, HOST, SHORT, SIDES };

static struct {
	const struct fuzz_caller *caller;
	uint64_t random;
	struct side sides[SIDES];
	struct model model;
	struct batch *batch;
	struct log *log;
	vm_vaddr_t batch_gva;
	vm_vaddr_t log_gva;
	uint8_t *edge;
	struct expected expected[BATCH];
	bool control;
	bool simp;
	struct fuzz_hypercalls *counts;
	bool failed;
} run;

static uint32_t below(uint32_t limit)
{
	return random_below(&run.random, limit);
}

static bool one_in(uint32_t times)
{
	return !below(times);
}

#define mismatch(format, ...)						\
	do {								\
		run.failed = true;					\
		printf("# MISMATCH: " format "\n", ##__VA_ARGS__);	\
		fflush(stdout);						\
	} while (0)

/* --- in the guest --- */

static void guest_copy(void *to, const void *from)
{
	volatile uint64_t *words = to;
	const uint64_t *source = from;
	unsigned int i;

	for (i = 0; i < 32; i++)
		words[i] = source[i];
}

static void guest_entry(struct hvpm_guest *guest, struct entry *entry)
{
	switch (entry->action) {
	case POST:
		if (entry->to)
			guest_copy(entry->to, entry->block);
		entry->result = hvpm_guest_hypercall(guest, entry->control,
						     entry->gpa, 0);
		break;
	case TAKE:
		entry->result = hvpm_guest_take(guest, entry->control,
						(void *)entry->block);
		break;
	case WRMSR:
		entry->result = wrmsr_safe(entry->control, entry->gpa);
		break;
	}
}

static uint64_t guest_batch(struct hvpm_guest *guest, uint64_t gva)
{
	struct batch *batch = (void *)gva;
	uint64_t i;

	for (i = 0; i < batch->count; i++)
		guest_entry(guest, &batch->entries[i]);
	return batch->count;
}

/* Take everything there is. */
static uint64_t guest_drain(struct hvpm_guest *guest, uint64_t gva)
{
	struct log *log = (void *)gva;
	unsigned int sint;

	log->count = 0;
	for (sint = 1; sint < FREE_SINT; sint++)
		while (log->count < LOG &&
		       hvpm_guest_take(guest, sint,
				       (void *)&log->messages[log->count]))
			log->count++;
	return log->count;
}

/* --- the model's VPs --- */

static struct model_vp *vp_of(unsigned int side, unsigned int index)
{
	return model_find_vp(run.sides[side].model, index);
}

/* The VP is about to run: it looks at its queue. */
static void predict_entry(unsigned int side, unsigned int index)
{
	struct model_vp *vp = vp_of(side, index);

	model_scan_behind(&run.model, run.sides[side].model, vp);
	model_scan(&run.model, run.sides[side].model, vp);
}

static bool predict_take(unsigned int side, unsigned int index, unsigned int sint,
			 struct model_content *message)
{
	struct model_content *slot = &vp_of(side, index)->slot[sint];

	if (!slot->type)
		return false;
	*message = *slot;
	slot->type = 0;
	if (slot->flags & MODEL_PENDING)
		predict_entry(side, index);
	return true;
}

static void predict_wrmsr(uint32_t msr, uint64_t value)
{
	struct model_vp *vp = vp_of(A, 0);

	if (msr == HV_X64_MSR_SCONTROL)
		run.control = value & 1;
	else if (msr == HV_X64_MSR_SIMP)
		run.simp = value & 1;
	else
		vp->sint[msr - HV_X64_MSR_SINT0] = value;
	vp->enabled = vp->synic && run.control && run.simp;
	predict_entry(A, 0);
}

/* --- where a block can be --- */

static void random_block(struct model_block *block)
{
	static const uint32_t types[8] = {
		1, 2, 0x7fffffff, 0x12345678, 0, 0x80000000, 0xffffffff, 0x80000010,
	};
	static const uint32_t sizes[8] = { 0, 1, 8, 239, 240, 241, 256, 0xffffffff };
	uint64_t *words = (uint64_t *)block;
	unsigned int i;

	for (i = 0; i < sizeof(*block) / 8; i++)
		words[i] = random_next(&run.random);
	if (!one_in(32))
		block->connection_id = below(CONNECTIONS + 1);
	if (one_in(32))
		block->connection_id |= 1u << (24 + below(8));
	if (!one_in(4))
		block->reserved = 0;
	block->message_type = one_in(10) ? types[below(8)] : 1 + below(0x7fffffff);
	block->payload_size = one_in(10) ? sizes[below(8)] : below(241);
	if (one_in(64))
		((uint8_t *)block)[below(16)] ^= 1 << below(8);
}

/* An address inside the two pages for input, not always a good one. */
static void arena_gpa(struct entry *entry, struct model_call *call)
{
	const struct hvpm_guest *guest = run.sides[A].vm->vps[0].guest;
	uint32_t offset = below(2) * PAGE + below((PAGE - 256) / 8 + 1) * 8;

	if (one_in(16))
		offset = PAGE - 8 * below(32);
	if (one_in(16))
		offset = one_in(2) ? PAGE - 256 : PAGE;
	if (one_in(16))
		offset += 1 + below(7);
	if (offset > 2 * PAGE - 256)
		offset = 2 * PAGE - 256;
	entry->gpa = guest->input_gpa + offset;
	entry->to = guest->input + offset;
	call->readable = true;
}

/* The caller's own SIM page: the slot of nobody, or whatever is there. */
static void simp_gpa(struct entry *entry, struct model_call *call)
{
	const struct hvpm_guest *guest = run.sides[A].vm->vps[0].guest;
	uint8_t *page = (uint8_t *)vp_of(A, 0)->slot;
	uint32_t offset = FREE_SINT * 256;

	if (one_in(2)) {
		offset = below((PAGE - 256) / 8 + 1) * 8;
		memcpy(&call->block, page + offset, 256);
	} else {
		entry->to = (uint8_t *)guest->slots + offset;
		memcpy(page + offset, &call->block, 256);
	}
	entry->gpa = guest->slots_gpa + offset;
	call->readable = true;
}

/* The end of memory, where the guest itself cannot write. */
static void edge_gpa(struct entry *entry, struct model_call *call)
{
	uint32_t offset = PAGE - 256 + 8 * (one_in(2) ? below(32) : 0);

	entry->gpa = EDGE_GPA + offset;
	memcpy(&call->block, run.edge + PAGE - 256, 256);
	call->readable = true;
}

static void no_memory_gpa(struct entry *entry, struct model_call *call)
{
	static const uint64_t addresses[] = {
		LOCKED_GPA, EDGE_GPA + PAGE, EDGE_GPA - PAGE, 0xfec00000,
		0x30000000, 0xfffffffff000, 0xffffffffff000,
		0xfffffffffffff000, 0xfffffffffffffe00, 0x8000000000000000,
		1ull << 52, 1ull << 46, 0x7ffffffffffff000, 0xe0000000,
	};

	entry->gpa = addresses[below(ARRAY_SIZE(addresses))];
	if (one_in(4))
		entry->gpa += 8 * below(64);
	if (one_in(8))
		entry->gpa ^= 1 << below(12);
	call->readable = false;
}

static void random_gpa(struct entry *entry, struct model_call *call)
{
	switch (below(32)) {
	case 0:
		return simp_gpa(entry, call);
	case 1:
		return edge_gpa(entry, call);
	case 2:
		return no_memory_gpa(entry, call);
	default:
		return arena_gpa(entry, call);
	}
}

/* --- control words --- */

/* Codes that KVM does not know, whatever it has been told to offer. */
static const uint16_t unknown_codes[] = {
	0x0000, 0x0001, 0x0005, 0x0044, 0x005a, 0x005b, 0x005e, 0x00dc, 0x015c,
	0x105c, 0x405c, 0x905c, 0xff5c, 0xfffe,
};

static uint64_t random_control(void)
{
	uint64_t control = HVPM_POST;

	if (!one_in(8))
		return control;
	if (one_in(4))
		control = unknown_codes[below(ARRAY_SIZE(unknown_codes))];
	switch (below(6)) {
	case 0:
		return control | HV_HYPERCALL_FAST_BIT;
	case 1:
		return control | (uint64_t)(1 + below(0x3ff)) << 17;
	case 2:
		return control | (uint64_t)(1 + below(0xfff)) << 32;
	case 3:
		return control | (uint64_t)(1 + below(0xfff)) << 48;
	case 4:
		return control | 1ull << (16 + below(48));
	default:
		return control | (random_next(&run.random) & ~0xffffull);
	}
}

/* Bits of the control word that KVM of either kernel refuses. */
#define NESTED		BIT_ULL(31)
#define RESERVED	(NESTED | 0xfull << 27 | 0xfull << 44 | 0xfull << 60)

/* Both kernels answer so; the module is not asked. */
static uint64_t predict_other_call(uint64_t control)
{
	return control & RESERVED ? HV_STATUS_INVALID_HYPERCALL_INPUT :
				    HV_STATUS_INVALID_HYPERCALL_CODE;
}

/* --- a batch --- */

static void make_post(struct entry *entry, struct expected *expected)
{
	const struct fuzz_caller *caller = run.caller;
	struct model_call call = {
		.control = random_control(),
		.synic = caller->synic,
		.kvm_enforces = caller->kvm_enforces,
		.privileged = caller->privileged,
	};
	enum model_status status;

	random_block(&call.block);
	memcpy(entry->block, &call.block, 256);
	entry->action = POST;
	entry->control = call.control;
	random_gpa(entry, &call);
	call.gpa = entry->gpa;

	/* The model knows of a KVM that leaves it to the module: neither kernel's. */
	if (call.control & NESTED)
		call.control |= RESERVED;
	status = model_hypercall(&run.model, run.sides[A].model, &call);
	if (status == MODEL_OTHER_CALL)
		expected->result = predict_other_call(call.control);
	else if (status == MODEL_PASSED)
		expected->result = VMM_ANSWER;
	else
		expected->result = status;
	run.counts->calls++;
	if (status < ARRAY_SIZE(run.counts->status))
		run.counts->status[status]++;
	run.counts->passed += status == MODEL_PASSED;
	run.counts->other += status == MODEL_OTHER_CALL;
	predict_entry(A, 0);
}

static void make_take(struct entry *entry, struct expected *expected)
{
	unsigned int sint = sints[below(ARRAY_SIZE(sints))];

	entry->action = TAKE;
	entry->control = sint;
	expected->result = predict_take(A, 0, sint, &expected->message);
}

static void make_wrmsr(struct entry *entry, struct expected *expected)
{
	const struct hvpm_guest *guest = run.sides[A].vm->vps[0].guest;
	unsigned int sint = sints[below(ARRAY_SIZE(sints))];

	entry->action = WRMSR;
	expected->result = 0;
	switch (below(6)) {
	case 0:
		entry->control = HV_X64_MSR_SIMP;
		entry->gpa = guest->slots_gpa | below(2);
		break;
	case 1:
		entry->control = HV_X64_MSR_SCONTROL;
		entry->gpa = below(2);
		break;
	default:
		entry->control = HV_X64_MSR_SINT0 + sint;
		entry->gpa = HVPM_VECTOR(0, sint);
		if (one_in(3))
			entry->gpa |= HV_SYNIC_SINT_MASKED;
		if (one_in(4))
			entry->gpa |= HV_SYNIC_SINT_POLLING;
	}
	predict_wrmsr(entry->control, entry->gpa);
}

static void make_entry(struct entry *entry, struct expected *expected)
{
	memset(entry, 0, sizeof(*entry));
	memset(expected, 0, sizeof(*expected));
	switch (below(16)) {
	case 0:
	case 1:
	case 2:
		return make_take(entry, expected);
	case 3:
		if (run.caller->synic && one_in(3))
			return make_wrmsr(entry, expected);
		return make_take(entry, expected);
	default:
		return make_post(entry, expected);
	}
}

static void make_batch(void)
{
	unsigned int i;

	run.batch->count = BATCH;
	predict_entry(A, 0);
	for (i = 0; i < BATCH; i++)
		make_entry(&run.batch->entries[i], &run.expected[i]);
}

/* Run the guest; what is handed to the VMM is answered. */
static void run_batch(void)
{
	struct hvpm_vp *vp = &run.sides[A].vm->vps[0];
	struct kvm_run *exit = vp->vcpu->run;

	vp->guest->command = HVPM_CALL;
	vp->guest->argument[0] = (uint64_t)guest_batch;
	vp->guest->argument[1] = run.batch_gva;
	while (hvpm_vp_run(vp, NULL) != UCALL_SYNC) {
		TEST_ASSERT(exit->exit_reason == KVM_EXIT_HYPERV, "exit %u (%s)",
			    exit->exit_reason, exit_reason_str(exit->exit_reason));
		exit->hyperv.u.hcall.result = VMM_ANSWER;
	}
}

static void compare_message(const char *who, const struct model_content *expected,
			    const void *seen)
{
	const uint8_t *a = (const uint8_t *)expected, *b = seen;
	unsigned int i;

	run.counts->messages++;
	for (i = 0; i < sizeof(*expected); i++) {
		if (a[i] == b[i])
			continue;
		mismatch("%s: byte %u of a message of port 0x%lx is 0x%02x instead of 0x%02x",
			 who, i, expected->port_id, b[i], a[i]);
		return;
	}
}

static void compare_entry(const struct entry *entry, const struct expected *expected)
{
	const uint32_t *block = (const uint32_t *)entry->block;

	if (entry->result == expected->result) {
		if (entry->action == TAKE && expected->result)
			compare_message("the caller", &expected->message, entry->block);
		return;
	}
	switch (entry->action) {
	case POST:
		mismatch("status 0x%lx instead of 0x%lx", entry->result, expected->result);
		printf("# control 0x%lx, block at 0x%lx\n", entry->control, entry->gpa);
		printf("# connection 0x%x, reserved 0x%x, type 0x%x, size %u\n", block[0],
		       block[1], block[2], block[3]);
		break;
	case TAKE:
		mismatch("slot of SINT %lu: %s", entry->control,
			 entry->result ? "a message, it should be empty" :
					 "empty, there should be a message");
		break;
	case WRMSR:
		mismatch("WRMSR(0x%lx) = 0x%lx: exception %lu", entry->control,
			 entry->gpa, entry->result);
		break;
	}
}

static void do_batch(void)
{
	unsigned int i;

	make_batch();
	run_batch();
	for (i = 0; i < BATCH && !run.failed; i++)
		compare_entry(&run.batch->entries[i], &run.expected[i]);
}

/* --- other VPs --- */

/* All that can be delivered to a VP is; it takes everything. */
static void drain(unsigned int side, unsigned int index)
{
	struct hvpm_vp *vp = &run.sides[side].vm->vps[index];
	struct model_content message;
	uint64_t count = 0;
	unsigned int sint;
	struct log *log;

	if (run.failed)
		return;
	log = addr_gva2hva(vp->vm->vm, run.log_gva);
	hvpm_vp_call(vp, guest_drain, run.log_gva);
	predict_entry(side, index);
	for (sint = 1; sint < FREE_SINT && !run.failed; sint++) {
		while (!run.failed && predict_take(side, index, sint, &message)) {
			if (count < log->count)
				compare_message(run.sides[side].name, &message,
						&log->messages[count]);
			count++;
		}
	}
	if (!run.failed && count != log->count)
		mismatch("VP %u of %s took %lu messages instead of %lu", index,
			 run.sides[side].name, log->count, count);
}

static void read_endpoint(struct endpoint *endpoint)
{
	static struct model_content expected[64];
	static uint8_t seen[64 * 256];
	uint32_t count, i;
	ssize_t ret;

	if (run.failed || endpoint->fd < 0)
		return;
	ret = read(endpoint->fd, seen, sizeof(seen));
	count = model_read(&run.model, endpoint->model, expected, 64);
	if (ret != (ssize_t)count * 256 &&
	    !(!count && ret < 0 && errno == EAGAIN)) {
		mismatch("read of an endpoint: %zd instead of %u", ret, count * 256);
		return;
	}
	for (i = 0; i < count; i++)
		compare_message("an endpoint", &expected[i], seen + i * 256);
}

/* --- what the host changes --- */

static void compare(const char *what, int expected, int ret)
{
	int seen = ret < 0 ? -errno : 0;

	run.counts->changes++;
	if (seen != expected)
		mismatch("%s: %s instead of %s", what, strerror(-seen),
			 strerror(-expected));
}

static struct side *random_side(void)
{
	return &run.sides[below(SIDES)];
}

static void create_port(void)
{
	struct side *side = random_side();
	struct endpoint *endpoint = &side->endpoints[below(ENDPOINTS)];
	struct model_port_spec spec = {
		.id = below(PORTS),
		.type = one_in(12) ? 2 : 1,
		.shared = !one_in(4),
	};
	struct hv_postmsg_create_port args = { .size = sizeof(args), .endpoint_fd = -1 };

	if (!side->vm || one_in(4)) {
		if (endpoint->fd < 0)
			return;
		spec.endpoint = endpoint->model;
		args.endpoint_fd = endpoint->fd;
		args.flags = HV_POSTMSG_PORT_ENDPOINT;
	} else {
		spec.sint = sints[below(ARRAY_SIZE(sints))];
		spec.vp = one_in(4) ? HV_POSTMSG_ANY_VP : below(one_in(16) ? 5 : 2);
	}
	if (spec.type == 1)
		spec.buffers = one_in(2) ? below(5) : 0;
	args.flags |= spec.shared ? HV_POSTMSG_PORT_SHARED : 0;
	args.port_id = spec.id;
	args.type = spec.type;
	args.sint = spec.sint;
	args.vp = spec.vp;
	args.buffers = spec.buffers;
	compare("HV_POSTMSG_CREATE_PORT",
		model_create_port(&run.model, side->model, &spec),
		__hvpm_ioctl(side->fd, HV_POSTMSG_CREATE_PORT, &args));
}

static void delete_port(void)
{
	struct side *side = random_side();
	uint32_t id = below(PORTS);

	compare("HV_POSTMSG_DELETE_PORT",
		model_delete_port(&run.model, side->model, id),
		__hvpm_delete_port(side->fd, id));
}

static void connect_port(void)
{
	struct side *side = random_side();
	uint32_t id = below(PORTS), connection = below(CONNECTIONS);
	struct model_port *port = model_find_port(&run.model, side->model, id);
	bool self = side == &run.sides[A] && !one_in(8);
	int fd;

	if (!port)
		return;
	fd = hvpm_port_fd(side->fd, id);
	compare("HV_POSTMSG_CONNECT",
		model_connect(&run.model, run.sides[A].model, connection, port, self),
		__hvpm_connect(run.sides[A].fd, connection, fd,
			       self ? HV_POSTMSG_CONNECT_SELF : 0));
	close(fd);
}

static void disconnect(void)
{
	uint32_t connection = below(CONNECTIONS);

	compare("HV_POSTMSG_DISCONNECT",
		model_disconnect(&run.model, run.sides[A].model, connection),
		__hvpm_disconnect(run.sides[A].fd, connection));
}

static void set_state(void)
{
	struct side *side = random_side();
	uint32_t state = !one_in(3);

	compare("HV_POSTMSG_SET_STATE", model_set_state(side->model, state),
		__hvpm_set_state(side->fd, state));
}

static void reset_vp(void)
{
	struct side *side = random_side();
	uint32_t vp = below(3);

	compare("HV_POSTMSG_RESET_VP", model_reset_vp(&run.model, side->model, vp),
		__hvpm_reset_vp(side->fd, vp));
}

static void prefer_vp(void)
{
	struct side *side = random_side();
	struct hv_postmsg_port_property args = {
		.size = sizeof(args),
		.port_id = below(PORTS),
		.property = HV_POSTMSG_PROPERTY_PREFERRED_VP,
		.value = one_in(2) ? HV_POSTMSG_ANY_VP : below(3),
	};

	compare("HV_POSTMSG_SET_PORT_PROPERTY",
		model_set_property(&run.model, side->model, args.port_id,
				   args.property, args.value),
		__hvpm_ioctl(side->fd, HV_POSTMSG_SET_PORT_PROPERTY, &args));
}

static void open_endpoint(struct side *side, struct endpoint *endpoint)
{
	uint32_t depth = one_in(2) ? 0 : 1 + below(20);

	endpoint->fd = hvpm_create_endpoint(side->fd, depth);
	fcntl(endpoint->fd, F_SETFL, O_NONBLOCK);
	TEST_ASSERT(!model_create_endpoint(&run.model, side->model, depth,
					   &endpoint->model), "endpoint");
}

static void close_endpoint(struct endpoint *endpoint)
{
	if (endpoint->fd < 0)
		return;
	close(endpoint->fd);
	endpoint->fd = -1;
	model_close_endpoint(&run.model, endpoint->model);
}

static void change_endpoint(void)
{
	struct side *side = random_side();
	struct endpoint *endpoint = &side->endpoints[below(ENDPOINTS)];

	run.counts->changes++;
	if (endpoint->fd < 0)
		open_endpoint(side, endpoint);
	else if (one_in(3))
		close_endpoint(endpoint);
	else
		read_endpoint(endpoint);
}

/* A VP of B turns its SynIC off, or on again. */
static void change_synic(void)
{
	unsigned int index = below(2);
	struct hvpm_vp *vp = &run.sides[B].vm->vps[index];
	bool on = !one_in(3);

	run.counts->changes++;
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SCONTROL, on);
	/* It has looked at its queue on the way in, by what was before. */
	predict_entry(B, index);
	vp_of(B, index)->enabled = on;
	predict_entry(B, index);
}

static void open_side(struct side *side)
{
	unsigned int i;

	side->fd = side->vm ? hvpm_vm_attach(side->vm, side == run.sides ?
					     run.caller->flags : 0) :
			      hvpm_create_host_partition();
	side->model = model_new_partition(&run.model, !side->vm,
					  side == run.sides ? run.caller->flags : 0);
	for (i = 0; i < ENDPOINTS; i++)
		open_endpoint(side, &side->endpoints[i]);
}

static void close_side(struct side *side)
{
	unsigned int i;

	for (i = 0; i < ENDPOINTS; i++)
		close_endpoint(&side->endpoints[i]);
	close(side->fd);
	if (side->vm)
		side->vm->partition = -1;
	model_shutdown(&run.model, side->model);
	model_finish_shutdown(&run.model, side->model);
}

/* The host partition ends; its ports stay dead, those that come are others. */
static void renew_short(void)
{
	run.counts->changes++;
	close_side(&run.sides[SHORT]);
	open_side(&run.sides[SHORT]);
}

static void change(void)
{
	switch (below(24)) {
	case 0:
	case 1:
	case 2:
	case 3:
		return create_port();
	case 4:
		return delete_port();
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		return connect_port();
	case 10:
		return disconnect();
	case 11:
	case 12:
		return set_state();
	case 13:
		return reset_vp();
	case 14:
		return prefer_vp();
	case 15:
		return change_synic();
	case 16:
		if (one_in(4))
			return renew_short();
		return;
	case 17:
		return drain(A, 1);
	case 18:
		return drain(B, 0);
	case 19:
		return drain(B, 1);
	case 20:
		return change_endpoint();
	default:
		return connect_port();
	}
}

/* --- rounds --- */

static void start_vp(unsigned int side, unsigned int index)
{
	struct hvpm_vp *vp = &run.sides[side].vm->vps[index];
	struct model_vp *model = model_new_vp(run.sides[side].model, index);
	unsigned int i;

	model->synic = vp != run.sides[A].vm->vps || run.caller->synic;
	memset((void *)vp->slots, 0, PAGE);
	hvpm_vp_poke(vp);
	for (i = 0; i < 16; i++)
		model->interrupts[i] = vp->guest->interrupts[i];
	if (!model->synic)
		return;
	for (i = 0; i < ARRAY_SIZE(sints); i++) {
		hvpm_vp_enable_synic(vp, sints[i]);
		model->sint[sints[i]] = HVPM_VECTOR(index, sints[i]);
	}
	model->enabled = true;
}

static void check_interrupts(unsigned int side, unsigned int index)
{
	struct hvpm_vp *vp = &run.sides[side].vm->vps[index];
	uint64_t expected;
	unsigned int i;

	for (i = 0; i < 16 && !run.failed; i++) {
		expected = vp_of(side, index)->interrupts[i];
		if (vp->guest->interrupts[i] != expected)
			mismatch("VP %u of %s: %u interrupts of SINT %u instead of %lu",
				 index, run.sides[side].name,
				 vp->guest->interrupts[i], i, expected);
	}
}

static void compare_count(const struct side *side, const char *what,
			  uint64_t expected, uint64_t seen)
{
	if (expected != seen)
		mismatch("%s: %s %lu instead of %lu", side->name, what, seen, expected);
}

static void check_side(struct side *side)
{
	struct hv_postmsg_partition_stats stats;
	struct model_partition *model = side->model;
	unsigned int i;
	char name[32];

	if (run.failed)
		return;
	hvpm_partition_stats(side->fd, &stats);
	compare_count(side, "posted", model->posted, stats.posted);
	compare_count(side, "delivered", model->delivered, stats.delivered);
	compare_count(side, "freed", model->freed, stats.freed);
	compare_count(side, "faults", model->faults, stats.faults);
	compare_count(side, "passed", model->passed, stats.passed);
	for (i = 0; i < ARRAY_SIZE(stats.status); i++) {
		snprintf(name, sizeof(name), "calls with status 0x%02x", i);
		compare_count(side, name, model->status[i], stats.status[i]);
	}
}

static void start_round(void)
{
	unsigned int i;

	memset(&run.model, 0, sizeof(run.model));
	run.control = true;
	run.simp = true;
	for (i = 0; i < SIDES; i++)
		open_side(&run.sides[i]);
	for (i = 0; i < 2; i++) {
		start_vp(A, i);
		start_vp(B, i);
	}
	for (i = 0; i < 32; i++)
		create_port();
	for (i = 0; i < 80; i++)
		connect_port();
}

static void end_round(void)
{
	unsigned int i;

	for (i = 0; i < 2 && !run.failed; i++) {
		drain(A, i);
		drain(B, i);
	}
	for (i = 0; i < 2; i++) {
		check_interrupts(A, i);
		check_interrupts(B, i);
	}
	for (i = 0; i < SIDES; i++)
		check_side(&run.sides[i]);
	for (i = 0; i < SIDES; i++)
		close_side(&run.sides[i]);
	model_free(&run.model);
}

/* Room everywhere. */
static void drain_all(void)
{
	unsigned int i, j;

	drain(A, 1);
	drain(B, 0);
	drain(B, 1);
	for (i = 0; i < SIDES; i++)
		for (j = 0; j < ENDPOINTS; j++)
			read_endpoint(&run.sides[i].endpoints[j]);
}

static void do_round(void)
{
	unsigned int i, j;

	start_round();
	for (i = 0; i < BATCHES && !run.failed; i++) {
		if (one_in(2))
			drain_all();
		for (j = below(6); j && !run.failed; j--)
			change();
		do_batch();
	}
	end_round();
}

/* --- the VMs --- */

static vm_vaddr_t alloc_contiguous(struct kvm_vm *vm, size_t size)
{
	vm_vaddr_t gva = vm_vaddr_alloc(vm, size, 0x5000000);
	size_t at;

	for (at = 0; at < size; at += PAGE)
		TEST_ASSERT(addr_gva2hva(vm, gva + at) == addr_gva2hva(vm, gva) + at,
			    "pages of the guest do not follow each other");
	return gva;
}

static void add_page(struct kvm_vm *vm, uint64_t gpa, uint32_t slot)
{
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, gpa, slot, 1, 0);
}

static void add_special_pages(struct kvm_vm *vm)
{
	struct model_block block = { .connection_id = 1, .message_type = 5,
				     .payload_size = 16 };

	add_page(vm, EDGE_GPA, EDGE_SLOT);
	run.edge = addr_gpa2hva(vm, EDGE_GPA);
	memcpy(run.edge + PAGE - 256, &block, 256);
	/* Memory that the VMM does not let be read. */
	add_page(vm, LOCKED_GPA, LOCKED_SLOT);
	TEST_ASSERT(!mprotect(addr_gpa2hva(vm, LOCKED_GPA), PAGE, PROT_NONE),
		    "mprotect: %s", strerror(errno));
}

static struct hvpm_vm *make_vm(const struct fuzz_caller *caller)
{
	struct hvpm_vm *vm = hvpm_vm_create_empty(2);
	struct hvpm_vp *vp = hvpm_vm_add_vp(vm, NULL, caller->synic);

	if (!caller->privileged)
		vcpu_clear_cpuid_feature(vp->vcpu, HV_POST_MESSAGES);
	if (caller->kvm_enforces)
		vcpu_enable_cap(vp->vcpu, KVM_CAP_HYPERV_ENFORCE_CPUID, 1);
	hvpm_vm_add_vp(vm, NULL, true);
	run.batch_gva = alloc_contiguous(vm->vm, sizeof(struct batch));
	run.log_gva = alloc_contiguous(vm->vm, sizeof(struct log));
	return vm;
}

static void make_vms(const struct fuzz_caller *caller)
{
	static const struct fuzz_caller plain = { .privileged = true, .synic = true };
	vm_vaddr_t log_gva;

	run.sides[B].vm = make_vm(&plain);
	log_gva = run.log_gva;
	run.sides[A].vm = make_vm(caller);
	TEST_ASSERT(log_gva == run.log_gva, "the two VMs are not laid out alike");
	run.batch = addr_gva2hva(run.sides[A].vm->vm, run.batch_gva);
	add_special_pages(run.sides[A].vm->vm);
	run.sides[A].name = "A";
	run.sides[B].name = "B";
	run.sides[HOST].name = "the host";
	run.sides[SHORT].name = "the short-lived one";
}

bool fuzz_hypercalls(const struct fuzz_caller *caller, uint64_t seed, uint64_t calls,
		     struct fuzz_hypercalls *counts)
{
	memset(&run, 0, sizeof(run));
	memset(counts, 0, sizeof(*counts));
	run.caller = caller;
	run.random = seed;
	run.counts = counts;
	make_vms(caller);
	while (counts->calls < calls && !run.failed)
		do_round();
	hvpm_vm_free(run.sides[A].vm);
	hvpm_vm_free(run.sides[B].vm);
	return !run.failed;
}
