// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is done with files: ioctls, read, close.
 */
#include "world.h"

/* --- an ioctl's struct in user memory --- */

#define USER_BYTES	8192
#define NESTING		4

/* One for each depth of sleeping calls. */
static struct user {
	uint8_t memory[USER_BYTES] __attribute__((aligned(8)));
	size_t size;
	bool writable;
} users[NESTING];

static struct user *current_user(void)
{
	return &users[world.depth];
}

static void give_user(struct user *user)
{
	core_user_range(user->memory, user->size, user->writable);
}

void control_return(void)
{
	give_user(current_user());
}

/* Mostly as it should be; else one thing is wrong. */
static void spoil(struct user *user, size_t size, const struct step *step)
{
	uint32_t word;

	switch (step->mode) {
	case 0xf0:
		word = step->f % (size + 1);
		memcpy(user->memory, &word, 4);
		break;
	case 0xf1:
		word = size + step->f % 64;
		memcpy(user->memory, &word, 4);
		user->size = USER_BYTES;
		break;
	case 0xf2:
		word = size + 1 + step->f % 64;
		memcpy(user->memory, &word, 4);
		user->memory[word - 1] = 1;
		user->size = word;
		break;
	case 0xf3:
		word = 4096 + step->f % 4;
		memcpy(user->memory, &word, 4);
		user->size = USER_BYTES;
		break;
	case 0xf4:
		word = size + step->f % 64;
		memcpy(user->memory, &word, 4);
		break;
	case 0xf5:
		user->size = step->f % (size + 1);
		break;
	case 0xf6:
	case 0xf7:
		user->writable = false;
		break;
	case 0xf8 ... 0xff:
		user->memory[step->f % size] ^= 1 << step->e % 8;
		break;
	default:
		break;
	}
}

/* What copying in and checking a struct's head must come to. */
static int head_errno(const struct user *user, size_t size, uint32_t flags)
{
	uint32_t said, i;

	if (user->size < 4)
		return -EFAULT;
	memcpy(&said, user->memory, 4);
	if (said < size)
		return -EINVAL;
	if (said > 4096)
		return -E2BIG;
	for (i = size; i < said; i++) {
		if (i >= user->size)
			return -EFAULT;
		if (user->memory[i])
			return -E2BIG;
	}
	if (user->size < size)
		return -EFAULT;
	memcpy(&said, user->memory + 4, 4);
	return said & ~flags ? -EINVAL : 0;
}

/**
 * struct call - an ioctl that was made
 *
 * @seen: the struct as the module read it
 * @ret: what it returned
 * @wanted: what it must return, unless the struct's contents say otherwise
 */
struct call {
	union {
		struct hv_postmsg_info info;
		struct hv_postmsg_create_partition create_partition;
		struct hv_postmsg_set_state set_state;
		struct hv_postmsg_create_port create_port;
		struct hv_postmsg_port port;
		struct hv_postmsg_connect connect;
		struct hv_postmsg_disconnect disconnect;
		struct hv_postmsg_port_property property;
		struct hv_postmsg_reset_vp reset_vp;
		struct hv_postmsg_post post;
		struct hv_postmsg_create_endpoint create_endpoint;
		struct hv_postmsg_port_stats port_stats;
		struct hv_postmsg_partition_stats partition_stats;
		uint8_t bytes[512];
	} seen;
	long ret;
	long wanted;
};

static const char *const names[] = {
	"SET_STATE", "CREATE_PORT", "DELETE_PORT", "PORT_FD", "CONNECT",
	"DISCONNECT", "GET_PORT_PROPERTY", "SET_PORT_PROPERTY", "RESET_VP",
	"POST", "CREATE_ENDPOINT", "PORT_STATS", "PARTITION_STATS",
};

static const char *ioctl_name(unsigned int cmd)
{
	unsigned int number = cmd & 0xff;

	if (cmd == HV_POSTMSG_INFO)
		return "INFO";
	if (cmd == HV_POSTMSG_CREATE_PARTITION)
		return "CREATE_PARTITION";
	if (number >= 0x10 && number - 0x10 < sizeof(names) / sizeof(*names))
		return names[number - 0x10];
	return "unknown";
}

/*
 * Get an ioctl ready.  @arg is what it should be given, @flags are those it knows.
 * The call's @wanted is an errno if the struct cannot be taken, else 0.
 */
static void prepare_call(struct call *call, const struct step *step,
			 const void *arg, size_t size, uint32_t flags)
{
	struct user *user = current_user();

	memset(user->memory, 0, size + 72);
	memcpy(user->memory, arg, size);
	user->size = size;
	user->writable = true;
	spoil(user, size, step);
	memcpy(call->seen.bytes, user->memory, size);
	call->wanted = head_errno(user, size, flags);
}

/* Is there no descriptor left? */
static bool no_file(const struct step *step)
{
	return step->fail >= 0xfc;
}

static void make_call(struct call *call, const struct step *step, int fd,
		      unsigned int cmd)
{
	struct user *user = current_user();

	give_user(user);
	core_fail_alloc(step->fail >= 0xf0 && step->fail < 0xfc ?
			step->fail - 0xef : 0);
	core_fail_file(no_file(step));
	call->ret = core_ioctl(fd, cmd, user->memory);
	core_fail_file(false);
	world_count_ioctl(ioctl_name(cmd), call->ret);
}

/* A call that makes a file: what it returns, if all is well. */
static bool makes_file(struct call *call, const struct step *step)
{
	if (call->wanted)
		return false;
	if (no_file(step)) {
		call->wanted = -EMFILE;
		return false;
	}
	call->wanted = call->ret > 0 ? call->ret : 1;
	return call->ret > 0;
}

static void finish_call(const struct call *call, const char *what)
{
	expect(what, call->ret, call->wanted);
	core_fail_alloc(0);
}

/* May the model go on?  Else the call failed before it changed anything. */
static bool goes_on(struct call *call)
{
	if (core_alloc_failed() && !call->wanted)
		call->wanted = -ENOMEM;
	return !call->wanted;
}

/* What is written back is where it was read. */
static bool out(struct call *call)
{
	struct user *user = current_user();

	if (call->wanted)
		return false;
	if (!user->writable) {
		call->wanted = -EFAULT;
		return false;
	}
	return true;
}

/* The partition of a step, and its file; NULL if there is none. */
static struct model_partition *pick_partition(const struct step *step, int *fd)
{
	*fd = world_pick(FILE_PARTITION, step->who % 0xe0);
	if (*fd < 0)
		return NULL;
	return world.file[*fd].partition;
}

static void partition_call(struct call *call, const struct step *step, int fd,
			   unsigned int cmd, const void *arg, size_t size,
			   uint32_t flags)
{
	prepare_call(call, step, arg, size, flags);
	make_call(call, step, fd, cmd);
	if (world.file[fd].partition->dead)
		call->wanted = -ESHUTDOWN;
}

/* --- the device --- */

void op_info(const struct step *step)
{
	struct hv_postmsg_info arg = { .size = sizeof(arg) };
	struct user *user = current_user();
	const struct hv_postmsg_info wanted = {
		.api_version = 1, .default_buffers = 16, .features = 3,
		.max_buffers = 64, .max_ports = 65536,
		.max_connections = 65536, .max_endpoints = 64,
		.default_depth = 256, .max_depth = 4096,
	};
	struct call call;

	prepare_call(&call, step, &arg, sizeof(arg), 0);
	make_call(&call, step, CORE_DEVICE, HV_POSTMSG_INFO);
	if (out(&call))
		expect("info", memcmp(user->memory + 8,
				      (const uint8_t *)&wanted + 8,
				      sizeof(wanted) - 8) != 0, 0);
	finish_call(&call, "INFO");
}

static int attach_errno(const struct hv_postmsg_create_partition *seen,
			struct world_vm **vm)
{
	struct world_file *file;

	if (seen->vm_fd < 0 || seen->vm_fd >= WORLD_FILES)
		return -EBADF;
	file = &world.file[seen->vm_fd];
	if (file->kind == FILE_NONE)
		return -EBADF;
	if (file->kind != FILE_VM)
		return -EBADFD;
	*vm = &world.vm[file->vm];
	if (!(*vm)->irqchip || (*vm)->encrypted)
		return -EOPNOTSUPP;
	return 0;
}

static int late_attach_errno(const struct world_vm *vm,
			     const struct sleeper *sleeper)
{
	if (world_attached(vm))
		return -EBUSY;
	if (vm->detaching) {
		expect("attach waits", sleeper->signalled, true);
		return -EINTR;
	}
	return vm->ended ? -ESHUTDOWN : 0;
}

static struct model_partition *
attach(struct world_vm *vm, const struct hv_postmsg_create_partition *seen)
{
	struct model_partition *partition =
		model_new_partition(&world.model, false, seen->flags);
	unsigned int i;

	vm->partition = partition;
	for (i = 0; i < vm->vcpus; i++) {
		vm->vcpu[i].vp = model_new_vp(partition, vm->vcpu[i].index);
		vm->vcpu[i].vp->synic = vm->vcpu[i].active;
	}
	world_update_vps(vm);
	return partition;
}

/* There was no memory for its VPs: there was a partition before. */
static void failed_late(struct model_partition *partition)
{
	world_shutdown(partition);
}

void op_create_partition(const struct step *step)
{
	struct hv_postmsg_create_partition arg = { .size = sizeof(arg) };
	const struct hv_postmsg_create_partition *seen;
	struct model_partition *partition = NULL;
	unsigned int works = core_works();
	struct sleeper sleeper = { .reason = SLEEP_ATTACH };
	struct world_vm *vm = NULL;
	struct call call;
	int early;

	if (step->b % 4 == 0) {
		arg.flags = HV_POSTMSG_PARTITION_HOST;
		arg.vm_fd = -1;
	} else {
		arg.flags = step->a & 0xe;
		arg.vm_fd = world_pick(FILE_VM, step->what);
	}
	prepare_call(&call, step, &arg, sizeof(arg), 0xf);
	seen = &call.seen.create_partition;
	/* Looked up before it may sleep, when descriptors can change. */
	early = attach_errno(seen, &vm);
	sleeper.vm = vm;
	world_begin_sleep(&sleeper);
	make_call(&call, step, CORE_DEVICE, HV_POSTMSG_CREATE_PARTITION);
	world_end_sleep(&sleeper);

	if (!call.wanted && (seen->reserved ||
			     (seen->flags & HV_POSTMSG_PARTITION_HOST &&
			      (seen->flags & 0xe || seen->vm_fd != -1))))
		call.wanted = -EINVAL;
	/* Before there is a partition. */
	if (!call.wanted && no_file(step))
		call.wanted = -EMFILE;
	if (!call.wanted && seen->flags & HV_POSTMSG_PARTITION_HOST) {
		if (goes_on(&call))
			partition = model_new_partition(&world.model, true, 0);
	} else if (!call.wanted) {
		call.wanted = early;
		if (goes_on(&call))
			call.wanted = late_attach_errno(vm, &sleeper);
		else if (!early && core_works() > works)
			/* As it is live before its VPs are made. */
			failed_late(attach(vm, seen));
		if (!call.wanted)
			partition = attach(vm, seen);
	}
	if (makes_file(&call, step))
		world.file[call.ret] = (struct world_file){
			.kind = FILE_PARTITION, .partition = partition,
		};
	finish_call(&call, "CREATE_PARTITION");
}

/* --- a partition's ioctls --- */

void op_set_state(const struct step *step)
{
	struct hv_postmsg_set_state arg = {
		.size = sizeof(arg),
		.state = step->b % 16 == 15 ? step->a : step->b % 16 > 3,
	};
	const struct hv_postmsg_set_state *seen;
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_SET_STATE, &arg, sizeof(arg),
		       0);
	seen = &call.seen.set_state;
	if (!call.wanted && seen->reserved)
		call.wanted = -EINVAL;
	if (goes_on(&call))
		call.wanted = model_set_state(partition, seen->state);
	finish_call(&call, "SET_STATE");
}

/* A descriptor of a kind that an argument names, as the module finds it. */
static struct world_file *find_file(int fd, enum file_kind kind, int *error)
{
	struct world_file *file;

	*error = -EBADF;
	if (fd < 0 || fd >= WORLD_FILES)
		return NULL;
	file = &world.file[fd];
	if (file->kind == FILE_NONE)
		return NULL;
	*error = file->kind == kind ? 0 : -EBADFD;
	return *error ? NULL : file;
}

static int create_port_errno(const struct hv_postmsg_create_port *seen,
			     struct model_port_spec *spec)
{
	struct world_file *file;
	int error;

	if (seen->reserved)
		return -EINVAL;
	spec->id = seen->port_id;
	spec->type = seen->type;
	spec->sint = seen->sint;
	spec->vp = seen->vp;
	spec->buffers = seen->buffers;
	spec->shared = seen->flags & HV_POSTMSG_PORT_SHARED;
	if (!(seen->flags & HV_POSTMSG_PORT_ENDPOINT))
		return seen->endpoint_fd == -1 ? 0 : -EINVAL;
	file = find_file(seen->endpoint_fd, FILE_ENDPOINT, &error);
	if (!file)
		return error;
	spec->endpoint = file->endpoint;
	return 0;
}

static void choose_port(struct hv_postmsg_create_port *arg,
			const struct step *step)
{
	arg->size = sizeof(*arg);
	arg->port_id = world_id(step->a);
	arg->type = step->b % 16 == 1 ? HV_POSTMSG_PORT_EVENT :
					HV_POSTMSG_PORT_MESSAGE;
	arg->endpoint_fd = -1;
	if (step->e & 1)
		arg->flags |= HV_POSTMSG_PORT_SHARED;
	if (step->e & 2) {
		arg->flags |= HV_POSTMSG_PORT_ENDPOINT;
		arg->endpoint_fd = world_pick(FILE_ENDPOINT, step->what);
	} else {
		arg->sint = 1 + step->c % (step->c & 0x300 ? 4 : 15);
		arg->vp = step->what % 8 < 6 ? step->what % 4 :
					       HV_POSTMSG_ANY_VP;
	}
	/* Few, so that they run out. */
	if (arg->type == HV_POSTMSG_PORT_MESSAGE)
		arg->buffers = step->f % 6;
	switch (step->b % 32) {
	case 2:
		arg->buffers = step->f % 70;
		break;
	case 3:
		arg->sint = step->c % 18;
		break;
	case 4:
		arg->vp = step->f;
		break;
	case 5:
		arg->endpoint_fd = world_pick(FILE_ENDPOINT, step->what);
		break;
	case 6:
		arg->type = step->f;
		break;
	case 7:
		arg->buffers = step->d;
		arg->vp = step->d >> 32;
		break;
	default:
		break;
	}
}

void op_create_port(const struct step *step)
{
	struct hv_postmsg_create_port arg = {};
	struct model_partition *partition;
	struct model_port_spec spec = {};
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	choose_port(&arg, step);
	partition_call(&call, step, fd, HV_POSTMSG_CREATE_PORT, &arg,
		       sizeof(arg), 3);
	if (!call.wanted)
		call.wanted = create_port_errno(&call.seen.create_port, &spec);
	if (goes_on(&call))
		call.wanted = model_create_port(&world.model, partition, &spec);
	finish_call(&call, "CREATE_PORT");
}

void op_delete_port(const struct step *step)
{
	struct hv_postmsg_port arg = {
		.size = sizeof(arg), .port_id = world_id(step->a),
	};
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_DELETE_PORT, &arg,
		       sizeof(arg), 0);
	if (!call.wanted && call.seen.port.reserved)
		call.wanted = -EINVAL;
	if (goes_on(&call))
		call.wanted = model_delete_port(&world.model, partition,
						call.seen.port.port_id);
	finish_call(&call, "DELETE_PORT");
}

void op_port_fd(const struct step *step)
{
	struct hv_postmsg_port arg = {
		.size = sizeof(arg), .port_id = world_id(step->a),
	};
	struct model_partition *partition;
	struct model_port *port;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_PORT_FD, &arg, sizeof(arg),
		       0);
	if (!call.wanted && call.seen.port.reserved)
		call.wanted = -EINVAL;
	port = model_find_port(&world.model, partition, call.seen.port.port_id);
	if (!call.wanted && !port)
		call.wanted = -ENOENT;
	if (makes_file(&call, step))
		world.file[call.ret] = (struct world_file){
			.kind = FILE_PORT, .port = port,
		};
	finish_call(&call, "PORT_FD");
}

void op_connect(const struct step *step)
{
	struct hv_postmsg_connect arg = {
		.size = sizeof(arg),
		.flags = step->e % 8 ? HV_POSTMSG_CONNECT_SELF : 0,
		.connection_id = world_id(step->a),
		.port_fd = world_pick(FILE_PORT, step->what),
	};
	const struct hv_postmsg_connect *seen;
	struct model_partition *partition;
	struct world_file *file;
	struct call call;
	int fd, error;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_CONNECT, &arg, sizeof(arg),
		       1);
	seen = &call.seen.connect;
	file = find_file(seen->port_fd, FILE_PORT, &error);
	if (!call.wanted)
		call.wanted = error;
	if (goes_on(&call))
		call.wanted = model_connect(&world.model, partition,
					    seen->connection_id, file->port,
					    seen->flags & 1);
	finish_call(&call, "CONNECT");
}

void op_disconnect(const struct step *step)
{
	struct hv_postmsg_disconnect arg = {
		.size = sizeof(arg), .connection_id = world_id(step->a),
	};
	const struct hv_postmsg_disconnect *seen;
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_DISCONNECT, &arg,
		       sizeof(arg), 0);
	seen = &call.seen.disconnect;
	if (!call.wanted && seen->reserved)
		call.wanted = -EINVAL;
	if (goes_on(&call))
		call.wanted = model_disconnect(&world.model, partition,
					       seen->connection_id);
	finish_call(&call, "DISCONNECT");
}

void op_get_property(const struct step *step)
{
	struct hv_postmsg_port_property arg = {
		.size = sizeof(arg), .port_id = world_id(step->a),
		.property = step->b % 8 ? step->b % 2 : step->b, .value = step->d,
	};
	const struct hv_postmsg_port_property *seen, *got;
	struct model_partition *partition;
	struct call call;
	uint64_t value;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_GET_PORT_PROPERTY, &arg,
		       sizeof(arg), 0);
	seen = &call.seen.property;
	if (goes_on(&call))
		call.wanted = model_get_property(&world.model, partition,
						 seen->port_id, seen->property,
						 &value);
	got = (const void *)current_user()->memory;
	if (out(&call))
		expect("property", got->value, value);
	finish_call(&call, "GET_PORT_PROPERTY");
}

void op_set_property(const struct step *step)
{
	struct hv_postmsg_port_property arg = {
		.size = sizeof(arg), .port_id = world_id(step->a),
		.property = step->b % 8 ? 1 : step->b,
		.value = step->e % 8 ? step->c % 4 : step->d,
	};
	const struct hv_postmsg_port_property *seen;
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_SET_PORT_PROPERTY, &arg,
		       sizeof(arg), 0);
	seen = &call.seen.property;
	if (goes_on(&call))
		call.wanted = model_set_property(&world.model, partition,
						 seen->port_id, seen->property,
						 seen->value);
	finish_call(&call, "SET_PORT_PROPERTY");
}

void op_reset_vp(const struct step *step)
{
	struct hv_postmsg_reset_vp arg = {
		.size = sizeof(arg), .vp = step->b % 8 ? step->b % 4 : step->c,
	};
	const struct hv_postmsg_reset_vp *seen;
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_RESET_VP, &arg, sizeof(arg),
		       0);
	seen = &call.seen.reset_vp;
	if (!call.wanted && seen->reserved)
		call.wanted = -EINVAL;
	if (goes_on(&call))
		call.wanted = model_reset_vp(&world.model, partition, seen->vp);
	finish_call(&call, "RESET_VP");
}

/* --- posting --- */

static void choose_post(struct hv_postmsg_post *arg, const struct step *step)
{
	arg->size = sizeof(*arg);
	arg->flags = step->e & 1 ? HV_POSTMSG_POST_NONBLOCK : 0;
	arg->connection_id = world_id(step->a);
	arg->message_type = step->b % 32 ? 1 + step->b % 64 : step->b >> 1;
	arg->payload_size = step->c % 32 ? step->c % 241 : step->c >> 5;
	arg->status = 0xdead;
	world_payload(arg->payload, step->seed);
}

/*
 * What a post must store.  One that has slept has been tried before each sleep,
 * see on_sleep(); these tries found no buffer.
 */
static enum model_status try_in_model(struct model_partition *partition,
				      const struct model_block *block,
				      bool nonblock, struct sleeper *sleeper)
{
	enum model_status status;

	if (sleeper->sleeps)
		return model_try_again(&world.model, partition, block, true);
	status = model_try_post(&world.model, partition, block, true);
	if (nonblock && status == MODEL_INSUFFICIENT_BUFFERS)
		status = model_try_again(&world.model, partition, block, false);
	return status;
}

static void post_in_model(struct call *call, int fd, bool nonblock,
			  struct model_block *block, struct sleeper *sleeper)
{
	struct model_partition *partition = world.file[fd].partition;
	const struct hv_postmsg_post *got = (void *)current_user()->memory;
	const struct model_message *newest = world_newest();
	enum model_status status;

	status = try_in_model(partition, block, nonblock, sleeper);
	world_posted(newest);
	if (partition->dead && status) {
		call->wanted = -ESHUTDOWN;
		return;
	}
	if (status == MODEL_INSUFFICIENT_BUFFERS && !nonblock) {
		expect("a poster gave up", sleeper->signalled, true);
		call->wanted = -512;
		return;
	}
	partition->status[status]++;
	expect("status of a host's post", got->status, status);
	if (status != MODEL_INSUFFICIENT_BUFFERS)
		return;
	world.file[fd].starved = true;
	world.file[fd].starved_id = block->connection_id;
	expect("POLLOUT behind a refusal", core_poll(fd), 0);
}

void op_post(const struct step *step)
{
	struct sleeper sleeper = { .reason = SLEEP_POST };
	struct model_partition *partition;
	const struct hv_postmsg_post *seen;
	struct hv_postmsg_post arg = {};
	struct model_block block = {};
	struct call call;
	bool nonblock;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	nonblock = step->e & 2;
	core_set_nonblock(fd, nonblock);
	choose_post(&arg, step);
	prepare_call(&call, step, &arg, sizeof(arg), 1);
	seen = &call.seen.post;
	block.connection_id = seen->connection_id;
	block.message_type = seen->message_type;
	block.payload_size = seen->payload_size;
	memcpy(block.payload, seen->payload, sizeof(block.payload));
	nonblock = nonblock || seen->flags & HV_POSTMSG_POST_NONBLOCK;
	sleeper.file = &world.file[fd];
	sleeper.block = &block;

	world_begin_sleep(&sleeper);
	world.file[fd].users++;
	make_call(&call, step, fd, HV_POSTMSG_POST);
	world.file[fd].users--;
	world_end_sleep(&sleeper);

	if (partition->dead && !sleeper.sleeps)
		call.wanted = -ESHUTDOWN;
	if (out(&call))
		post_in_model(&call, fd, nonblock, &block, &sleeper);
	finish_call(&call, "POST");
}

/* --- endpoints --- */

void op_create_endpoint(const struct step *step)
{
	struct hv_postmsg_create_endpoint arg = {
		.size = sizeof(arg),
		.depth = step->b % 8 ? 1 + step->b % 5 : step->c % 5000,
	};
	const struct hv_postmsg_create_endpoint *seen;
	struct model_endpoint *endpoint = NULL;
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_CREATE_ENDPOINT, &arg,
		       sizeof(arg), 0);
	seen = &call.seen.create_endpoint;
	if (!call.wanted && (seen->reserved || seen->depth > MODEL_MAX_DEPTH))
		call.wanted = -EINVAL;
	if (goes_on(&call))
		call.wanted = model_create_endpoint(&world.model, partition,
						    seen->depth, &endpoint);
	if (makes_file(&call, step))
		world.file[call.ret] = (struct world_file){
			.kind = FILE_ENDPOINT, .endpoint = endpoint,
		};
	else if (endpoint)
		model_close_endpoint(&world.model, endpoint);
	finish_call(&call, "CREATE_ENDPOINT");
}

#define READ_MAX	8

/* What read() must return; the messages are compared. */
static long read_in_model(int fd, size_t count, bool nonblock,
			  const struct sleeper *sleeper)
{
	struct model_endpoint *endpoint = world.file[fd].endpoint;
	struct model_content content[READ_MAX];
	const struct user *user = current_user();
	uint32_t held = model_held(&world.model, endpoint), want, can, i;

	if (count < 256)
		return -EINVAL;
	if (!held) {
		if (model_hung_up(&world.model, endpoint))
			return 0;
		if (nonblock)
			return -EAGAIN;
		expect("a reader gave up", sleeper->signalled, true);
		return -512;
	}
	want = count / 256 < held ? count / 256 : held;
	can = user->writable ? user->size / 256 : 0;
	if (can < want) {
		want = model_read(&world.model, endpoint, content, can);
		model_read_fault(&world.model, endpoint);
		if (!can)
			return -EFAULT;
	} else {
		want = model_read(&world.model, endpoint, content, want);
	}
	for (i = 0; i < want; i++)
		expect("message read", memcmp(user->memory + i * 256,
					      &content[i], 256) != 0, 0);
	return want * 256;
}

void op_read(const struct step *step)
{
	struct sleeper sleeper = { .reason = SLEEP_READ };
	struct user *user = current_user();
	bool nonblock = step->e & 1;
	size_t count = 256 + step->f % (256 * (READ_MAX - 1) + 1);
	unsigned long allocs;
	long ret;
	int fd;

	fd = world_pick(FILE_ENDPOINT, step->who % 0xe0);
	if (fd < 0)
		return;
	if (step->b % 16 == 1)
		count = step->f % 256;
	memset(user->memory, 0xee, count);
	user->size = step->b % 16 == 2 ? step->c % (count + 1) : count;
	user->writable = step->b % 16 != 3;
	give_user(user);
	core_set_nonblock(fd, nonblock);
	sleeper.endpoint = world.file[fd].endpoint;

	allocs = core_allocs();
	world_begin_sleep(&sleeper);
	world.file[fd].users++;
	ret = core_read(fd, user->memory, count);
	world.file[fd].users--;
	world_end_sleep(&sleeper);
	if (!sleeper.sleeps)
		expect("allocations by a read", core_allocs(), allocs);
	expect("read", ret, read_in_model(fd, count, nonblock, &sleeper));
	world_count_ioctl("read", ret < 0 ? ret : 0);
}

/* --- statistics --- */

static void compare_port(const struct model_port *port,
			 const struct hv_postmsg_port_stats *got)
{
	uint32_t used = model_used_buffers(&world.model, port);

	expect("buffers", got->buffers, port->buffers);
	expect("free buffers", got->free, port->buffers - used);
	expect("queued", got->queued, used);
	expect("most buffers in use", got->high_water, port->high_water);
	expect("posted", got->posted, port->posted);
	expect("delivered", got->delivered, port->delivered);
	expect("freed", got->freed, port->freed);
	expect("refused_port", got->refused_port, port->refused_port);
	expect("refused_vp", got->refused_vp, port->refused_vp);
	expect("refused_synic", got->refused_synic, port->refused_synic);
	expect("refused_buffers", got->refused_buffers, port->refused_buffers);
}

void op_port_stats(const struct step *step)
{
	struct hv_postmsg_port_stats arg = {
		.size = sizeof(arg), .port_id = world_id(step->a),
	};
	struct model_partition *partition;
	struct model_port *port;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_PORT_STATS, &arg,
		       sizeof(arg), 0);
	port = model_find_port(&world.model, partition,
			       call.seen.port_stats.port_id);
	if (!call.wanted && !port)
		call.wanted = -ENOENT;
	if (out(&call))
		compare_port(port, (void *)current_user()->memory);
	finish_call(&call, "PORT_STATS");
}

static void compare_partition(const struct model_partition *partition,
			      const struct hv_postmsg_partition_stats *got)
{
	uint32_t high_water = partition->high_water;
	const struct model_port *port;
	unsigned int i;

	for (port = world.model.ports; port; port = port->next)
		if (port->alive && port->partition == partition &&
		    port->high_water > high_water)
			high_water = port->high_water;
	expect("ports", got->ports,
	       model_count_ports(&world.model, partition));
	expect("connections", got->connections,
	       model_count_connections(&world.model, partition));
	expect("endpoints", got->endpoints,
	       model_count_endpoints(&world.model, partition));
	expect("partition: most buffers", got->high_water, high_water);
	expect("partition: posted", got->posted, partition->posted);
	expect("partition: delivered", got->delivered, partition->delivered);
	expect("partition: freed", got->freed, partition->freed);
	expect("partition: queued", got->queued, partition->posted -
	       partition->delivered - partition->freed);
	expect("faults", got->faults, partition->faults);
	expect("passed", got->passed, partition->passed);
	for (i = 0; i < MODEL_STATUSES; i++)
		expect("posts by status", got->status[i], partition->status[i]);
}

void op_partition_stats(const struct step *step)
{
	struct hv_postmsg_partition_stats arg = { .size = sizeof(arg) };
	struct model_partition *partition;
	struct call call;
	int fd;

	partition = pick_partition(step, &fd);
	if (!partition)
		return;
	partition_call(&call, step, fd, HV_POSTMSG_PARTITION_STATS, &arg,
		       sizeof(arg), 0);
	if (out(&call))
		compare_partition(partition, (void *)current_user()->memory);
	finish_call(&call, "PARTITION_STATS");
}

void control_check(int fd)
{
	const struct model_partition *partition = world.file[fd].partition;
	struct hv_postmsg_partition_stats all = { .size = sizeof(all) };
	const struct model_port *port;

	core_user_range(&all, sizeof(all), true);
	expect("PARTITION_STATS", core_ioctl(fd, HV_POSTMSG_PARTITION_STATS,
					     &all),
	       partition->dead ? -ESHUTDOWN : 0);
	if (partition->dead)
		return;
	compare_partition(partition, &all);
	for (port = world.model.ports; port; port = port->next) {
		struct hv_postmsg_port_stats one = {
			.size = sizeof(one), .port_id = port->id,
		};

		if (port->partition != partition || !port->alive)
			continue;
		core_user_range(&one, sizeof(one), true);
		expect("PORT_STATS", core_ioctl(fd, HV_POSTMSG_PORT_STATS,
						&one), 0);
		compare_port(port, &one);
	}
}

/* --- the rest --- */

void op_unknown_ioctl(const struct step *step)
{
	int fd = step->e & 1 ? CORE_DEVICE :
			       world_pick(FILE_PARTITION, step->who % 0xe0);
	unsigned int cmd = step->a, number;
	long wanted = -515;

	if (fd < 0)
		return;
	number = cmd - HV_POSTMSG_SET_STATE;
	if (fd != CORE_DEVICE && number < sizeof(names) / sizeof(*names))
		return;
	if (fd == CORE_DEVICE && (cmd == HV_POSTMSG_INFO ||
				  cmd == HV_POSTMSG_CREATE_PARTITION))
		return;
	if (fd != CORE_DEVICE && world.file[fd].partition->dead)
		wanted = -ESHUTDOWN;
	expect("unknown ioctl", core_ioctl(fd, cmd, NULL), wanted);
}

void op_nonblock(const struct step *step)
{
	int fd = world_pick(FILE_ENDPOINT, step->who);

	if (fd >= 0)
		core_set_nonblock(fd, step->e & 1);
}

void op_close(const struct step *step)
{
	int fd = world_pick(1 + step->b % 5, step->who);
	struct world_file *file;

	if (fd < 0 || world.file[fd].users)
		return;
	file = &world.file[fd];
	core_close(fd);
	if (file->kind == FILE_PARTITION) {
		world_shutdown(file->partition);
		model_disconnect_all(&world.model, file->partition);
	} else if (file->kind == FILE_ENDPOINT) {
		model_close_endpoint(&world.model, file->endpoint);
	} else if (file->kind == FILE_VM) {
		world.vm[file->vm].fd = -1;
	}
	memset(file, 0, sizeof(*file));
}

/* A VMM's process ends, or that of all host partitions. */
void op_end_process(const struct step *step)
{
	int vm = step->who % (CORE_VMS + 1) - 1;
	struct model_partition *partition;

	if (vm >= 0 && world.vm[vm].fd < 0)
		return;
	core_end_mm(vm);
	if (vm >= 0) {
		world.vm[vm].ended = true;
		if (world.vm[vm].partition)
			world_shutdown(world.vm[vm].partition);
		return;
	}
	for (partition = world.model.partitions; partition;
	     partition = partition->next)
		if (partition->host)
			world_shutdown(partition);
}

void op_run_works(const struct step *step)
{
	world_run_works();
}

void op_open_other(const struct step *step)
{
	int fd = core_open_other();

	if (fd >= 0)
		world.file[fd] = (struct world_file){ .kind = FILE_OTHER };
}
