// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sequences of system calls on /dev/hv_postmsg, made of bytes, and predicted.
 *
 * A sequence begins with nothing but the device, a few VMs, and files that are of
 * no use; what the first byte asks for comes next, and then one operation after
 * the other until the bytes are used up.  At the end everything that can be asked
 * for is compared, and closed.
 *
 * The VPs of the VMs never run: what is queued for them stays.
 */
#include <stdarg.h>
#include <sys/time.h>

#include "../../plain.h"
#include "patience.h"

#include "ioctl.h"
#include "../model.h"
#include "random.h"

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#define HV_X64_MSR_SCONTROL	0x40000080
#define HV_X64_MSR_SIMP		0x40000083

#define PAGE			4096
/* Memory for arguments; what comes behind it cannot be accessed. */
#define AREA			(2 * PAGE)
/* An argument and what may be written by mistake. */
#define SPAN			512
#define OFFSET			256

#define MAX_HANDLES		192
#define MAX_OBJECTS		256
#define MAX_REPEAT		72

/* No errno: the call returns a file, or waits for a signal. */
#define A_FILE			0x10000
#define WAITS			4000

/* A sequence that takes so long waits where it must not. */
#define PATIENCE_SECONDS	60

enum kind {
	DEVICE,
	PARTITION,
	ENDPOINT,
	PORT,
	VM,
	OTHER,
	PATH,
	CLOSED,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	"device", "partition", "endpoint", "port", "VM", "/dev/null", "O_PATH",
	"no file",
};

/* A VM, which outlives its partitions. */
struct vm {
	int fd;
	bool irqchip;
	unsigned int nr_vps;
	unsigned int nr_synics;
	int vcpus[4];
	bool control[4];
	bool simp[4];
	struct model_partition *attached;
};

/**
 * struct object - an open file
 *
 * @handles: descriptors it has
 * @starved: POLLOUT is off
 * @woken_late: the end of a partition may turn it on at any time
 */
struct object {
	enum kind kind;
	unsigned int handles;
	bool nonblock;
	struct vm *vm;
	struct model_partition *partition;
	struct model_endpoint *endpoint;
	struct model_port *port;
	bool starved;
	bool woken_late;
};

struct handle {
	int fd;
	struct object *object;
};

/* Somebody was told that this port has no room. */
struct starving {
	struct model_port *port;
	uint64_t done;
};

static struct vm vms[4] = {
	{ .irqchip = true, .nr_vps = 3, .nr_synics = 2 },
	{ .irqchip = true, .nr_vps = 1, .nr_synics = 1 },
	{ .irqchip = true },
	{ .nr_vps = 1 },
};

/* Files that are there in every sequence: the device, VMs, and useless ones. */
static struct {
	int fd;
	enum kind kind;
	struct vm *vm;
	bool dead;
} fixed[16];
static unsigned int nr_fixed;

static uint8_t *area, *area_read_only;

struct fuzz_counts fuzz_counts;

/* --- the sequence under way --- */

static struct {
	const uint8_t *bytes;
	size_t size;
	size_t at;
	bool trace;
	bool failed;
	unsigned int number;
	char mismatch[512];
	struct model model;
	struct object objects[MAX_OBJECTS];
	unsigned int nr_objects;
	struct handle handles[MAX_HANDLES];
	unsigned int nr_handles;
	struct starving starving[MAX_OBJECTS];
	unsigned int nr_starving;
	struct object *made;
	bool no_files;
} run;

static uint8_t take(void)
{
	return run.at < run.size ? run.bytes[run.at++] : 0;
}

static __attribute__((format(printf, 1, 2))) void trace(const char *format, ...)
{
	va_list args;

	if (!run.trace)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

/* The first thing that was not predicted ends the sequence. */
static __attribute__((format(printf, 1, 2))) void mismatch(const char *format, ...)
{
	va_list args;

	if (run.failed)
		return;
	run.failed = true;
	va_start(args, format);
	vsnprintf(run.mismatch, sizeof(run.mismatch), format, args);
	va_end(args);
	trace("# MISMATCH: %s\n", run.mismatch);
}

static const char *errno_name(int ret)
{
	static char number[4][16];
	static unsigned int next;

	if (ret == A_FILE)
		return "a file";
	if (ret < 0 && strerrorname_np(-ret))
		return strerrorname_np(-ret);
	next = (next + 1) % ARRAY_SIZE(number);
	snprintf(number[next], sizeof(number[next]), "%d", ret);
	return number[next];
}

/* --- files --- */

/* There are more of them than handles. */
static struct object *new_object(enum kind kind)
{
	struct object *object = run.objects;

	while (object->handles)
		object++;
	if (object == &run.objects[run.nr_objects])
		run.nr_objects++;
	memset(object, 0, sizeof(*object));
	object->kind = kind;
	return object;
}

static struct handle *add_handle(int fd, struct object *object)
{
	struct handle *handle = &run.handles[run.nr_handles++];

	handle->fd = fd;
	handle->object = object;
	object->handles++;
	return handle;
}

static struct handle *handle_of_fd(int fd)
{
	unsigned int i;

	for (i = 0; i < run.nr_handles; i++)
		if (run.handles[i].fd == fd)
			return &run.handles[i];
	return NULL;
}

/*
 * The object behind a descriptor that is part of an argument.  0, or the errno;
 * then it is none, or none of ours.
 */
static int object_of_fd(int fd, enum kind kind, struct object **object)
{
	struct handle *handle = handle_of_fd(fd);

	*object = NULL;
	if (!handle)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EBADFD;
	if (handle->object->kind == CLOSED || handle->object->kind == PATH)
		return -EBADF;
	if (handle->object->kind != kind)
		return -EBADFD;
	*object = handle->object;
	return 0;
}

/* Those that are there from the beginning are of use only if nothing else is. */
static unsigned int first_of_use(enum kind kind)
{
	return kind == PARTITION || kind == ENDPOINT || kind == PORT ? nr_fixed : 0;
}

/* One of a kind; now and then, or if there is none, any. */
static struct handle *pick(enum kind kind)
{
	unsigned int first = first_of_use(kind), count = 0, i, n;
	uint8_t byte = take();

	for (i = first; i < run.nr_handles; i++)
		count += run.handles[i].object->kind == kind;
	if (!count || byte >= 240)
		return &run.handles[byte % run.nr_handles];
	n = byte % count;
	for (i = first; ; i++)
		if (run.handles[i].object->kind == kind && !n--)
			return &run.handles[i];
}

/* --- who waits for room: POLLOUT --- */

static uint64_t messages_done(const struct model_port *port)
{
	return port->delivered + port->freed;
}

static bool connected(const struct model_partition *partition,
		      const struct model_port *port)
{
	struct model_connection *connection;

	for (connection = run.model.connections; connection;
	     connection = connection->next)
		if (connection->partition == partition && connection->port == port)
			return true;
	return false;
}

/* For each partition that is connected to the port. */
static void for_connected(const struct model_port *port,
			  void (*call)(struct object *object))
{
	unsigned int i;

	for (i = 0; i < run.nr_objects; i++)
		if (run.objects[i].kind == PARTITION &&
		    connected(run.objects[i].partition, port))
			call(&run.objects[i]);
}

static void wake(struct object *object)
{
	object->starved = false;
}

static void wake_late(struct object *object)
{
	object->woken_late = true;
}

static void starve(struct model_port *port)
{
	unsigned int i;

	for (i = 0; i < run.nr_starving; i++)
		if (run.starving[i].port == port)
			return;
	run.starving[run.nr_starving].port = port;
	run.starving[run.nr_starving++].done = messages_done(port);
}

/* Behind each call: who was told to wait, and need not any more? */
static void settle_starving(void)
{
	unsigned int i = 0;

	while (i < run.nr_starving) {
		const struct starving *starving = &run.starving[i];

		if (starving->port->alive &&
		    messages_done(starving->port) == starving->done) {
			i++;
			continue;
		}
		for_connected(starving->port, wake);
		run.starving[i] = run.starving[--run.nr_starving];
	}
}

/* All ports for which @match() holds have room, or will not have any. */
static void end_starving(bool (*match)(const struct model_port *port, const void *what),
			 const void *what, void (*call)(struct object *object))
{
	unsigned int i = 0;

	while (i < run.nr_starving) {
		if (!match(run.starving[i].port, what)) {
			i++;
			continue;
		}
		for_connected(run.starving[i].port, call);
		run.starving[i] = run.starving[--run.nr_starving];
	}
}

static bool of_partition(const struct model_port *port, const void *what)
{
	return port->partition == what;
}

static bool of_endpoint(const struct model_port *port, const void *what)
{
	return port->endpoint == what;
}

/* --- closing --- */

static void close_object(struct object *object)
{
	switch (object->kind) {
	case PARTITION:
		if (object->partition->dead)
			break;
		end_starving(of_partition, object->partition, wake_late);
		model_shutdown(&run.model, object->partition);
		model_disconnect_all(&run.model, object->partition);
		if (object->vm)
			object->vm->attached = NULL;
		break;
	case ENDPOINT:
		object->endpoint->closed = true;
		if (object->endpoint->partition->dead)
			break;
		model_close_endpoint(&run.model, object->endpoint);
		end_starving(of_endpoint, object->endpoint, wake);
		break;
	default:
		break;
	}
}

static void close_handle(struct handle *handle)
{
	struct object *object = handle->object;

	if (close(handle->fd))
		mismatch("close: %s", strerror(errno));
	if (!--object->handles)
		close_object(object);
	*handle = run.handles[--run.nr_handles];
}

/* --- what each ioctl does with a struct that has been copied in --- */

static int predict_info(struct object *object, void *argument)
{
	struct hv_postmsg_info *args = argument;

	args->api_version = 1;
	args->default_buffers = 16;
	args->features = HV_POSTMSG_FEATURE_KVM | HV_POSTMSG_FEATURE_ANY_VP;
	args->max_buffers = 64;
	args->max_ports = 65536;
	args->max_connections = 65536;
	args->max_endpoints = 64;
	args->default_depth = 256;
	args->max_depth = 4096;
	return 0;
}

static void make_vps(struct model_partition *partition, const struct vm *vm)
{
	struct model_vp *vp;
	unsigned int i;

	for (i = 0; i < vm->nr_vps; i++) {
		vp = model_new_vp(partition, i);
		vp->synic = i < vm->nr_synics;
		vp->enabled = vp->synic && vm->control[i] && vm->simp[i];
	}
}

static int predict_create_partition(struct object *object, void *argument)
{
	const uint32_t vm_flags = HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE |
				  HV_POSTMSG_PARTITION_STRICT_RESERVED |
				  HV_POSTMSG_PARTITION_PASS_UNKNOWN;
	struct hv_postmsg_create_partition *args = argument;
	bool host = args->flags & HV_POSTMSG_PARTITION_HOST;
	struct vm *vm = NULL;
	struct object *file;
	int ret;

	if (args->reserved)
		return -EINVAL;
	if (host && (args->flags & vm_flags || args->vm_fd != -1))
		return -EINVAL;
	/* Before there is a partition. */
	if (run.no_files)
		return -EMFILE;
	if (!host) {
		ret = object_of_fd(args->vm_fd, VM, &file);
		if (ret)
			return ret;
		vm = file->vm;
		if (!vm->irqchip)
			return -EOPNOTSUPP;
		if (vm->attached)
			return -EBUSY;
	}

	run.made = new_object(PARTITION);
	run.made->vm = vm;
	run.made->partition = model_new_partition(&run.model, host, args->flags);
	if (vm) {
		vm->attached = run.made->partition;
		make_vps(run.made->partition, vm);
	}
	return A_FILE;
}

static int predict_set_state(struct object *object, void *argument)
{
	struct hv_postmsg_set_state *args = argument;
	int ret;

	if (args->reserved)
		return -EINVAL;
	ret = model_set_state(object->partition, args->state);
	if (!ret)
		end_starving(of_partition, object->partition, wake);
	return ret;
}

static int predict_create_port(struct object *object, void *argument)
{
	struct hv_postmsg_create_port *args = argument;
	struct model_port_spec spec = {
		.id = args->port_id,
		.type = args->type,
		.sint = args->sint,
		.vp = args->vp,
		.buffers = args->buffers,
		.shared = args->flags & HV_POSTMSG_PORT_SHARED,
	};
	struct object *file;
	int ret;

	if (args->reserved)
		return -EINVAL;
	if (args->flags & HV_POSTMSG_PORT_ENDPOINT) {
		ret = object_of_fd(args->endpoint_fd, ENDPOINT, &file);
		if (ret)
			return ret;
		spec.endpoint = file->endpoint;
	} else if (args->endpoint_fd != -1) {
		return -EINVAL;
	}
	return model_create_port(&run.model, object->partition, &spec);
}

static int predict_delete_port(struct object *object, void *argument)
{
	struct hv_postmsg_port *args = argument;
	struct model_port *port;
	int ret;

	if (args->reserved)
		return -EINVAL;
	port = model_find_port(&run.model, object->partition, args->port_id);
	ret = model_delete_port(&run.model, object->partition, args->port_id);
	if (!ret && port->endpoint)
		end_starving(of_endpoint, port->endpoint, wake);
	return ret;
}

static int predict_port_fd(struct object *object, void *argument)
{
	struct hv_postmsg_port *args = argument;
	struct model_port *port;

	if (args->reserved)
		return -EINVAL;
	port = model_find_port(&run.model, object->partition, args->port_id);
	if (!port)
		return -ENOENT;
	run.made = new_object(PORT);
	run.made->port = port;
	return A_FILE;
}

static int predict_connect(struct object *object, void *argument)
{
	struct hv_postmsg_connect *args = argument;
	struct object *file;
	int ret;

	ret = object_of_fd(args->port_fd, PORT, &file);
	if (ret)
		return ret;
	return model_connect(&run.model, object->partition, args->connection_id,
			     file->port, args->flags & HV_POSTMSG_CONNECT_SELF);
}

static int predict_disconnect(struct object *object, void *argument)
{
	struct hv_postmsg_disconnect *args = argument;
	int ret;

	if (args->reserved)
		return -EINVAL;
	ret = model_disconnect(&run.model, object->partition, args->connection_id);
	if (!ret)
		object->starved = false;
	return ret;
}

static int predict_get_property(struct object *object, void *argument)
{
	struct hv_postmsg_port_property *args = argument;
	uint64_t value;
	int ret;

	ret = model_get_property(&run.model, object->partition, args->port_id,
				 args->property, &value);
	if (!ret)
		args->value = value;
	return ret;
}

static int predict_set_property(struct object *object, void *argument)
{
	struct hv_postmsg_port_property *args = argument;

	return model_set_property(&run.model, object->partition, args->port_id,
				  args->property, args->value);
}

static int predict_reset_vp(struct object *object, void *argument)
{
	struct hv_postmsg_reset_vp *args = argument;

	if (args->reserved)
		return -EINVAL;
	return model_reset_vp(&run.model, object->partition, args->vp);
}

static int predict_create_endpoint(struct object *object, void *argument)
{
	struct hv_postmsg_create_endpoint *args = argument;
	struct model_endpoint *endpoint;
	int ret;

	if (args->reserved)
		return -EINVAL;
	ret = model_create_endpoint(&run.model, object->partition, args->depth,
				    &endpoint);
	if (ret)
		return ret;
	run.made = new_object(ENDPOINT);
	run.made->endpoint = endpoint;
	return A_FILE;
}

static int predict_port_stats(struct object *object, void *argument)
{
	struct hv_postmsg_port_stats *args = argument;
	struct model_port *port;

	port = model_find_port(&run.model, object->partition, args->port_id);
	if (!port)
		return -ENOENT;
	args->buffers = port->buffers;
	args->queued = model_used_buffers(&run.model, port);
	args->free = port->buffers - args->queued;
	args->high_water = port->high_water;
	args->posted = port->posted;
	args->delivered = port->delivered;
	args->freed = port->freed;
	args->refused_port = port->refused_port;
	args->refused_vp = port->refused_vp;
	args->refused_synic = port->refused_synic;
	args->refused_buffers = port->refused_buffers;
	return 0;
}

static int predict_partition_stats(struct object *object, void *argument)
{
	struct model_partition *partition = object->partition;
	struct hv_postmsg_partition_stats *args = argument;
	struct model_port *port;

	args->ports = model_count_ports(&run.model, partition);
	args->connections = model_count_connections(&run.model, partition);
	args->endpoints = model_count_endpoints(&run.model, partition);
	args->high_water = partition->high_water;
	for (port = run.model.ports; port; port = port->next)
		if (port->partition == partition && port->high_water > args->high_water)
			args->high_water = port->high_water;
	args->posted = partition->posted;
	args->delivered = partition->delivered;
	args->freed = partition->freed;
	args->queued = partition->posted - partition->delivered - partition->freed;
	args->faults = partition->faults;
	args->passed = partition->passed;
	memcpy(args->status, partition->status, sizeof(args->status));
	return 0;
}

static void count_post(uint32_t status)
{
	fuzz_counts.posts++;
	fuzz_counts.accepted += status == HV_STATUS_SUCCESS;
}

static int predict_post(struct object *object, void *argument)
{
	struct hv_postmsg_post *args = argument;
	bool nonblock = object->nonblock || args->flags & HV_POSTMSG_POST_NONBLOCK;
	struct model_connection *connection;
	struct model_block block = {
		.connection_id = args->connection_id,
		.message_type = args->message_type,
		.payload_size = args->payload_size,
	};
	struct model *model = &run.model;

	memcpy(block.payload, args->payload, sizeof(block.payload));
	/* Without a buffer it tries again, having asked to be told of one. */
	args->status = model_try_post(model, object->partition, &block, true);
	if (args->status == HV_STATUS_INSUFFICIENT_BUFFERS) {
		connection = model_find_connection(model, object->partition,
						   args->connection_id);
		starve(connection->port);
		args->status = model_try_again(model, object->partition, &block,
					       !nonblock);
		if (!nonblock)
			return -WAITS;
		/* Only who does not wait has POLLOUT turned off. */
		object->starved = true;
	}
	object->partition->status[args->status]++;
	count_post(args->status);
	return 0;
}

/* --- what an argument is made of --- */

static const uint32_t ids[16] = {
	1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 0, 0xffffff, 0x1000000, 0x01000001,
	0xffffffff,
};

static const uint32_t numbers[16] = {
	0, 1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 0x7fffffff, 0x80000000, 0xfffffffe,
	0xffffffff, 0x10000,
};

static uint32_t take_id(void)
{
	return ids[take() % ARRAY_SIZE(ids)];
}

/* Small ones mostly. */
static uint32_t take_number(void)
{
	uint8_t byte = take();

	return byte < 192 ? byte % 4 : numbers[byte % ARRAY_SIZE(numbers)];
}

static int take_fd(enum kind kind)
{
	return pick(kind)->fd;
}

static void fill_nothing(void *argument)
{
}

static void fill_create_partition(void *argument)
{
	struct hv_postmsg_create_partition *args = argument;
	uint8_t byte = take();

	args->vm_fd = -1;
	if (byte & 1) {
		args->flags = HV_POSTMSG_PARTITION_HOST;
		return;
	}
	args->flags = byte >> 2 & 0xe;
	args->vm_fd = take_fd(VM);
}

static void fill_set_state(void *argument)
{
	struct hv_postmsg_set_state *args = argument;
	uint8_t byte = take();

	args->state = byte < 240 ? byte & 1 : byte;
}

static void fill_create_port(void *argument)
{
	struct hv_postmsg_create_port *args = argument;
	uint8_t byte = take();

	args->port_id = take_id();
	args->type = byte >> 5 == 7 ? byte >> 2 & 7 : HV_POSTMSG_PORT_MESSAGE;
	args->flags = byte & (HV_POSTMSG_PORT_ENDPOINT | HV_POSTMSG_PORT_SHARED);
	args->endpoint_fd = -1;
	if (args->flags & HV_POSTMSG_PORT_ENDPOINT) {
		args->endpoint_fd = take_fd(ENDPOINT);
	} else {
		args->sint = take() % 16;
		args->vp = byte & 4 ? HV_POSTMSG_ANY_VP : take_number();
	}
	if (args->type == HV_POSTMSG_PORT_MESSAGE)
		args->buffers = take_number();
}

static void fill_port(void *argument)
{
	struct hv_postmsg_port *args = argument;

	args->port_id = take_id();
}

static void fill_connect(void *argument)
{
	struct hv_postmsg_connect *args = argument;

	args->connection_id = take_id();
	args->port_fd = take_fd(PORT);
	args->flags = take() & HV_POSTMSG_CONNECT_SELF;
}

static void fill_disconnect(void *argument)
{
	struct hv_postmsg_disconnect *args = argument;

	args->connection_id = take_id();
}

static void fill_property(void *argument)
{
	struct hv_postmsg_port_property *args = argument;
	uint8_t byte = take();

	args->port_id = take_id();
	args->property = byte < 240 ? byte & 1 : byte;
	args->value = take_number();
	if (byte >> 4 == 7)
		args->value <<= 8;
}

static void fill_reset_vp(void *argument)
{
	struct hv_postmsg_reset_vp *args = argument;

	args->vp = take_number();
}

static void fill_post(void *argument)
{
	static const uint32_t types[8] = {
		1, 2, 0x12345678, 0x7fffffff, 1, 0, 0x80000000, 0xffffffff,
	};
	static const uint32_t sizes[16] = {
		0, 1, 7, 8, 16, 100, 239, 240, 240, 32, 64, 128, 241, 255, 256,
		0xffffffff,
	};
	struct hv_postmsg_post *args = argument;
	uint8_t byte = take();
	uint64_t random = run.number << 8 | byte;
	unsigned int i;

	args->connection_id = take_id();
	args->flags = byte % 16 ? HV_POSTMSG_POST_NONBLOCK : 0;
	args->message_type = types[byte >= 224 ? byte & 7 : byte & 3];
	byte = take();
	args->payload_size = sizes[byte >= 224 ? byte & 15 : byte % 12];
	args->status = 0xcccccccc;
	for (i = 0; i < sizeof(args->payload); i++)
		args->payload[i] = random_next(&random);
}

static void fill_create_endpoint(void *argument)
{
	struct hv_postmsg_create_endpoint *args = argument;
	uint8_t byte = take();

	args->depth = byte < 224 ? byte % 8 : numbers[byte % 16];
	if (byte == 255)
		args->depth = 4097;
}

static void fill_port_stats(void *argument)
{
	struct hv_postmsg_port_stats *args = argument;

	args->port_id = take_id();
}

/**
 * struct command - an ioctl
 *
 * @number: its number
 * @kind: whose it is
 * @size: of its struct
 * @flags: those it knows
 * @answers: it writes into the struct
 * @fill: make an argument of what is in the input
 * @predict: the result, or -errno, and what is written
 */
static const struct command {
	const char *name;
	unsigned int number;
	enum kind kind;
	size_t size;
	uint32_t flags;
	bool answers;
	void (*fill)(void *argument);
	int (*predict)(struct object *object, void *argument);
} commands[] = {
#define COMMAND(command, of, type, known, out, filler, predictor)	\
	{								\
		.name = #command,					\
		.number = HV_POSTMSG_##command,				\
		.kind = of,						\
		.size = sizeof(struct hv_postmsg_##type),		\
		.flags = known,						\
		.answers = out,						\
		.fill = fill_##filler,					\
		.predict = predict_##predictor,				\
	}
	COMMAND(INFO, DEVICE, info, 0, true, nothing, info),
	COMMAND(CREATE_PARTITION, DEVICE, create_partition, 0xf, false,
		create_partition, create_partition),
	COMMAND(SET_STATE, PARTITION, set_state, 0, false, set_state, set_state),
	COMMAND(CREATE_PORT, PARTITION, create_port, 0x3, false, create_port,
		create_port),
	COMMAND(DELETE_PORT, PARTITION, port, 0, false, port, delete_port),
	COMMAND(PORT_FD, PARTITION, port, 0, false, port, port_fd),
	COMMAND(CONNECT, PARTITION, connect, 0x1, false, connect, connect),
	COMMAND(DISCONNECT, PARTITION, disconnect, 0, false, disconnect, disconnect),
	COMMAND(GET_PORT_PROPERTY, PARTITION, port_property, 0, true, property,
		get_property),
	COMMAND(SET_PORT_PROPERTY, PARTITION, port_property, 0, false, property,
		set_property),
	COMMAND(RESET_VP, PARTITION, reset_vp, 0, false, reset_vp, reset_vp),
	COMMAND(POST, PARTITION, post, 0x1, true, post, post),
	COMMAND(CREATE_ENDPOINT, PARTITION, create_endpoint, 0, false,
		create_endpoint, create_endpoint),
	COMMAND(PORT_STATS, PARTITION, port_stats, 0, true, port_stats, port_stats),
	COMMAND(PARTITION_STATS, PARTITION, partition_stats, 0, true, nothing,
		partition_stats),
};

static const struct command *find_command(unsigned int number)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].number == number)
			return &commands[i];
	return NULL;
}

/* --- one ioctl --- */

/**
 * struct call - an ioctl that is about to be made
 *
 * @handle: on which file
 * @number: the ioctl's number
 * @image: the argument, and what is behind it
 * @size: of the struct that it was made to be
 * @offset: where in the area it goes
 * @read_only: where it cannot be written to
 * @wild: to none of it: the kernel is told @address
 * @no_files: the process has no descriptor left
 */
struct call {
	struct handle *handle;
	unsigned int number;
	union {
		uint8_t image[SPAN];
		uint32_t words[SPAN / 4];
	};
	size_t size;
	size_t offset;
	bool read_only;
	bool wild;
	uintptr_t address;
	bool no_files;
};

/* Above all that user space can have, and not in the hole between the two. */
#define KERNEL_ADDRESS	((uintptr_t)(sizeof(long) == 8 ? 0xffff888000000000 : 0xc0000000))

/* One thing is not as it should be, or not as usual. */
static void twist(struct call *call, uint8_t how)
{
	uint32_t *size = &call->words[0], *flags = &call->words[1];
	uint32_t *word = &call->words[take() % (call->size / 4)];

	switch (how % 20) {
	case 0:
		*size = 0;
		break;
	case 1:
		*size -= 1;
		break;
	case 2:
		*size += 8;
		break;
	case 3:
		*size += 8;
		call->image[call->size + take() % 8] = 1;
		break;
	case 4:
		*size = PAGE;
		break;
	case 5:
		*size = PAGE + 1;
		break;
	case 6:
		*size = numbers[take() % ARRAY_SIZE(numbers)];
		break;
	case 7:
		*flags ^= 1u << take() % 32;
		break;
	case 8:
		*word = numbers[take() % ARRAY_SIZE(numbers)];
		break;
	case 9:
		*word ^= 1u << take() % 32;
		break;
	case 10:
		call->offset = AREA - call->size;
		break;
	case 11:
		call->offset = AREA - take() % call->size;
		break;
	case 12:
		call->wild = true;
		call->address = take() & 7;
		break;
	case 13:
		call->wild = true;
		call->address = KERNEL_ADDRESS;
		break;
	case 14:
		call->read_only = true;
		break;
	case 15:
		call->offset -= take() % 8;
		break;
	case 16:
		call->no_files = true;
		break;
	case 17:
		call->number ^= 1u << take() % 8;
		break;
	case 18:
		call->number = commands[take() % ARRAY_SIZE(commands)].number;
		break;
	case 19:
		call->handle = &run.handles[take() % run.nr_handles];
		break;
	}
}

/* Bytes of the image that are in memory. */
static size_t span(const struct call *call)
{
	return AREA - call->offset < SPAN ? AREA - call->offset : SPAN;
}

/* What the kernel makes of the bytes behind those it knows. */
static int predict_tail(const struct call *call, size_t size, size_t user_size)
{
	size_t i;

	for (i = size; i < user_size; i++) {
		if (i >= AREA - call->offset)
			return -EFAULT;
		if (i < SPAN && call->image[i])
			return -E2BIG;
	}
	return 0;
}

/* Is the argument copied in? */
static int predict_copy(const struct call *call, const struct command *command)
{
	size_t there = call->wild ? 0 : AREA - call->offset;
	int ret;

	if (there < sizeof(uint32_t))
		return -EFAULT;
	if (call->words[0] < command->size)
		return -EINVAL;
	if (call->words[0] > PAGE)
		return -E2BIG;
	ret = predict_tail(call, command->size, call->words[0]);
	if (ret)
		return ret;
	if (there < command->size)
		return -EFAULT;
	return call->words[1] & ~command->flags ? -EINVAL : 0;
}

/* The process has no descriptor left: what was made for it goes again. */
static int predict_no_file(void)
{
	close_object(run.made);
	run.made = NULL;
	return -EMFILE;
}

/* Predict the result, and in @image the argument behind the call. */
static int predict_call(const struct call *call, uint8_t *image)
{
	const struct command *command = find_command(call->number);
	struct object *object = call->handle->object;
	int ret;

	if (object->kind == CLOSED || object->kind == PATH)
		return -EBADF;
	if (object->kind == PARTITION && object->partition->dead)
		return -ESHUTDOWN;
	if (!command || object->kind != command->kind)
		return -ENOTTY;
	ret = predict_copy(call, command);
	if (ret)
		return ret;
	if (command->predict == predict_post && call->read_only)
		return -EFAULT;
	memcpy(image, call->image, SPAN);
	run.no_files = call->no_files;
	ret = command->predict(object, image);
	if (run.made && call->no_files)
		return predict_no_file();
	if (ret >= 0 && command->answers && call->read_only)
		ret = -EFAULT;
	if (ret < 0 || !command->answers)
		memcpy(image, call->image, SPAN);
	return ret;
}

/* --- calls that wait --- */

/* One signal may come too early; a slow machine must get on between two. */
#define FIRST_SIGNAL_US		1000
#define NEXT_SIGNAL_US		10000

static void set_timer(unsigned int seconds, unsigned int first_us, unsigned int next_us)
{
	struct itimerval timer = {
		.it_interval = { seconds, next_us },
		.it_value = { seconds, first_us },
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void expect_to_wait(bool expected)
{
	if (expected)
		set_timer(0, FIRST_SIGNAL_US, NEXT_SIGNAL_US);
	else
		set_timer(patience(PATIENCE_SECONDS), 0, 0);
}

static void on_alarm(int number)
{
}

static void limit_files(rlim_t limit)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = limit;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* --- making a call and comparing --- */

/* A number behind which a mistake of the model does not hide. */
static bool as_predicted(const char *what, int expected, int ret)
{
	int seen = expected == A_FILE && ret >= 0 ? A_FILE : ret;

	if (expected == -WAITS)
		expected = -EINTR;
	fuzz_counts.calls++;
	fuzz_counts.succeeded += expected >= 0;
	if (expected < 0)
		fuzz_counts.errnos[-expected % ARRAY_SIZE(fuzz_counts.errnos)]++;
	if (seen == expected)
		return true;
	mismatch("%s: %s instead of %s", what, errno_name(ret), errno_name(expected));
	return false;
}

static void compare_argument(const struct call *call, const char *what,
			     const uint8_t *image)
{
	const uint8_t *memory = area + call->offset;
	size_t i;

	for (i = 0; i < span(call); i++) {
		if (memory[i] == image[i])
			continue;
		mismatch("%s: byte %zu of the argument is 0x%02x instead of 0x%02x",
			 what, i, memory[i], image[i]);
		return;
	}
}

static void trace_call(const struct call *call, const char *what, int expected, int ret)
{
	struct object *object = call->handle->object;
	unsigned int i;

	if (!run.trace)
		return;
	trace("# %u: %s on %s (fd %d)%s%s%s, offset %zu:", run.number, what,
	      kind_names[object->kind], call->handle->fd,
	      call->wild ? ", wild address" : "",
	      call->read_only ? ", read-only" : "",
	      call->no_files ? ", no file left" : "", call->offset);
	for (i = 0; i < call->size / 4 && i < 10; i++)
		trace(" %x", call->words[i]);
	trace(" = %s, expected %s\n", errno_name(ret), errno_name(expected));
}

static void keep_file(int fd)
{
	struct object *made = run.made;

	run.made = NULL;
	if (!made)
		return;
	add_handle(fd, made);
	if (run.nr_handles == MAX_HANDLES)
		close_handle(&run.handles[run.nr_handles - 1]);
}

static uintptr_t address(const struct call *call)
{
	if (call->wild)
		return call->address;
	return (uintptr_t)(call->read_only ? area_read_only : area) + call->offset;
}

static int make_call(const struct call *call, bool waits)
{
	rlim_t limit = MAX_OBJECTS * 2;
	int ret;

	if (call->no_files)
		limit_files(0);
	if (waits)
		expect_to_wait(true);
	ret = plain_ioctl(call->handle->fd, call->number, (void *)address(call));
	if (waits)
		expect_to_wait(false);
	if (call->no_files)
		limit_files(limit);
	return ret;
}

/* A port for any VP would choose another one at each try: do not let it wait. */
static void avoid_retries(struct call *call)
{
	struct object *object = call->handle->object;
	struct hv_postmsg_post *args = (void *)call->image;
	struct model_connection *connection;

	if (call->number != HV_POSTMSG_POST || object->kind != PARTITION)
		return;
	connection = model_find_connection(&run.model, object->partition,
					   args->connection_id);
	if (connection && connection->port->target_vp == MODEL_ANY_VP)
		args->flags |= HV_POSTMSG_POST_NONBLOCK;
}

static void do_call(struct call *call)
{
	const struct command *command;
	uint8_t image[SPAN] __attribute__((aligned(8)));
	const char *what;
	int expected, ret;

	/* What KVM says to our ioctls is none of our business. */
	if (call->handle->object->kind == VM)
		return;
	avoid_retries(call);
	memcpy(area + call->offset, call->image, span(call));
	memcpy(image, call->image, SPAN);
	run.made = NULL;
	command = find_command(call->number);
	what = command ? command->name : "unknown ioctl";

	expected = predict_call(call, image);
	ret = make_call(call, expected == -WAITS);
	trace_call(call, what, expected, ret);
	if (as_predicted(what, expected, ret)) {
		compare_argument(call, what, image);
		keep_file(ret);
	}
	settle_starving();
	memset(area + call->offset, 0, span(call));
}

static void start_call(struct call *call, const struct command *command,
		       struct handle *handle)
{
	memset(call, 0, sizeof(*call));
	call->handle = handle;
	call->number = command->number;
	call->size = command->size;
	call->offset = OFFSET;
	call->words[0] = command->size;
}

/* An ioctl as the input has it. */
static void do_command(unsigned int number)
{
	const struct command *command = find_command(number);
	struct call call;
	uint8_t byte;

	start_call(&call, command, pick(command->kind));
	command->fill(call.image);
	while ((byte = take()) >= 176)
		twist(&call, byte - 176);
	do_call(&call);
}

/* One that is as it should be. */
static void do_plain(unsigned int number, struct handle *handle, const void *argument)
{
	const struct command *command = find_command(number);
	struct call call;

	start_call(&call, command, handle);
	memcpy(call.image + 4, (const uint8_t *)argument + 4, command->size - 4);
	do_call(&call);
}

/* --- other system calls --- */

/* All of a read but what comes from the endpoint's queue. */
static int predict_no_read(const struct object *object, size_t count, bool wild)
{
	switch (object->kind) {
	case CLOSED:
	case PATH:
		return -EBADF;
	case OTHER:
		return wild ? -EFAULT : 0;
	case ENDPOINT:
		if (wild)
			return -EFAULT;
		return count < PLAIN_MESSAGE_SIZE ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

/* A read of @count bytes into memory for @room of them. */
static int predict_read(struct object *object, size_t count, size_t room,
			struct model_content *content)
{
	struct model_endpoint *endpoint = object->endpoint;
	uint32_t fit = (count < room ? count : room) / PLAIN_MESSAGE_SIZE;
	uint32_t got = model_read(&run.model, endpoint, content, fit);

	if (got) {
		end_starving(of_endpoint, endpoint, wake);
		return got * PLAIN_MESSAGE_SIZE;
	}
	if (model_held(&run.model, endpoint))
		return -EFAULT;
	if (model_hung_up(&run.model, endpoint))
		return 0;
	return object->nonblock ? -EAGAIN : -WAITS;
}

static int make_read(int fd, void *to, size_t count, bool waits)
{
	int ret;

	if (waits)
		expect_to_wait(true);
	ret = read(fd, to, count);
	ret = ret < 0 ? -errno : ret;
	if (waits)
		expect_to_wait(false);
	return ret;
}

/* A worker frees the messages of a partition that has ended, sooner or later. */
static void read_ended(struct handle *handle, void *to, size_t count)
{
	int ret = make_read(handle->fd, to, count, false);

	if (ret != -EFAULT && (ret < 0 || ret % PLAIN_MESSAGE_SIZE))
		mismatch("read of an ended partition's endpoint: %s", errno_name(ret));
}

static void set_nonblock(struct handle *handle, bool on)
{
	if (handle->object->nonblock == on)
		return;
	plain_nonblock(handle->fd, on);
	handle->object->nonblock = on;
}

static void do_read(void)
{
	static const size_t counts[8] = { 256, 512, 256, 1024, 2048, 255, 257, 0 };
	static struct model_content content[AREA / PLAIN_MESSAGE_SIZE];
	struct handle *handle = pick(ENDPOINT);
	struct object *object = handle->object;
	uint8_t byte = take();
	size_t count = counts[byte % 8], room = AREA;
	bool wild = byte >= 248, read_only = byte >> 3 == 30;
	uint8_t *to;
	int expected, ret;

	if (object->kind == VM)
		return;
	if (byte >> 3 == 29)
		room = 128 * (take() % 20);
	to = (read_only ? area_read_only : area) + AREA - room;
	if (wild)
		to = (void *)KERNEL_ADDRESS;
	expected = predict_no_read(object, count, wild);
	if (!expected && object->kind == ENDPOINT) {
		/* Waiting takes long, so most do not. */
		if (byte & 0xc0)
			set_nonblock(handle, true);
		if (object->endpoint->partition->dead) {
			read_ended(handle, to, count);
			return;
		}
		expected = predict_read(object, count, read_only ? 0 : room, content);
	}
	ret = make_read(handle->fd, to, count, expected == -WAITS);
	trace("# %u: read of %zu bytes with room for %zu on %s (fd %d) = %s, expected %s\n",
	      run.number, count, room, kind_names[object->kind], handle->fd,
	      errno_name(ret), errno_name(expected));
	if (as_predicted("read", expected, ret) && ret > 0) {
		fuzz_counts.read += ret / PLAIN_MESSAGE_SIZE;
		if (memcmp(to, content, ret))
			mismatch("read: another message than was posted");
	}
	settle_starving();
	if (!wild)
		memset(area + AREA - room, 0, room < 2304 ? room : 2304);
}

static bool ours(const struct object *object)
{
	return object->kind == DEVICE || object->kind == PARTITION ||
	       object->kind == ENDPOINT || object->kind == PORT;
}

static bool no_file(const struct object *object)
{
	return object->kind == CLOSED || object->kind == PATH;
}

static struct handle *pick_any(void)
{
	return &run.handles[take() % run.nr_handles];
}

static bool writable_file(const struct object *object)
{
	return object->kind == DEVICE || object->kind == PARTITION;
}

static void do_write(void)
{
	struct handle *handle = pick_any();
	int expected = writable_file(handle->object) ? -EINVAL : -EBADF;
	int ret = -EBADF;

	if (!ours(handle->object) && !no_file(handle->object))
		return;
	ret = write(handle->fd, area, 16);
	as_predicted("write", expected, ret < 0 ? -errno : ret);
}

static void do_mmap(void)
{
	struct handle *handle = pick_any();
	bool shared = take() & 1;
	int expected = -ENODEV;
	void *memory;

	if (no_file(handle->object))
		expected = -EBADF;
	else if (!ours(handle->object))
		return;
	else if (shared && !writable_file(handle->object))
		expected = -EACCES;
	memory = mmap(NULL, PAGE, shared ? PROT_READ | PROT_WRITE : PROT_READ,
		      shared ? MAP_SHARED : MAP_PRIVATE, handle->fd, 0);
	as_predicted("mmap", expected, memory == MAP_FAILED ? -errno : 0);
	if (memory != MAP_FAILED)
		munmap(memory, PAGE);
}

static void do_lseek(void)
{
	struct handle *handle = pick_any();
	off_t ret;

	if (!ours(handle->object))
		return;
	ret = lseek(handle->fd, take(), SEEK_SET);
	as_predicted("lseek", 0, ret < 0 ? -errno : (int)ret);
}

static void do_get_flags(void)
{
	struct handle *handle = pick_any();
	struct object *object = handle->object;
	int expected, ret;

	if (!ours(object))
		return;
	expected = (writable_file(object) ? O_RDWR : O_RDONLY) |
		   (object->nonblock ? O_NONBLOCK : 0);
	ret = fcntl(handle->fd, F_GETFL);
	as_predicted("F_GETFL", expected, ret & (O_ACCMODE | O_NONBLOCK));
	as_predicted("F_GETFD", FD_CLOEXEC, fcntl(handle->fd, F_GETFD));
}

static void do_nonblock(void)
{
	struct handle *handle = pick_any();
	bool on = take() & 1;

	if (!ours(handle->object))
		return;
	set_nonblock(handle, on);
	trace("# %u: O_NONBLOCK of %s (fd %d) %s\n", run.number,
	      kind_names[handle->object->kind], handle->fd, on ? "on" : "off");
}

static void do_dup(void)
{
	struct handle *handle = pick_any();
	int ret;

	if (!ours(handle->object) || run.nr_handles + 1 >= MAX_HANDLES)
		return;
	ret = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
	if (as_predicted("dup", A_FILE, ret < 0 ? -errno : ret))
		add_handle(ret, handle->object);
}

static void do_close(void)
{
	struct handle *handle;

	if (run.nr_handles == nr_fixed)
		return;
	handle = &run.handles[nr_fixed + take() % (run.nr_handles - nr_fixed)];
	trace("# %u: close of %s (fd %d)\n", run.number,
	      kind_names[handle->object->kind], handle->fd);
	close_handle(handle);
	settle_starving();
}

/* --- poll --- */

#define POLL_READ	(POLLIN | POLLRDNORM)
#define POLL_WRITE	(POLLOUT | POLLWRNORM)

static int predict_poll(const struct object *object)
{
	switch (object->kind) {
	case PARTITION:
		if (object->partition->dead)
			return POLLERR | POLLHUP;
		return object->starved ? 0 : POLL_WRITE;
	case ENDPOINT:
		return (model_held(&run.model, object->endpoint) ? POLL_READ : 0) |
		       (model_hung_up(&run.model, object->endpoint) ? POLLHUP : 0);
	case CLOSED:
	case PATH:
		return POLLNVAL;
	default:
		return POLL_READ | POLL_WRITE;
	}
}

/* What may come or go at any time. */
static int poll_unknown(const struct object *object)
{
	if (object->kind == PARTITION && object->starved && object->woken_late)
		return POLL_WRITE;
	if (object->kind == ENDPOINT && object->endpoint->partition->dead)
		return POLL_READ;
	return 0;
}

static void poll_handle(const struct handle *handle)
{
	int unknown = poll_unknown(handle->object);
	int expected = predict_poll(handle->object) & ~unknown;
	int ret = plain_poll(handle->fd, POLL_READ | POLL_WRITE | POLLPRI, 0);

	if (handle->object->kind == VM)
		return;
	trace("# %u: poll of %s (fd %d) = 0x%x, expected 0x%x\n", run.number,
	      kind_names[handle->object->kind], handle->fd, ret, expected);
	fuzz_counts.calls++;
	if ((ret & ~unknown) != expected)
		mismatch("poll of %s: 0x%x instead of 0x%x",
			 kind_names[handle->object->kind], ret, expected);
}

/* --- the VMs --- */

static void set_msr(int vcpu, uint32_t msr, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry.index = msr,
		.entry.data = value,
	};

	if (ioctl(vcpu, KVM_SET_MSRS, &msrs) != 1)
		mismatch("KVM_SET_MSRS of 0x%x: %s", msr, strerror(errno));
}

static void set_synic(struct vm *vm, unsigned int index, bool control, bool simp)
{
	struct model_vp *vp;

	if (vm->control[index] != control)
		set_msr(vm->vcpus[index], HV_X64_MSR_SCONTROL, control);
	if (vm->simp[index] != simp)
		set_msr(vm->vcpus[index], HV_X64_MSR_SIMP, simp);
	vm->control[index] = control;
	vm->simp[index] = simp;
	if (!vm->attached)
		return;
	vp = model_find_vp(vm->attached, index);
	vp->enabled = control && simp;
}

static void do_synic(void)
{
	uint8_t byte = take();
	struct vm *vm = &vms[byte >> 7];
	unsigned int index = (byte >> 2) % vm->nr_synics;

	trace("# %u: SynIC of VP %u of VM %u: SCONTROL %u, SIMP %u\n", run.number,
	      index, byte >> 7, byte & 1, byte >> 1 & 1);
	set_synic(vm, index, byte & 1, byte & 2);
}

/* --- everything that can be asked for --- */

static void check_ports(struct handle *handle)
{
	struct model_partition *partition = handle->object->partition;
	struct hv_postmsg_port_property property = {
		.property = HV_POSTMSG_PROPERTY_POST_COUNT,
	};
	struct hv_postmsg_port_stats stats = {};
	struct model_port *port;

	for (port = run.model.ports; port; port = port->next) {
		if (!port->alive || port->partition != partition)
			continue;
		stats.port_id = port->id;
		do_plain(HV_POSTMSG_PORT_STATS, handle, &stats);
		property.port_id = port->id;
		do_plain(HV_POSTMSG_GET_PORT_PROPERTY, handle, &property);
	}
	/* And none that it does not have. */
	stats.port_id = ids[run.number % ARRAY_SIZE(ids)];
	do_plain(HV_POSTMSG_PORT_STATS, handle, &stats);
}

static void check_all(void)
{
	struct hv_postmsg_partition_stats stats = {};
	unsigned int i;

	trace("# %u: check all\n", run.number);
	for (i = 0; i < run.nr_handles && !run.failed; i++) {
		struct handle *handle = &run.handles[i];

		poll_handle(handle);
		if (handle->object->kind != PARTITION ||
		    handle->object->partition->dead)
			continue;
		do_plain(HV_POSTMSG_PARTITION_STATS, handle, &stats);
		check_ports(handle);
	}
}

/* --- a sequence --- */

enum operation {
	OP_WRITE = 0,
	OP_MMAP,
	OP_LSEEK,
	OP_GET_FLAGS,
	OP_NONBLOCK,
	OP_DUP,
	OP_CLOSE,
	OP_POLL,
	OP_SYNIC,
	OP_CHECK,
	OP_READ,
	OP_REPEAT,
	/* Anything above is an ioctl's number. */
	OPS,
};

/* As often as it is likely to be of use. */
static const unsigned int operations[64] = {
	HV_POSTMSG_INFO,
	HV_POSTMSG_CREATE_PARTITION, HV_POSTMSG_CREATE_PARTITION,
	HV_POSTMSG_CREATE_PARTITION,
	HV_POSTMSG_SET_STATE, HV_POSTMSG_SET_STATE,
	HV_POSTMSG_CREATE_PORT, HV_POSTMSG_CREATE_PORT, HV_POSTMSG_CREATE_PORT,
	HV_POSTMSG_CREATE_PORT, HV_POSTMSG_CREATE_PORT,
	HV_POSTMSG_DELETE_PORT,
	HV_POSTMSG_PORT_FD, HV_POSTMSG_PORT_FD, HV_POSTMSG_PORT_FD,
	HV_POSTMSG_PORT_FD,
	HV_POSTMSG_CONNECT, HV_POSTMSG_CONNECT, HV_POSTMSG_CONNECT,
	HV_POSTMSG_CONNECT, HV_POSTMSG_CONNECT,
	HV_POSTMSG_DISCONNECT,
	HV_POSTMSG_GET_PORT_PROPERTY,
	HV_POSTMSG_SET_PORT_PROPERTY, HV_POSTMSG_SET_PORT_PROPERTY,
	HV_POSTMSG_RESET_VP, HV_POSTMSG_RESET_VP,
	HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST,
	HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST,
	HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST, HV_POSTMSG_POST,
	HV_POSTMSG_CREATE_ENDPOINT, HV_POSTMSG_CREATE_ENDPOINT,
	HV_POSTMSG_PORT_STATS,
	HV_POSTMSG_PARTITION_STATS,
	OP_READ, OP_READ, OP_READ, OP_READ, OP_READ, OP_READ,
	OP_REPEAT, OP_REPEAT, OP_REPEAT,
	OP_CLOSE, OP_CLOSE,
	OP_DUP,
	OP_NONBLOCK,
	OP_SYNIC, OP_SYNIC,
	OP_CHECK,
	OP_POLL,
	OP_WRITE,
	OP_MMAP,
	OP_LSEEK,
	OP_GET_FLAGS,
};

static void do_operation(void);

/* The next operation, from the same bytes. */
static void do_repeat(void)
{
	unsigned int times = take() % MAX_REPEAT;
	size_t at = run.at;

	if (at < run.size && operations[run.bytes[at] % ARRAY_SIZE(operations)] == OP_REPEAT)
		return;
	while (times-- && !run.failed) {
		run.at = at;
		do_operation();
	}
}

static void do_operation(void)
{
	unsigned int operation = operations[take() % ARRAY_SIZE(operations)];

	run.number++;
	switch (operation) {
	case OP_WRITE:
		return do_write();
	case OP_MMAP:
		return do_mmap();
	case OP_LSEEK:
		return do_lseek();
	case OP_GET_FLAGS:
		return do_get_flags();
	case OP_NONBLOCK:
		return do_nonblock();
	case OP_DUP:
		return do_dup();
	case OP_CLOSE:
		return do_close();
	case OP_POLL:
		return poll_handle(pick_any());
	case OP_SYNIC:
		return do_synic();
	case OP_CHECK:
		return check_all();
	case OP_READ:
		return do_read();
	case OP_REPEAT:
		return do_repeat();
	default:
		return do_command(operation);
	}
}

/* A partition of a VM, or of the host, with an endpoint and ports 1 and 2. */
static void make_partition(struct vm *vm)
{
	struct hv_postmsg_create_partition partition = {
		.flags = vm ? 0 : HV_POSTMSG_PARTITION_HOST,
		.vm_fd = vm ? vm->fd : -1,
	};
	struct hv_postmsg_create_endpoint endpoint = {};
	struct hv_postmsg_create_port port = {
		.flags = HV_POSTMSG_PORT_ENDPOINT | HV_POSTMSG_PORT_SHARED,
		.port_id = 1,
		.type = HV_POSTMSG_PORT_MESSAGE,
	};
	struct handle *handle;

	do_plain(HV_POSTMSG_CREATE_PARTITION, run.handles, &partition);
	if (run.failed)
		return;
	handle = &run.handles[run.nr_handles - 1];
	do_plain(HV_POSTMSG_CREATE_ENDPOINT, handle, &endpoint);
	if (run.failed)
		return;
	port.endpoint_fd = run.handles[run.nr_handles - 1].fd;
	do_plain(HV_POSTMSG_CREATE_PORT, handle, &port);
	if (!vm)
		return;
	port.flags = HV_POSTMSG_PORT_SHARED;
	port.port_id = 2;
	port.sint = 2;
	port.endpoint_fd = -1;
	do_plain(HV_POSTMSG_CREATE_PORT, handle, &port);
}

/* Connect the last partition made to port @id of another. */
static void make_connection(struct handle *from, struct handle *to, uint32_t id)
{
	struct hv_postmsg_port port = { .port_id = id };
	struct hv_postmsg_connect connect = { .connection_id = id };

	do_plain(HV_POSTMSG_PORT_FD, to, &port);
	if (run.failed)
		return;
	connect.port_fd = run.handles[run.nr_handles - 1].fd;
	do_plain(HV_POSTMSG_CONNECT, from, &connect);
}

/* So that not each sequence has to find out how to begin. */
static void make_beginning(uint8_t which)
{
	struct handle *first, *second;

	if (!(which & 3))
		return;
	first = &run.handles[run.nr_handles];
	make_partition(which & 1 ? NULL : &vms[0]);
	second = &run.handles[run.nr_handles];
	make_partition(which & 2 ? NULL : &vms[1]);
	if (run.failed || which & 4)
		return;
	make_connection(first, second, 1);
	make_connection(second, first, which & 1 ? 1 : 2);
}

/* --- what is there from the beginning --- */

static void add_fixed(int fd, enum kind kind, struct vm *vm, bool dead)
{
	fixed[nr_fixed].fd = fd;
	fixed[nr_fixed].kind = kind;
	fixed[nr_fixed].vm = vm;
	fixed[nr_fixed++].dead = dead;
}

static void start_dead(struct object *object)
{
	static struct model_partition *partition;
	struct model_port_spec spec = { .id = 1, .type = 1 };

	switch (object->kind) {
	case PARTITION:
		partition = model_new_partition(&run.model, true, 0);
		object->partition = partition;
		break;
	case ENDPOINT:
		model_create_endpoint(&run.model, partition, 0, &object->endpoint);
		spec.endpoint = object->endpoint;
		model_create_port(&run.model, partition, &spec);
		break;
	case PORT:
		object->port = model_find_port(&run.model, partition, 1);
		model_shutdown(&run.model, partition);
		break;
	default:
		break;
	}
}

static void start_sequence(const uint8_t *bytes, size_t size, bool traced)
{
	struct object *object;
	unsigned int i, j;

	memset(&run, 0, offsetof(typeof(run), objects));
	memset(run.objects, 0, sizeof(run.objects));
	run.nr_objects = 0;
	run.nr_handles = 0;
	run.nr_starving = 0;
	run.made = NULL;
	run.bytes = bytes;
	run.size = size < FUZZ_INPUT_MAX ? size : FUZZ_INPUT_MAX;
	run.trace = traced;
	for (i = 0; i < nr_fixed; i++) {
		object = new_object(fixed[i].kind);
		object->vm = fixed[i].vm;
		add_handle(fixed[i].fd, object);
		if (fixed[i].dead)
			start_dead(object);
	}
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		for (j = 0; j < vms[i].nr_synics; j++)
			set_synic(&vms[i], j, true, true);
	expect_to_wait(false);
}

static void end_sequence(void)
{
	unsigned int i;

	while (run.nr_handles > nr_fixed)
		close_handle(&run.handles[run.nr_handles - 1]);
	for (i = 0; i < nr_fixed; i++)
		if (ours(run.handles[i].object))
			plain_nonblock(fixed[i].fd, false);
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		vms[i].attached = NULL;
	model_free(&run.model);
	set_timer(0, 0, 0);
}

bool fuzz_run(const uint8_t *bytes, size_t size, bool traced)
{
	start_sequence(bytes, size, traced);
	make_beginning(take());
	while (run.at < run.size && !run.failed)
		do_operation();
	if (!run.failed)
		check_all();
	end_sequence();
	fuzz_counts.sequences++;
	return !run.failed;
}

bool fuzz_try(const uint8_t *bytes, size_t size)
{
	size_t used, i;

	if (fuzz_run(bytes, size, false))
		return true;
	used = run.at;
	printf("# MISMATCH: %s\n# at operation %u of INPUT=", run.mismatch, run.number);
	for (i = 0; i < used; i++)
		printf("%02x", bytes[i]);
	printf("\n# The same again:\n");
	if (fuzz_run(bytes, used, true))
		printf("# This time it was as predicted.\n");
	fflush(stdout);
	return false;
}

size_t fuzz_random_input(uint64_t *random, uint8_t *bytes)
{
	unsigned int i;

	for (i = 0; i < FUZZ_INPUT_MAX; i++)
		bytes[i] = random_next(random) >> 32;
	return 32 + random_below(random, FUZZ_INPUT_MAX - 32);
}

void fuzz_print_counts(void)
{
	unsigned int i;

	printf("# %llu sequences, %llu calls, %llu succeeded\n",
	       (unsigned long long)fuzz_counts.sequences,
	       (unsigned long long)fuzz_counts.calls,
	       (unsigned long long)fuzz_counts.succeeded);
	printf("# %llu posts, %llu accepted, %llu messages read and compared\n#",
	       (unsigned long long)fuzz_counts.posts,
	       (unsigned long long)fuzz_counts.accepted,
	       (unsigned long long)fuzz_counts.read);
	for (i = 0; i < ARRAY_SIZE(fuzz_counts.errnos); i++)
		if (fuzz_counts.errnos[i])
			printf(" %s %llu", errno_name(-(int)i),
			       (unsigned long long)fuzz_counts.errnos[i]);
	printf("\n");
	fflush(stdout);
}

/* --- the world --- */

static bool complain(const char *what, int ret)
{
	if (ret >= 0)
		return false;
	fprintf(stderr, "# %s: %s\n", what, strerror(-ret));
	return true;
}

/* Twice the same memory, with nothing behind it; once it cannot be written. */
static bool make_area(void)
{
	int fd = memfd_create("area", MFD_CLOEXEC);
	uint8_t *memory = mmap(NULL, 2 * (AREA + PAGE), PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (complain("memfd_create", fd < 0 ? -errno : 0) || ftruncate(fd, AREA) ||
	    memory == MAP_FAILED)
		return false;
	area = mmap(memory, AREA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	area_read_only = mmap(memory + AREA + PAGE, AREA, PROT_READ,
			      MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	return area != MAP_FAILED && area_read_only != MAP_FAILED;
}

static int enable_synic(int vcpu)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC2 };

	return plain_ioctl(vcpu, KVM_ENABLE_CAP, &cap);
}

static int make_vcpu(struct vm *vm, unsigned int index)
{
	int ret = plain_vcpu(vm->fd, index);

	if (ret < 0)
		return ret;
	vm->vcpus[index] = ret;
	return index < vm->nr_synics ? enable_synic(ret) : 0;
}

static bool make_vm(struct vm *vm)
{
	int kvm = plain_kvm();
	unsigned int i;

	vm->fd = vm->irqchip ? plain_new_vm() : plain_vm(kvm);
	close(kvm);
	if (complain("a VM", vm->fd))
		return false;
	for (i = 0; i < vm->nr_vps; i++)
		if (complain("a vCPU", make_vcpu(vm, i)))
			return false;
	add_fixed(vm->fd, VM, vm, false);
	return true;
}

/* In a process that goes away: a partition, its endpoint, a port of it. */
static void make_mortal(int device, int socket)
{
	int partition = plain_host(device);
	int endpoint = plain_endpoint(partition, 0);
	int ret = plain_endpoint_port(partition, 1, endpoint, 0, 0);

	if (!ret)
		ret = plain_send_fd(socket, partition);
	if (!ret)
		ret = plain_send_fd(socket, endpoint);
	if (!ret)
		ret = plain_send_fd(socket, plain_port_fd(partition, 1));
	_exit(ret ? 1 : 0);
}

/* Files of a partition that has ended. */
static bool make_dead(int device)
{
	int sockets[2], status, partition;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return false;
	child = fork();
	if (!child)
		make_mortal(device, sockets[1]);
	partition = plain_receive_fd(sockets[0]);
	add_fixed(partition, PARTITION, NULL, true);
	add_fixed(plain_receive_fd(sockets[0]), ENDPOINT, NULL, true);
	add_fixed(plain_receive_fd(sockets[0]), PORT, NULL, true);
	close(sockets[0]);
	close(sockets[1]);
	if (waitpid(child, &status, 0) != child || status)
		return false;
	return plain_poll(partition, POLLHUP, PLAIN_PATIENCE_MS) & POLLHUP;
}

void fuzz_expedite(bool on)
{
	int fd = open("/sys/kernel/rcu_expedited", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
		fprintf(stderr, "# rcu_expedited: %s\n", strerror(errno));
	close(fd);
}

bool fuzz_open(void)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	int device = plain_open();
	unsigned int i;

	if (complain("/dev/hv_postmsg", device))
		return false;
	sigaction(SIGALRM, &action, NULL);
	limit_files(MAX_OBJECTS * 2);
	add_fixed(device, DEVICE, NULL, false);
	add_fixed(open("/dev/null", O_RDWR | O_CLOEXEC), OTHER, NULL, false);
	add_fixed(open("/dev/hv_postmsg", O_PATH | O_CLOEXEC), PATH, NULL, false);
	add_fixed(MAX_OBJECTS * 2 - 1, CLOSED, NULL, false);
	if (!make_area() || !make_dead(device))
		return false;
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		if (!make_vm(&vms[i]))
			return false;
	fuzz_expedite(true);
	return true;
}

void fuzz_close(void)
{
	unsigned int i, j;

	fuzz_expedite(false);
	for (i = 0; i < ARRAY_SIZE(vms); i++)
		for (j = 0; j < vms[i].nr_vps; j++)
			close(vms[i].vcpus[j]);
	for (i = 0; i < nr_fixed; i++)
		if (fixed[i].kind != CLOSED)
			close(fixed[i].fd);
	nr_fixed = 0;
}
