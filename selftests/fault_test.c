// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: allocations and copies that fail, memory that goes away under a post
 *
 * For a kernel with fault injection.  A call is walked: its first fault point
 * fails, then its second, and so on, until it goes through without a fault.  A call
 * that failed says so by the errno that belongs to it and leaves everything as it
 * was; the next one works.  The last case is that each call in the module that can
 * fail has failed, see fault.h.
 */
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "slot.h"
#include "fault.h"

struct faults *faults;

/* More fault points than any call has. */
#define MAX_WALK	4000
/* More walks than it takes to come by one of them. */
#define MAX_WALKS	20

/* --- what the calls work on --- */

#define OUT		11	/* connections of the sending partition */
#define SPARE		12
#define IN		21	/* ports of the receiving one */
#define NEW		22
#define ANY		23
#define DEPTH		8

/**
 * struct world - two host partitions and a VM, as the calls need them
 *
 * @from: partition that posts
 * @to: partition with an endpoint
 * @endpoint: it; fed by port IN, and connected to by OUT
 * @port_fd: right to connect to port IN, which is shared
 * @vm: attached, with ports NEW and ANY to be made
 * @loose: not attached
 * @memory: a page for arguments; the next is out of reach
 * @fd: what the call made
 * @sequence: number of the next message
 */
struct world {
	int from;
	int to;
	int endpoint;
	int port_fd;
	struct hvpm_vm *vm;
	struct hvpm_vm *loose;
	uint8_t *memory;
	int fd;
	uint64_t sequence;
};

/**
 * struct accounts - what a failed call leaves as it was
 *
 * @stats: of the three partitions
 * @users: open files of the module
 * @files: open files of this process
 * @next: descriptor that the next one gets
 */
struct accounts {
	struct hv_postmsg_partition_stats stats[3];
	unsigned int users;
	unsigned int files;
	int next;
};

static unsigned int open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int files = 0;

	TEST_ASSERT(folder, "/proc/self/fd: %s", strerror(errno));
	while (readdir(folder))
		files++;
	closedir(folder);
	return files;
}

static void take_accounts(struct world *world, struct accounts *accounts)
{
	memset(accounts, 0, sizeof(*accounts));
	hvpm_partition_stats(world->from, &accounts->stats[0]);
	hvpm_partition_stats(world->to, &accounts->stats[1]);
	if (world->vm)
		hvpm_partition_stats(world->vm->partition, &accounts->stats[2]);
	accounts->users = module_users();
	accounts->files = open_files();
	accounts->next = dup(0);
	close(accounts->next);
}

static void check_accounts(struct world *world, const struct accounts *before,
			   const char *what, unsigned int nth)
{
	struct accounts now;

	take_accounts(world, &now);
	TEST_ASSERT(now.users == before->users && now.files == before->files,
		    "%s, fault %u: %u users of the module, %u open files; were %u, %u",
		    what, nth, now.users, now.files, before->users, before->files);
	TEST_ASSERT(now.next == before->next, "%s, fault %u: next descriptor %d; was %d",
		    what, nth, now.next, before->next);
	TEST_ASSERT(!memcmp(now.stats, before->stats, sizeof(now.stats)),
		    "%s, fault %u: the partitions are not as they were", what, nth);
	hvpm_check_port(world->to, IN);
}

static void world_open(struct world *world, bool vms)
{
	open_faults();
	memset(world, 0, sizeof(*world));
	world->fd = -1;
	world->memory = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(world->memory != MAP_FAILED &&
		    !mprotect(world->memory + 4096, 4096, PROT_NONE),
		    "mmap: %s", strerror(errno));
	world->from = hvpm_create_host_partition();
	world->to = hvpm_create_host_partition();
	world->endpoint = hvpm_create_endpoint(world->to, DEPTH);
	hvpm_create_endpoint_port(world->to, IN, world->endpoint,
				  HV_POSTMSG_PORT_SHARED, 0);
	world->port_fd = hvpm_port_fd(world->to, IN);
	hvpm_connect(world->from, OUT, world->port_fd, 0);
	if (vms) {
		world->vm = hvpm_vm_create(2, NULL);
		hvpm_vm_attach(world->vm, 0);
		hvpm_create_port(world->vm->partition, ANY, HV_POSTMSG_ANY_VP,
				 SINT, 0, 1);
		world->loose = hvpm_vm_create(2, NULL);
	}
}

static void world_close(struct world *world)
{
	if (world->vm) {
		hvpm_vm_free(world->vm);
		hvpm_vm_free(world->loose);
	}
	close(world->port_fd);
	close(world->endpoint);
	hvpm_close_partition(world->from);
	hvpm_close_partition(world->to);
	munmap(world->memory, 2 * 4096);
}

/* The oldest message of the endpoint is the one with this number. */
static void expect_message(struct world *world, uint64_t sequence)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head = { .sequence = -1 };
	struct pollfd poll_in = { .fd = world->endpoint, .events = POLLIN };

	TEST_ASSERT(poll(&poll_in, 1, 0) == 1 && poll_in.revents == POLLIN,
		    "message %lu is not there", sequence);
	TEST_ASSERT(read(world->endpoint, &message, sizeof(message)) ==
		    sizeof(message), "read: %s", strerror(errno));
	TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
				       message.payload_size, &head) &&
		    head.sequence == sequence,
		    "message %lu instead of %lu", head.sequence, sequence);
}

static void expect_no_message(struct world *world)
{
	struct pollfd poll_in = { .fd = world->endpoint, .events = POLLIN };

	TEST_ASSERT(!poll(&poll_in, 1, 0), "a message too many");
}

/* --- a call, walked --- */

/**
 * struct call - an ioctl
 *
 * @prepare: makes what it needs
 * @fill: fills its struct in
 * @command: ioctl
 * @size: size of its struct
 * @fd: the file it is for
 * @undo: takes back what it did, having succeeded
 * @copies_out: it writes to its struct
 */
struct call {
	void (*prepare)(struct world *world);
	void (*fill)(struct world *world, void *argument);
	unsigned long command;
	size_t size;
	int (*fd)(struct world *world);
	void (*undo)(struct world *world);
	bool copies_out;
};

/*
 * What a failed call said is what belongs to the sites that failed.  One of the
 * module's must have, unless the way to the module can fail, too.
 */
static void check_error(const char *what, unsigned int nth, int error,
			sites_t failed, bool outside)
{
	int expected = failed & faults->memory ? ENOMEM : EFAULT;

	if (!failed && outside && (error == ENOMEM || error == EFAULT))
		return;
	TEST_ASSERT(failed, "%s, fault %u: %s, and nothing in the module failed",
		    what, nth, strerror(error));
	TEST_ASSERT(error == expected, "%s, fault %u: %s instead of %s", what,
		    nth, strerror(error), strerror(expected));
}

/* The struct ends at the end of the page if @last. */
static void *place(struct world *world, const struct call *call, bool last)
{
	void *argument = world->memory + (last ? 4096 - call->size : 0);
	uint32_t size = call->size;

	memset(argument, 0, call->size);
	memcpy(argument, &size, sizeof(size));
	call->fill(world, argument);
	return argument;
}

static int do_call(struct world *world, const struct call *call, void *argument)
{
	world->fd = ioctl(call->fd(world), call->command, argument);
	return world->fd;
}

static void walk_call(struct world *world, const struct call *call,
		      const char *what)
{
	struct accounts before;
	bool injected = true;
	unsigned int nth;
	sites_t failed;
	int ret, error;

	for (nth = 1; injected; nth++) {
		TEST_ASSERT(nth < MAX_WALK, "%s: no end of faults", what);
		if (call->prepare)
			call->prepare(world);
		take_accounts(world, &before);
		place(world, call, false);
		failed_sites();
		arm(nth);
		ret = do_call(world, call, world->memory);
		error = errno;
		injected = disarm();
		failed = failed_sites();
		if (ret < 0) {
			check_error(what, nth, error, failed, false);
			check_accounts(world, &before, what, nth);
			/* Now it works. */
			place(world, call, false);
			ret = do_call(world, call, world->memory);
			TEST_ASSERT(ret >= 0, "%s behind fault %u: %s", what, nth,
				    strerror(errno));
		} else {
			TEST_ASSERT(!failed, "%s, fault %u: success all the same",
				    what, nth);
		}
		if (call->undo)
			call->undo(world);
	}
	printf("# %s: %u faults\n", what, nth - 2);
}

/* Nothing that it asks for is given. */
static void starve_call(struct world *world, const struct call *call,
			const char *what)
{
	struct accounts before;
	sites_t failed;
	int ret, error;

	if (call->prepare)
		call->prepare(world);
	take_accounts(world, &before);
	place(world, call, false);
	failed_sites();
	refuse_memory();
	ret = do_call(world, call, world->memory);
	error = errno;
	refuse_nothing();
	failed = failed_sites();
	if (ret < 0) {
		check_error(what, 0, error, failed, false);
		check_accounts(world, &before, what, 0);
		place(world, call, false);
		ret = do_call(world, call, world->memory);
		TEST_ASSERT(ret >= 0, "%s after all: %s", what, strerror(errno));
	}
	if (call->undo)
		call->undo(world);
}

/* Its struct cannot be reached, or not all of it, or not be written to. */
static void bad_memory(struct world *world, const struct call *call,
		       const char *what)
{
	const uint32_t larger = call->size + 8;
	struct accounts before;
	void *argument;
	unsigned int i;
	int ret;

	if (call->prepare)
		call->prepare(world);
	take_accounts(world, &before);
	for (i = 0; i < (call->copies_out ? 4 : 3); i++) {
		argument = place(world, call, i == 2);
		switch (i) {
		case 0:		/* nothing of it is there */
			argument = world->memory + 4096;
			break;
		case 1:		/* nothing but its size */
			argument = world->memory + 4092;
			memcpy(argument, &call->size, 4);
			break;
		case 2:		/* what it is larger by is not */
			memcpy(argument, &larger, sizeof(larger));
			break;
		default:	/* it cannot be written */
			mprotect(world->memory, 4096, PROT_READ);
		}
		ret = do_call(world, call, argument);
		TEST_ASSERT(ret < 0 && errno == EFAULT, "%s, bad memory %u: %d, %s",
			    what, i, ret, strerror(errno));
		mprotect(world->memory, 4096, PROT_READ | PROT_WRITE);
		check_accounts(world, &before, what, i);
	}
	failed_sites();
	place(world, call, false);
	ret = do_call(world, call, world->memory);
	TEST_ASSERT(ret >= 0, "%s behind bad memory: %s", what, strerror(errno));
	if (call->undo)
		call->undo(world);
}

/* --- the ioctls --- */

static int the_device(struct world *world)
{
	return hvpm_device();
}

static int the_sender(struct world *world)
{
	return world->from;
}

static int the_receiver(struct world *world)
{
	return world->to;
}

static int the_vm(struct world *world)
{
	return world->vm->partition;
}

static void close_it(struct world *world)
{
	close(world->fd);
	world->fd = -1;
}

static void fill_nothing(struct world *world, void *argument)
{
}

static void fill_host(struct world *world, void *argument)
{
	struct hv_postmsg_create_partition *create = argument;

	create->flags = HV_POSTMSG_PARTITION_HOST;
	create->vm_fd = -1;
}

static void fill_vm(struct world *world, void *argument)
{
	struct hv_postmsg_create_partition *create = argument;

	create->vm_fd = world->loose->vm->fd;
}

static void fill_state(struct world *world, void *argument)
{
	struct hv_postmsg_set_state *set = argument;

	set->state = HV_POSTMSG_STATE_ACTIVE;
}

static void fill_small_port(struct world *world, void *argument)
{
	struct hv_postmsg_create_port *create = argument;

	create->port_id = NEW;
	create->type = HV_POSTMSG_PORT_MESSAGE;
	create->sint = SINT;
	create->endpoint_fd = -1;
	create->buffers = 1;
}

static void fill_large_port(struct world *world, void *argument)
{
	struct hv_postmsg_create_port *create = argument;

	create->flags = HV_POSTMSG_PORT_ENDPOINT;
	create->port_id = NEW;
	create->type = HV_POSTMSG_PORT_MESSAGE;
	create->endpoint_fd = world->endpoint;
	create->buffers = 64;
}

static void fill_port(struct world *world, void *argument)
{
	struct hv_postmsg_port *port = argument;

	port->port_id = NEW;
}

static void fill_port_in(struct world *world, void *argument)
{
	struct hv_postmsg_port *port = argument;

	port->port_id = IN;
}

static void delete_from_vm(struct world *world)
{
	hvpm_delete_port(world->vm->partition, NEW);
}

static void delete_from_receiver(struct world *world)
{
	hvpm_delete_port(world->to, NEW);
}

static void create_in_receiver(struct world *world)
{
	hvpm_create_endpoint_port(world->to, NEW, world->endpoint, 0, 1);
}

static void fill_connect(struct world *world, void *argument)
{
	struct hv_postmsg_connect *connect = argument;

	connect->connection_id = SPARE;
	connect->port_fd = world->port_fd;
}

static void disconnect_spare(struct world *world)
{
	hvpm_disconnect(world->from, SPARE);
}

static void connect_spare(struct world *world)
{
	hvpm_connect(world->from, SPARE, world->port_fd, 0);
}

static void fill_disconnect(struct world *world, void *argument)
{
	struct hv_postmsg_disconnect *disconnect = argument;

	disconnect->connection_id = SPARE;
}

static void fill_property(struct world *world, void *argument)
{
	struct hv_postmsg_port_property *property = argument;

	property->port_id = ANY;
	property->property = HV_POSTMSG_PROPERTY_PREFERRED_VP;
	property->value = 1;
}

static void fill_post(struct world *world, void *argument)
{
	struct hv_postmsg_post *post = argument;

	post->connection_id = OUT;
	post->message_type = TYPE;
	post->payload_size = SIZE;
	hvpm_payload_fill(post->payload, TYPE, SIZE, 0, world->sequence);
}

static void receive(struct world *world)
{
	struct hv_postmsg_post *post = (void *)world->memory;

	TEST_ASSERT(post->status == HV_STATUS_SUCCESS, "status 0x%x",
		    post->status);
	expect_message(world, world->sequence++);
	expect_no_message(world);
}

static void fill_port_stats(struct world *world, void *argument)
{
	struct hv_postmsg_port_stats *stats = argument;

	stats->port_id = IN;
}

FIXTURE(ioctl) {
	struct world world;
};

FIXTURE_VARIANT(ioctl) {
	const char *name;
	struct call call;
};

#define CALL(cmd, type, ...)						\
	.name = #cmd,							\
	.call = { .command = HV_POSTMSG_##cmd,				\
		  .size = sizeof(struct hv_postmsg_##type), __VA_ARGS__ }

FIXTURE_VARIANT_ADD(ioctl, info) {
	CALL(INFO, info, .fd = the_device, .fill = fill_nothing,
	     .copies_out = true),
};

FIXTURE_VARIANT_ADD(ioctl, create_host) {
	CALL(CREATE_PARTITION, create_partition, .fd = the_device, .fill = fill_host,
	     .undo = close_it),
};

FIXTURE_VARIANT_ADD(ioctl, create_vm) {
	CALL(CREATE_PARTITION, create_partition, .fd = the_device, .fill = fill_vm,
	     .undo = close_it),
};

FIXTURE_VARIANT_ADD(ioctl, set_state) {
	CALL(SET_STATE, set_state, .fd = the_receiver, .fill = fill_state),
};

FIXTURE_VARIANT_ADD(ioctl, create_small_port) {
	CALL(CREATE_PORT, create_port, .fd = the_vm, .fill = fill_small_port,
	     .undo = delete_from_vm),
};

FIXTURE_VARIANT_ADD(ioctl, create_large_port) {
	CALL(CREATE_PORT, create_port, .fd = the_receiver, .fill = fill_large_port,
	     .undo = delete_from_receiver),
};

FIXTURE_VARIANT_ADD(ioctl, delete_port) {
	CALL(DELETE_PORT, port, .fd = the_receiver, .fill = fill_port,
	     .prepare = create_in_receiver),
};

FIXTURE_VARIANT_ADD(ioctl, port_fd) {
	CALL(PORT_FD, port, .fd = the_receiver, .fill = fill_port_in,
	     .undo = close_it),
};

FIXTURE_VARIANT_ADD(ioctl, connect) {
	CALL(CONNECT, connect, .fd = the_sender, .fill = fill_connect,
	     .undo = disconnect_spare),
};

FIXTURE_VARIANT_ADD(ioctl, disconnect) {
	CALL(DISCONNECT, disconnect, .fd = the_sender, .fill = fill_disconnect,
	     .prepare = connect_spare),
};

FIXTURE_VARIANT_ADD(ioctl, get_property) {
	CALL(GET_PORT_PROPERTY, port_property, .fd = the_vm, .fill = fill_property,
	     .copies_out = true),
};

FIXTURE_VARIANT_ADD(ioctl, set_property) {
	CALL(SET_PORT_PROPERTY, port_property, .fd = the_vm, .fill = fill_property),
};

FIXTURE_VARIANT_ADD(ioctl, reset_vp) {
	CALL(RESET_VP, reset_vp, .fd = the_vm, .fill = fill_nothing),
};

FIXTURE_VARIANT_ADD(ioctl, post) {
	CALL(POST, post, .fd = the_sender, .fill = fill_post,
	     .undo = receive, .copies_out = true),
};

FIXTURE_VARIANT_ADD(ioctl, create_endpoint) {
	CALL(CREATE_ENDPOINT, create_endpoint, .fd = the_receiver, .fill = fill_nothing,
	     .undo = close_it),
};

FIXTURE_VARIANT_ADD(ioctl, port_stats) {
	CALL(PORT_STATS, port_stats, .fd = the_receiver, .fill = fill_port_stats,
	     .copies_out = true),
};

FIXTURE_VARIANT_ADD(ioctl, partition_stats) {
	CALL(PARTITION_STATS, partition_stats, .fd = the_receiver, .fill = fill_nothing,
	     .copies_out = true),
};

FIXTURE_SETUP(ioctl)
{
	world_open(&self->world, variant->call.fd == the_vm ||
		   variant->call.fill == fill_vm);
}

FIXTURE_TEARDOWN(ioctl)
{
	world_close(&self->world);
}

TEST_F(ioctl, each_fault)
{
	walk_call(&self->world, &variant->call, variant->name);
}

TEST_F(ioctl, all_memory_refused)
{
	starve_call(&self->world, &variant->call, variant->name);
}

TEST_F(ioctl, bad_memory)
{
	bad_memory(&self->world, &variant->call, variant->name);
}

/*
 * A call that fails does not use up what the partition may have: as many failures
 * as it may have, and then one that works.
 */
static void fail_often(struct world *world, const struct call *call,
		       unsigned int limit)
{
	unsigned int i;
	int ret = 0;

	place(world, call, false);
	refuse_memory();
	for (i = 0; i < limit && !(ret < 0 && errno != ENOMEM); i++)
		ret = do_call(world, call, world->memory);
	refuse_nothing();
	failed_sites();
	TEST_ASSERT(i == limit && ret < 0, "after %u failures: %s", i,
		    ret < 0 ? strerror(errno) : "success");
	ret = do_call(world, call, world->memory);
	TEST_ASSERT(ret >= 0, "after %u failures: %s", limit, strerror(errno));
	call->undo(world);
}

static void read_limits(struct hv_postmsg_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	hvpm_ioctl(hvpm_device(), HV_POSTMSG_INFO, info);
}

TEST(failures_use_up_no_ports)
{
	const struct call call = {
		.command = HV_POSTMSG_CREATE_PORT,
		.size = sizeof(struct hv_postmsg_create_port),
		.fd = the_receiver,
		.fill = fill_large_port,
		.undo = delete_from_receiver,
	};
	struct hv_postmsg_info info;
	struct world world;

	world_open(&world, false);
	read_limits(&info);
	fail_often(&world, &call, info.max_ports);
	world_close(&world);
}

TEST(failures_use_up_no_endpoints)
{
	const struct call call = {
		.command = HV_POSTMSG_CREATE_ENDPOINT,
		.size = sizeof(struct hv_postmsg_create_endpoint),
		.fd = the_receiver,
		.fill = fill_nothing,
		.undo = close_it,
	};
	struct hv_postmsg_info info;
	struct world world;

	world_open(&world, false);
	read_limits(&info);
	fail_often(&world, &call, info.max_endpoints);
	world_close(&world);
}

/* A new process makes a partition; it ends with the errno, and "a fault came". */
#define FAULT_CAME	0x80

static int first_partition(unsigned int nth)
{
	int ret, error = 0;

	arm(nth);
	ret = __hvpm_create_partition(-1, HV_POSTMSG_PARTITION_HOST);
	if (ret < 0)
		error = errno;
	return error | (disarm() ? FAULT_CAME : 0);
}

/* A walk, each step in a new process; returns the sites that failed. */
static sites_t walk_first_partition(unsigned int users)
{
	int status, result = FAULT_CAME;
	sites_t failed, seen = 0;
	unsigned int nth;
	pid_t child;

	for (nth = 1; result & FAULT_CAME; nth++) {
		TEST_ASSERT(nth < MAX_WALK, "no end of faults");
		child = fork();
		TEST_ASSERT(child >= 0, "fork: %s", strerror(errno));
		if (!child)
			_exit(first_partition(nth));
		TEST_ASSERT(waitpid(child, &status, 0) == child &&
			    WIFEXITED(status), "fault %u: status %#x", nth, status);
		result = WEXITSTATUS(status);
		failed = failed_sites();
		seen |= failed;
		if (result & ~FAULT_CAME)
			check_error("create", nth, result & ~FAULT_CAME, failed,
				    false);
		else
			TEST_ASSERT(!failed, "create, fault %u: success all the same",
				    nth);
		TEST_ASSERT(module_users() == users, "fault %u: %u users, were %u",
			    nth, module_users(), users);
	}
	return seen;
}

/*
 * The first partition of a process also makes its address space tell of its end.
 * What caches and debugging ask for is not the same in each process, so that a walk
 * may step over one place.
 */
TEST(first_partition_of_a_process)
{
	const sites_t notifier = sites_of("mmu_notifier_register", "");
	unsigned int users, walks = 0;
	sites_t seen = 0;

	hvpm_device();
	users = module_users();
	failed_sites();
	while (!(seen & notifier) && walks++ < MAX_WALKS)
		seen |= walk_first_partition(users);
	EXPECT_EQ(notifier, seen & notifier);
}

/* --- other calls of the device, endpoints and partitions --- */

FIXTURE(file) {
	struct world world;
};

FIXTURE_SETUP(file)
{
	world_open(&self->world, false);
}

FIXTURE_TEARDOWN(file)
{
	world_close(&self->world);
}

static void post_one(struct world *world)
{
	uint32_t status;

	status = hvpm_post(world->from, OUT, TYPE, SIZE, 0, 0,
			   world->sequence++);
	TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
}

TEST_F(file, open)
{
	struct world *world = &self->world;
	bool injected = true;
	unsigned int nth;
	int fd, error;

	for (nth = 1; injected; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		failed_sites();
		arm(nth);
		fd = open(HVPM_DEVICE, O_RDWR | O_CLOEXEC);
		error = errno;
		injected = disarm();
		if (fd < 0)
			check_error("open", nth, error, failed_sites(), true);
		else
			close(fd);
	}
	post_one(world);
	expect_message(world, 0);
}

/* Returns how many of the reads got one message of two. */
static unsigned int walk_read(struct world *world)
{
	struct hv_postmsg_message messages[2];
	unsigned int nth, partial = 0;
	bool injected = true;
	sites_t failed;
	ssize_t size;
	uint64_t i;
	int error;

	for (nth = 1; injected; nth++) {
		TEST_ASSERT(nth < MAX_WALK, "read: no end of faults");
		i = world->sequence;
		post_one(world);
		post_one(world);
		failed_sites();
		arm(nth);
		size = read(world->endpoint, messages, sizeof(messages));
		error = errno;
		injected = disarm();
		failed = failed_sites();
		if (size < 0) {
			check_error("read", nth, error, failed, true);
		} else {
			TEST_ASSERT_EQ(size % sizeof(*messages), 0);
			TEST_ASSERT_EQ(failed != 0, size < (ssize_t)sizeof(messages));
			i += size / sizeof(*messages);
			partial += size == sizeof(*messages);
		}
		for (; i < world->sequence; i++)
			expect_message(world, i);
		expect_no_message(world);
		hvpm_check_port(world->to, IN);
	}
	return partial;
}

/*
 * What could not be copied out stays, and comes in its turn.  A fault that something else
 * of the kernel's takes in passing makes a walk step over the second message.
 */
TEST_F(file, read)
{
	unsigned int partial = 0, walks = 0;

	while (!partial && walks++ < MAX_WALKS)
		partial = walk_read(&self->world);
	EXPECT_EQ(1, partial);
}

TEST_F(file, poll)
{
	struct world *world = &self->world;
	struct pollfd polls[] = {
		{ .fd = world->endpoint, .events = POLLIN },
		{ .fd = world->from, .events = POLLOUT },
	};
	bool injected = true;
	unsigned int nth;
	int ret, error;

	post_one(world);
	for (nth = 1; injected; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		failed_sites();
		arm(nth);
		ret = poll(polls, ARRAY_SIZE(polls), 0);
		error = errno;
		injected = disarm();
		if (ret < 0)
			check_error("poll", nth, error, failed_sites(), true);
		else
			ASSERT_EQ(2, ret);
	}
	expect_message(world, 0);
}

/* What is closed is closed, whatever fails. */
TEST_F(file, close)
{
	struct world *world = &self->world;
	int other, endpoint, port_fd, ret;
	struct accounts before;
	bool injected = true;
	unsigned int nth;

	for (nth = 1; injected; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		take_accounts(world, &before);
		other = hvpm_create_host_partition();
		endpoint = hvpm_create_endpoint(other, 0);
		hvpm_create_endpoint_port(other, IN, endpoint, 0, 0);
		port_fd = hvpm_port_fd(other, IN);
		hvpm_connect(world->from, SPARE, port_fd, 0);
		ASSERT_EQ(HV_STATUS_SUCCESS, hvpm_post(world->from, SPARE, TYPE,
						       SIZE, 0, 0, 0));
		arm(nth);
		ret = close(other) ?: close(endpoint) ?: close(port_fd);
		injected = disarm();
		ASSERT_EQ(0, ret);
		hvpm_disconnect(world->from, SPARE);
		before.stats[0].status[0]++;
		check_accounts(world, &before, "close", nth);
	}
}

/* A thread that posts, and may have to wait for a buffer. */
struct poster {
	struct hv_postmsg_post *post;
	int partition;
	int tid;
};

static void *post_thread(void *arg)
{
	struct poster *poster = arg;
	int ret;

	__atomic_store_n(&poster->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	ret = ioctl(poster->partition, HV_POSTMSG_POST, poster->post);
	return (void *)(intptr_t)(ret ? errno : 0);
}

/* Is the thread asleep in an ioctl? */
static bool in_ioctl(struct poster *poster)
{
	int tid = __atomic_load_n(&poster->tid, __ATOMIC_ACQUIRE), number = -1;
	char path[64];
	FILE *file;

	if (!tid)
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	file = fopen(path, "r");
	TEST_ASSERT(file, "%s: %s", path, strerror(errno));
	/* While it runs the file says so by a word. */
	if (fscanf(file, "%d", &number) != 1)
		number = -1;
	fclose(file);
	return number == SYS_ioctl;
}

/*
 * Posted, but the poster cannot be told: it waited for a buffer, and its struct
 * became read-only meanwhile.  It learns that, and the message is there once.
 */
TEST_F(file, post_whose_status_cannot_be_told)
{
	struct world *world = &self->world;
	struct hv_postmsg_post *post = (void *)world->memory;
	struct poster poster = { .post = post, .partition = world->from };
	pthread_t thread;
	unsigned int i;
	void *error;

	for (i = 0; i < DEPTH; i++)
		post_one(world);
	memset(post, 0, sizeof(*post));
	post->size = sizeof(*post);
	fill_post(world, post);
	failed_sites();
	ASSERT_EQ(0, pthread_create(&thread, NULL, post_thread, &poster));
	while (!in_ioctl(&poster))
		usleep(1000);
	ASSERT_EQ(0, mprotect(world->memory, 4096, PROT_READ));
	expect_message(world, 0);
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(EFAULT, (intptr_t)error);
	ASSERT_EQ(0, mprotect(world->memory, 4096, PROT_READ | PROT_WRITE));
	for (i = 1; i <= DEPTH; i++)
		expect_message(world, i);
	expect_no_message(world);
	hvpm_check_port(world->to, IN);
	EXPECT_NE(0, failed_sites() & sites_of("__put_user", "partition_post"));
}

/* --- memory that is only asked for now and then --- */

/*
 * There is per-CPU memory at hand for many partitions, which a worker of the
 * kernel's tops up.  It does not get to it behind somebody of a real-time class.
 */
TEST_F(file, no_memory_for_counters)
{
	struct sched_param param = { .sched_priority = 1 };
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	sites_t counters = sites_of("", "hvpm_partition_init@partition.c") &
			   ~sites_of("bitmap", "hvpm_partition_init");
	struct world *world = &self->world;
	struct accounts before;
	unsigned int i, made;
	static int fds[4000];
	sites_t failed = 0;
	int ret, error;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	/* The table of files has room for all of them: that is not to be what lacks. */
	ASSERT_EQ(4095, dup2(0, 4095));
	close(4095);
	take_accounts(world, &before);
	write_file("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &param));
	for (made = 0; made < ARRAY_SIZE(fds) && !(failed & counters); made++) {
		failed_sites();
		refuse_pages(0);
		ret = __hvpm_create_partition(-1, HV_POSTMSG_PARTITION_HOST);
		error = errno;
		refuse_nothing();
		failed = failed_sites();
		if (ret < 0) {
			check_error("create", made, error, failed, false);
			ret = hvpm_create_host_partition();
		}
		fds[made] = ret;
	}
	param.sched_priority = 0;
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &param));
	write_file("/proc/sys/kernel/sched_rt_runtime_us", "950000");
	EXPECT_NE(0, failed & counters);
	for (i = 0; i < made; i++)
		close(fds[i]);
	check_accounts(world, &before, "create", made);
	printf("# %u partitions\n", made);
}

/* More bytes than a call asks for, and the least by which two requests differ. */
#define MANY_BYTES	65536
#define MANY_PAGES	64
#define STEP		32

/*
 * A second VP needs a node of a tree, which is asked for twice: give the first
 * bytes that attaching asks for, and then nothing, until it is that node that
 * lacks.
 */
TEST(no_memory_for_a_tree_of_vps)
{
	const sites_t tree = sites_of("__xa_insert", "");
	struct hvpm_vm *vm = hvpm_vm_create(2, NULL);
	unsigned int users, given;
	sites_t failed, seen = 0;
	int ret, error;

	/* It stays open. */
	hvpm_device();
	users = module_users();
	failed_sites();
	for (given = 0; ; given += STEP) {
		ASSERT_GT(MANY_BYTES, given);
		refuse_slabs(given);
		ret = __hvpm_create_partition(vm->vm->fd, 0);
		error = errno;
		refuse_nothing();
		if (ret >= 0)
			break;
		failed = failed_sites();
		check_error("create", given, error, failed, false);
		EXPECT_EQ(users, module_users());
		/* It ends there: nothing else has been asked for. */
		if (failed & tree)
			EXPECT_EQ(tree, failed);
		seen |= failed;
	}
	EXPECT_EQ(tree, seen & tree);
	vm->partition = ret;
	hvpm_vm_free(vm);
}

/*
 * Nor is there memory for the partition itself, which is large: it is asked for where a
 * slab's is refused, once there is a file.  That may need pages of its own.
 */
TEST(no_memory_for_a_vm)
{
	const sites_t large = sites_of("", "hvpm_vm_attach@kvm/vm.c");
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	unsigned int users, given, tries = 0;
	sites_t failed = 0;
	int ret, error;

	hvpm_device();
	users = module_users();
	failed_sites();
	for (given = 0; !(failed & large); given++) {
		ASSERT_GT(MANY_PAGES, tries++);
		refuse_pages(given);
		ret = __hvpm_create_partition(vm->vm->fd, 0);
		error = errno;
		refuse_nothing();
		failed = failed_sites();
		if (ret >= 0) {
			/* So many that there were some left: now the file's are there. */
			close(ret);
			given = -1;
			continue;
		}
		check_error("create", given, error, failed, false);
		EXPECT_EQ(users, module_users());
	}
	EXPECT_EQ(large, failed);
	hvpm_vm_attach(vm, 0);
	hvpm_vm_free(vm);
}

/* --- a guest's calls --- */

/* Is it at its hypercall, VMMCALL or VMCALL? */
static bool at_hypercall(struct hvpm_vp *vp)
{
	struct kvm_regs regs;
	const uint8_t *code;

	vcpu_regs_get(vp->vcpu, &regs);
	code = addr_gva2hva(vp->vcpu->vm, regs.rip);
	return code[0] == 0x0f && code[1] == 0x01 &&
	       (code[2] == 0xd9 || code[2] == 0xc1);
}

/*
 * Execute a command of hvpm_guest_main() with a fault on the way.  What KVM
 * itself cannot do then it says to the VMM, which has it try again.
 *
 * On a processor that does not tell where the next instruction is, as the lab's,
 * KVM reads the guest's code to get behind one that it has executed.  A fault there
 * is an internal error to the VMM, and the guest executes the same @again, which is
 * of interest if it is its hypercall.
 */
static bool command_with_fault(struct hvpm_vp *vp, enum hvpm_command command,
			       unsigned int nth, bool *again)
{
	struct ucall uc;
	bool injected;
	int ret, error;

	vp->guest->command = command;
	arm(nth);
	ret = __vcpu_run(vp->vcpu);
	error = errno;
	injected = disarm();
	TEST_ASSERT(!ret || (injected && (error == ENOMEM || error == EFAULT)),
		    "KVM_RUN, fault %u: %s", nth, strerror(error));
	*again = !ret &&
		 vp->vcpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR;
	TEST_ASSERT(!*again || injected, "fault %u: internal error", nth);
	*again = *again && at_hypercall(vp);
	if (ret || get_ucall(vp->vcpu, &uc) != UCALL_SYNC)
		TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_SYNC,
			    "VP %u does not come back", vp->index);
	return injected;
}

/* Take a message, having triggered a scan. */
static bool take_after_all(struct hvpm_vp *vp, struct hv_postmsg_message *message)
{
	if (hvpm_vp_take(vp, SINT, message))
		return true;
	hvpm_vp_wrmsr(vp, HV_X64_MSR_EOM, 0);
	return hvpm_vp_take(vp, SINT, message);
}

static uint64_t slot_faults(struct _test_data_slot *self)
{
	struct hv_postmsg_partition_stats stats;

	hvpm_partition_stats(self->partition, &stats);
	return stats.faults;
}

/* What comes is so often this message, and nothing else. */
static void expect_taken(struct hvpm_vp *vp, uint64_t sequence,
			 unsigned int times)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head;
	unsigned int i;

	for (i = 0; take_after_all(vp, &message); i++)
		TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
					       message.payload_size, &head) &&
			    head.sequence == sequence,
			    "message %lu instead of %lu", head.sequence, sequence);
	TEST_ASSERT(i == times, "message %lu comes %u times instead of %u",
		    sequence, i, times);
}

/* The guest posts to itself, by way of port SELF. */
static void fill_guest_post(struct hvpm_vp *vp, uint64_t sequence)
{
	struct hvpm_input *input;

	input = hvpm_vp_fill(vp, 0, CONNECTION, TYPE, SIZE);
	hvpm_payload_fill(input->payload, TYPE, SIZE, 0, sequence);
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = hvpm_vp_input_gpa(vp);
	vp->guest->argument[2] = 0;
}

/* A fault in the guest's post, or in its delivery behind that. */
TEST_F(slot, guest_post_each_fault)
{
	sites_t input = sites_of("kvm_vcpu_read_guest_page", "");
	sites_t copy = sites_of("_copy_to_user", "vcpu_write_message");
	/* The short way's own; a post that one of them fails takes the long way. */
	sites_t own = sites_of("should_fail_usercopy", "begin_access") |
		      sites_of("should_fail_usercopy", "vcpu_write_own");
	struct hvpm_vp *vp = self->vp;
	bool injected = true, again;
	sites_t failed, seen = 0;
	unsigned int nth;
	uint64_t before;

	connect_to_self(self);
	for (nth = 1; injected; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		before = slot_faults(self);
		fill_guest_post(vp, nth);
		failed_sites();
		injected = command_with_fault(vp, HVPM_HYPERCALL, nth, &again);
		failed = failed_sites();
		seen |= failed;
		ASSERT_EQ(failed & input ? HV_STATUS_INVALID_ALIGNMENT :
					   HV_STATUS_SUCCESS,
			  vp->guest->result[0]);
		ASSERT_EQ(before + !!(failed & copy), slot_faults(self));
		expect_taken(vp, nth, !(failed & input) + again);
		hvpm_check_port(self->partition, SELF);
	}
	EXPECT_EQ(own, seen & own);
	printf("# post: %u faults\n", nth - 2);
}

/* The same to another VP: what the buffer cannot be filled with at once comes later. */
TEST_F(slot, guest_post_to_another_each_fault)
{
	sites_t input = sites_of("kvm_vcpu_read_guest_page", "");
	sites_t payload = sites_of("should_fail_usercopy", "vcpu_read_payload");
	bool injected = true, again;
	sites_t failed, seen = 0;
	unsigned int nth;

	hvpm_vp_enable_synic(self->other, SINT);
	hvpm_create_port(self->partition, SELF, 1, SINT, 0, 0);
	hvpm_join(self->partition, CONNECTION, self->partition, SELF);
	for (nth = 1; injected; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		fill_guest_post(self->vp, nth);
		failed_sites();
		injected = command_with_fault(self->vp, HVPM_HYPERCALL, nth, &again);
		failed = failed_sites();
		seen |= failed;
		ASSERT_EQ(failed & input ? HV_STATUS_INVALID_ALIGNMENT :
					   HV_STATUS_SUCCESS,
			  self->vp->guest->result[0]);
		expect_taken(self->other, nth, !(failed & input) + again);
		hvpm_check_port(self->partition, SELF);
	}
	EXPECT_EQ(payload, seen & payload);
	printf("# post to another: %u faults\n", nth - 2);
}

/*
 * A VP whose SynIC is set up when there is no memory for it: posts find none there
 * until the guest writes one of its registers again.
 */
TEST(vp_without_memory)
{
	const sites_t tree = sites_of("__xa_insert", "");
	struct hvpm_vm *vm = hvpm_vm_create_empty(2);
	sites_t failed, seen = 0;
	unsigned int given;
	struct hvpm_vp *vp;
	int host, ret;

	hvpm_vm_add_vp(vm, NULL, true);
	vp = hvpm_vm_add_vp(vm, NULL, false);
	hvpm_vm_attach(vm, 0);
	host = hvpm_create_host_partition();
	hvpm_create_port(vm->partition, PORT, 1, SINT, 0, 0);
	hvpm_join(host, CONNECTION, vm->partition, PORT);
	hvpm_vp_poke(vp);
	vcpu_enable_cap(vp->vcpu, KVM_CAP_HYPERV_SYNIC2, 0);

	for (given = 0; ; given += STEP) {
		ASSERT_GT(MANY_BYTES, given);
		failed_sites();
		refuse_slabs(given);
		ret = _vcpu_set_msr(vp->vcpu, HV_X64_MSR_SINT0 + SINT,
				    HVPM_VECTOR(1, SINT));
		refuse_nothing();
		/* KVM itself needs memory to read what it is to set. */
		if (ret < 0)
			continue;
		ASSERT_EQ(1, ret);
		failed = failed_sites();
		if (!failed)
			break;
		seen |= failed;
		EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE,
			  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 0));
	}
	EXPECT_EQ(tree, seen & tree);
	hvpm_vp_enable_synic(vp, SINT);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 0));
	expect_taken(vp, 0, 1);
	close(host);
	hvpm_vm_free(vm);
}

/* The same in the guest's own write, which comes to pass. */
TEST(vp_without_memory_in_the_guest)
{
	struct hvpm_vm *vm = hvpm_vm_create_empty(2);
	struct hvpm_vp *vp;
	unsigned int nth;
	sites_t failed;
	bool again;
	int host;

	hvpm_vm_add_vp(vm, NULL, true);
	vp = hvpm_vm_add_vp(vm, NULL, false);
	hvpm_vm_attach(vm, 0);
	host = hvpm_create_host_partition();
	hvpm_create_port(vm->partition, PORT, 1, SINT, 0, 0);
	hvpm_join(host, CONNECTION, vm->partition, PORT);
	hvpm_vp_poke(vp);
	vcpu_enable_cap(vp->vcpu, KVM_CAP_HYPERV_SYNIC2, 0);

	for (nth = 1, failed = 1; failed; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		failed_sites();
		vp->guest->argument[0] = HV_X64_MSR_SINT0 + SINT;
		vp->guest->argument[1] = HVPM_VECTOR(1, SINT);
		command_with_fault(vp, HVPM_WRMSR, nth, &again);
		ASSERT_EQ(0, vp->guest->result[0]);
		failed = failed_sites();
		if (failed)
			EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE,
				  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 0));
	}
	EXPECT_LT(2, nth);
	hvpm_vp_enable_synic(vp, SINT);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_post(host, CONNECTION, TYPE, SIZE, 0, 0, 0));
	expect_taken(vp, 0, 1);
	close(host);
	hvpm_vm_free(vm);
}

/* --- slots that the VMM takes its own access to away --- */

static void protect_slots(struct hvpm_vp *vp, int protection)
{
	TEST_ASSERT(!mprotect((void *)vp->slots, 4096, protection),
		    "mprotect: %s", strerror(errno));
}

/* With a message in the slot, MessagePending cannot be set, or not even read. */
TEST_F(slot, full_slot_out_of_reach)
{
	const struct {
		int protection;
		const char *callee, *function;
	} ways[] = {
		{ PROT_READ, "__put_user", "vcpu_set_pending" },
		{ PROT_NONE, "__get_user", "vcpu_read_header" },
	};
	uint64_t before, sequence = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		POST_AND_POKE(sequence);
		POST(sequence + 1);
		failed_sites();
		before = slot_faults(self);
		protect_slots(self->vp, ways[i].protection);
		hvpm_vp_poke(self->vp);
		protect_slots(self->vp, PROT_READ | PROT_WRITE);
		EXPECT_EQ(before + 1, slot_faults(self));
		EXPECT_EQ(sites_of(ways[i].callee, ways[i].function),
			  failed_sites());
		EXPECT_QUEUED(1);
		EXPECT_SLOT(self->vp, SINT, sequence, false);
		EXPECT_TAKE(self->vp, SINT, sequence);
		expect_taken(self->vp, sequence + 1, 1);
		sequence += 2;
	}
}

/**
 * struct intruder - makes the slots read-only a while after it is told to
 *
 * @vp: whose
 * @thread: its thread, of a real-time class
 * @go: it may set out
 * @done: it has done so
 * @delay: in ns
 * @over: no more
 */
struct intruder {
	struct hvpm_vp *vp;
	pthread_t thread;
	sem_t go;
	sem_t done;
	unsigned int delay;
	bool over;
};

static void *intrude(void *arg)
{
	struct intruder *intruder = arg;
	struct timespec time = { 0 };

	for (;;) {
		sem_wait(&intruder->go);
		if (intruder->over)
			return NULL;
		time.tv_nsec = intruder->delay;
		nanosleep(&time, NULL);
		protect_slots(intruder->vp, PROT_READ);
		sem_post(&intruder->done);
	}
}

/*
 * The message is written and its type is not: access goes between the two.  It
 * is whole all the same when it comes.  The probe between the two makes them far
 * enough apart that they are met soon.
 */
TEST_F(slot, access_goes_before_the_type)
{
	const sites_t type = sites_of("__put_user", "vcpu_write_message");
	struct sched_param param = { .sched_priority = 50 };
	struct intruder intruder = { .vp = self->vp };
	struct hvpm_vp *vp = self->vp;
	unsigned int round;
	sites_t failed = 0;

	sem_init(&intruder.go, 0, 0);
	sem_init(&intruder.done, 0, 0);
	ASSERT_EQ(0, pthread_create(&intruder.thread, NULL, intrude, &intruder));
	ASSERT_EQ(0, pthread_setschedparam(intruder.thread, SCHED_FIFO, &param));
	for (round = 0; round < 20000 && !(failed & type); round++) {
		POST(round);
		/* From 0 to 8 ms, again and again. */
		intruder.delay = round * 20000 % 8000000;
		vp->guest->command = HVPM_NOP;
		sem_post(&intruder.go);
		/* What its failing is: KVM found the guest's page read-only. */
		while (__vcpu_run(vp->vcpu) && errno == EFAULT) {
			sem_wait(&intruder.done);
			protect_slots(vp, PROT_READ | PROT_WRITE);
			sem_post(&intruder.done);
		}
		sem_wait(&intruder.done);
		protect_slots(vp, PROT_READ | PROT_WRITE);
		failed |= failed_sites();
		expect_taken(vp, round, 1);
	}
	EXPECT_NE(0, failed & type);
	printf("# %u rounds\n", round);
	intruder.over = true;
	sem_post(&intruder.go);
	ASSERT_EQ(0, pthread_join(intruder.thread, NULL));
}

/* --- memory slots that go away under a post --- */

#define REGION_GPA	0x10000000ULL
#define REGION_SLOT	5
#define REMOVALS	500

/**
 * struct region - a page in a memory slot of its own
 *
 * @vm: the VM
 * @page: as the host addresses it, whether the slot is there or not
 * @thread: takes the slot away and puts it back, again and again
 * @removals: how often it did
 */
struct region {
	struct kvm_vm *vm;
	void *page;
	pthread_t thread;
	unsigned int removals;
};

static void set_region(struct region *region, bool there)
{
	int ret = __vm_set_user_memory_region(region->vm, REGION_SLOT, 0,
					      REGION_GPA, there ? 4096 : 0,
					      region->page);

	TEST_ASSERT(!ret, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

static void make_region(struct region *region, struct hvpm_vm *vm)
{
	memset(region, 0, sizeof(*region));
	region->vm = vm->vm;
	region->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(region->page != MAP_FAILED, "mmap: %s", strerror(errno));
	set_region(region, true);
}

static void *remove_again_and_again(void *arg)
{
	struct region *region = arg;
	unsigned int i;

	for (i = 0; i < REMOVALS; i++) {
		set_region(region, false);
		__atomic_store_n(&region->removals, i + 1, __ATOMIC_RELEASE);
		/* On one CPU the other side gets its turn, too. */
		if (i % 2)
			sched_yield();
		set_region(region, true);
		if (i % 3)
			sched_yield();
	}
	return NULL;
}

static void start_removing(struct region *region)
{
	TEST_ASSERT(!pthread_create(&region->thread, NULL,
				    remove_again_and_again, region),
		    "pthread_create: %s", strerror(errno));
}

static bool removing(struct region *region)
{
	return __atomic_load_n(&region->removals, __ATOMIC_ACQUIRE) < REMOVALS;
}

/* Post from the input block in the region; the guest does not touch it itself. */
static uint16_t post_from_region(struct hvpm_vp *vp, struct region *region,
				 uint64_t sequence)
{
	fill_guest_post(vp, sequence);
	memcpy(region->page, vp->input, sizeof(struct hvpm_input));
	return hvpm_vp_hypercall(vp, HVPM_POST, REGION_GPA, 0);
}

TEST_F(slot, input_page_goes)
{
	struct region region;

	connect_to_self(self);
	make_region(&region, self->vm);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_from_region(self->vp, &region, 0));
	expect_taken(self->vp, 0, 1);
	set_region(&region, false);
	ASSERT_EQ(HV_STATUS_INVALID_ALIGNMENT,
		  post_from_region(self->vp, &region, 1));
	expect_taken(self->vp, 1, 0);
	set_region(&region, true);
	ASSERT_EQ(HV_STATUS_SUCCESS, post_from_region(self->vp, &region, 2));
	expect_taken(self->vp, 2, 1);
}

TEST_F(slot, input_page_comes_and_goes)
{
	uint64_t sequence, told[2] = { 0 };
	struct region region;
	uint16_t status;

	connect_to_self(self);
	make_region(&region, self->vm);
	start_removing(&region);
	for (sequence = 0; removing(&region); sequence++) {
		status = post_from_region(self->vp, &region, sequence);
		if (status)
			ASSERT_EQ(HV_STATUS_INVALID_ALIGNMENT, status);
		told[!status]++;
		expect_taken(self->vp, sequence, !status);
	}
	ASSERT_EQ(0, pthread_join(region.thread, NULL));
	printf("# %u removals, %lu posts: %lu accepted, %lu refused\n",
	       region.removals, sequence, told[1], told[0]);
	EXPECT_NE(0, told[0]);
	EXPECT_NE(0, told[1]);
	ASSERT_EQ(HV_STATUS_SUCCESS,
		  post_from_region(self->vp, &region, sequence));
	expect_taken(self->vp, sequence, 1);
	hvpm_check_port(self->partition, SELF);
}

/* The guest takes a message, without touching a page that may be away. */
static bool take_for_guest(struct hvpm_vp *vp, struct region *region,
			   struct hv_postmsg_message *message)
{
	volatile struct hv_postmsg_message *slot = region->page;

	slot += SINT;
	if (!__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE))
		return false;
	memcpy(message, (void *)slot, sizeof(*message));
	__atomic_store_n(&slot->type, 0, __ATOMIC_SEQ_CST);
	return true;
}

TEST_F(slot, sim_page_comes_and_goes)
{
	struct hv_postmsg_message message;
	struct hvpm_tally tally = { 0 };
	struct hvpm_payload head;
	struct region region;
	uint64_t posted = 0;
	uint32_t status;

	make_region(&region, self->vm);
	hvpm_vp_wrmsr(self->vp, HV_X64_MSR_SIMP,
		      REGION_GPA | HV_SYNIC_SIMP_ENABLE);
	start_removing(&region);
	while (removing(&region) || tally.received < posted) {
		status = removing(&region) ? post_to(self, CONNECTION, posted) :
					     HV_STATUS_INSUFFICIENT_BUFFERS;
		if (status != HV_STATUS_INSUFFICIENT_BUFFERS)
			ASSERT_EQ(HV_STATUS_SUCCESS, status);
		posted += !status;
		if (!removing(&region) && region.thread) {
			ASSERT_EQ(0, pthread_join(region.thread, NULL));
			region.thread = 0;
			EXPECT_NE(0, slot_faults(self));
		}
		/* A trigger, and an entry for the scan. */
		hvpm_vp_wrmsr(self->vp, HV_X64_MSR_EOM, 0);
		if (!take_for_guest(self->vp, &region, &message)) {
			/* Nothing hides its slot any more. */
			ASSERT_TRUE(removing(&region) || region.thread ||
				    tally.received == posted);
			continue;
		}
		ASSERT_TRUE(hvpm_payload_check(message.payload, message.type,
					       message.payload_size, &head));
		hvpm_tally_count(&tally, head.sequence);
	}
	if (region.thread)
		ASSERT_EQ(0, pthread_join(region.thread, NULL));
	printf("# %u removals, %lu posts, %lu slot faults\n", region.removals,
	       posted, slot_faults(self));
	EXPECT_EQ(posted, tally.received);
	EXPECT_EQ(posted, tally.next);
	EXPECT_EQ(0, tally.lost + tally.duplicated + tally.reordered);
	EXPECT_QUEUED(0);
}

/* --- loading and unloading --- */

#define MODULE		"hv_postmsg.ko"
#define SAMPLES		12
/* Where the kernel does without, as for its debug objects, many points do no harm. */
#define MAX_BACK	100

FIXTURE(module) {
};

FIXTURE_SETUP(module)
{
}

FIXTURE_TEARDOWN(module)
{
}

static bool loaded(void)
{
	return !access("/sys/module/hv_postmsg/refcnt", F_OK);
}

/* Load with the nth fault, if any; how many fault points were left is in @left. */
static int load(unsigned int nth, unsigned int *left)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC), error;

	TEST_ASSERT(fd >= 0, MODULE ": %s", strerror(errno));
	arm(nth);
	error = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	*left = disarm_early();
	close(fd);
	TEST_ASSERT(loaded() == !error, "load, fault %u: %s", nth, strerror(error));
	return error;
}

static int unload(unsigned int nth, unsigned int *left)
{
	int error;

	arm(nth);
	error = syscall(SYS_delete_module, "hv_postmsg", O_NONBLOCK) ? errno : 0;
	*left = disarm_early();
	TEST_ASSERT(loaded() == !!error, "unload, fault %u: %s", nth,
		    strerror(error));
	return error;
}

#define LOAD_POINTS	1000000

/* Load with no fault, and unload; how many points each call had behind it. */
static unsigned int count_load_points(unsigned int points[MAX_SITES])
{
	unsigned int left, ignored, i;

	TEST_ASSERT(!load(LOAD_POINTS, &left), "load");
	read_left(points);
	TEST_ASSERT(!unload(0, &ignored), "unload");
	for (i = 0; i < MAX_SITES; i++)
		points[i] = LOAD_POINTS - points[i];
	return LOAD_POINTS - left;
}

/* Any errno is of memory: misc_register() says EBUSY if it has no number left. */
static sites_t load_with_fault(unsigned int nth)
{
	unsigned int left;
	int error;

	failed_sites();
	error = load(nth, &left);
	TEST_ASSERT(!error || error == ENOMEM || error == EBUSY,
		    "load, fault %u: %s", nth, strerror(error));
	if (!error)
		TEST_ASSERT(!unload(0, &left), "unload behind fault %u", nth);
	return failed_sites();
}

/*
 * The kernel's own part of loading, before the module's, warns where it has no
 * memory.  The module's begins with the workqueue, and there are some hundred fault
 * points in it, each of which takes seconds.  So the last one of each call that
 * fails is looked for backwards from where it returned, and of the others there
 * are samples.  How many points there are depends on what the slabs have left: they
 * are counted again before each fault, by a load that shows, too, that the fault
 * before has left nothing behind.
 */
TEST_F(module, load_faults)
{
	unsigned int points[MAX_SITES], all, walked = 0, tries, i, begin;
	const sites_t first = sites_of("alloc_workqueue", "");
	sites_t visited, failed = 0;

	ASSERT_EQ(0, unload(0, &all));
	visited_sites();
	all = count_load_points(points);
	visited = visited_sites();
	ASSERT_EQ(first, visited & first);
	for (i = 0; i < faults->nr_sites; i++) {
		if (!(visited >> i & 1) || *faults->sites[i].exempt == 'e')
			continue;
		for (tries = 0; !(failed >> i & 1); tries++, walked++) {
			ASSERT_GT(MAX_BACK, tries)
				TH_LOG("%s does not fail", faults->sites[i].callee);
			failed |= load_with_fault(points[i] + 3 - tries);
			all = count_load_points(points);
		}
	}
	for (i = 1; i < SAMPLES; i++, walked++) {
		begin = points[__builtin_ctzl(first)];
		load_with_fault(begin + i * (all - begin) / SAMPLES);
		all = count_load_points(points);
	}
	ASSERT_EQ(0, load(0, &all));
	printf("# load: %u faults\n", walked);
}

TEST_F(module, unload_each_fault)
{
	unsigned int nth, left, ignored;
	int error;

	for (nth = 1, left = 0; !left; nth++) {
		ASSERT_GT(MAX_WALK, nth);
		error = unload(nth, &left);
		failed_sites();
		if (error) {
			ASSERT_EQ(EFAULT, error) TH_LOG("fault %u", nth);
			continue;
		}
		ASSERT_EQ(0, load(0, &ignored));
	}
	printf("# unload: %u faults\n", nth - 2);
}

/* --- the last case --- */

FIXTURE(sites) {
};

FIXTURE_SETUP(sites)
{
}

FIXTURE_TEARDOWN(sites)
{
}

TEST_F(sites, each_has_failed)
{
	unsigned int i, failed = 0, exempt = 0;
	const struct site *site;
	bool may_not;

	failed_sites();
	for (i = 0; i < faults->nr_sites; i++) {
		site = &faults->sites[i];
		may_not = *site->exempt == 'e';
		failed += !!site->failed;
		exempt += may_not;
		printf("# %6lu %s in %s%s\n", site->failed, site->callee,
		       site->source, may_not ? ", exempt" : "");
		EXPECT_EQ(may_not, !site->failed)
			TH_LOG("%s in %s failed %lu times", site->callee,
			       site->source, site->failed);
	}
	printf("# %lu faults injected; %u of %u sites failed, %u exempt\n",
	       faults->injected, failed, faults->nr_sites, exempt);
}

int main(int argc, char **argv)
{
	int status;

	if (access("/proc/self/fail-nth", F_OK) ||
	    access(DEBUGFS "failslab", F_OK)) {
		printf("1..0 # SKIP this kernel has no fault injection\n");
		return 0;
	}
	faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(faults != MAP_FAILED, "mmap: %s", strerror(errno));
	read_sites();
	set_attributes();
	watch_sites();
	status = test_harness_run(argc, argv);
	unwatch_sites();
	return status;
}
