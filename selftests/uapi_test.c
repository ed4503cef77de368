// SPDX-License-Identifier: GPL-2.0-only
/*
 * The UAPI of hv_postmsg: what each ioctl takes, what it refuses and with which
 * errno, and that a refused call changes nothing.
 *
 * Built twice, as uapi_test and with -m32 as uapi32_test: the structures have
 * one layout, which the assertions below state in numbers.
 */
#include "patience.h"
#include "kselftest_harness.h"
#include "plain.h"

#define PAGE		4096

/* --- one layout --- */

#define SIZE_IS(type, size) \
	_Static_assert(sizeof(struct type) == (size), #type)
#define OFFSET_IS(type, member, offset) \
	_Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define COMMAND_IS(command, number) \
	_Static_assert((command) == (number), #command)

SIZE_IS(hv_postmsg_message, 256);
OFFSET_IS(hv_postmsg_message, type, 0);
OFFSET_IS(hv_postmsg_message, payload_size, 4);
OFFSET_IS(hv_postmsg_message, flags, 5);
OFFSET_IS(hv_postmsg_message, reserved, 6);
OFFSET_IS(hv_postmsg_message, port_id, 8);
OFFSET_IS(hv_postmsg_message, payload, 16);

SIZE_IS(hv_postmsg_info, 48);
OFFSET_IS(hv_postmsg_info, size, 0);
OFFSET_IS(hv_postmsg_info, flags, 4);
OFFSET_IS(hv_postmsg_info, api_version, 8);
OFFSET_IS(hv_postmsg_info, default_buffers, 12);
OFFSET_IS(hv_postmsg_info, features, 16);
OFFSET_IS(hv_postmsg_info, max_buffers, 24);
OFFSET_IS(hv_postmsg_info, max_ports, 28);
OFFSET_IS(hv_postmsg_info, max_connections, 32);
OFFSET_IS(hv_postmsg_info, max_endpoints, 36);
OFFSET_IS(hv_postmsg_info, default_depth, 40);
OFFSET_IS(hv_postmsg_info, max_depth, 44);

SIZE_IS(hv_postmsg_create_partition, 16);
OFFSET_IS(hv_postmsg_create_partition, size, 0);
OFFSET_IS(hv_postmsg_create_partition, flags, 4);
OFFSET_IS(hv_postmsg_create_partition, vm_fd, 8);
OFFSET_IS(hv_postmsg_create_partition, reserved, 12);

SIZE_IS(hv_postmsg_set_state, 16);
OFFSET_IS(hv_postmsg_set_state, size, 0);
OFFSET_IS(hv_postmsg_set_state, flags, 4);
OFFSET_IS(hv_postmsg_set_state, state, 8);
OFFSET_IS(hv_postmsg_set_state, reserved, 12);

SIZE_IS(hv_postmsg_create_port, 40);
OFFSET_IS(hv_postmsg_create_port, size, 0);
OFFSET_IS(hv_postmsg_create_port, flags, 4);
OFFSET_IS(hv_postmsg_create_port, port_id, 8);
OFFSET_IS(hv_postmsg_create_port, type, 12);
OFFSET_IS(hv_postmsg_create_port, sint, 16);
OFFSET_IS(hv_postmsg_create_port, vp, 20);
OFFSET_IS(hv_postmsg_create_port, endpoint_fd, 24);
OFFSET_IS(hv_postmsg_create_port, buffers, 28);
OFFSET_IS(hv_postmsg_create_port, reserved, 32);

SIZE_IS(hv_postmsg_port, 16);
OFFSET_IS(hv_postmsg_port, size, 0);
OFFSET_IS(hv_postmsg_port, flags, 4);
OFFSET_IS(hv_postmsg_port, port_id, 8);
OFFSET_IS(hv_postmsg_port, reserved, 12);

SIZE_IS(hv_postmsg_connect, 16);
OFFSET_IS(hv_postmsg_connect, size, 0);
OFFSET_IS(hv_postmsg_connect, flags, 4);
OFFSET_IS(hv_postmsg_connect, connection_id, 8);
OFFSET_IS(hv_postmsg_connect, port_fd, 12);

SIZE_IS(hv_postmsg_disconnect, 16);
OFFSET_IS(hv_postmsg_disconnect, size, 0);
OFFSET_IS(hv_postmsg_disconnect, flags, 4);
OFFSET_IS(hv_postmsg_disconnect, connection_id, 8);
OFFSET_IS(hv_postmsg_disconnect, reserved, 12);

SIZE_IS(hv_postmsg_port_property, 24);
OFFSET_IS(hv_postmsg_port_property, size, 0);
OFFSET_IS(hv_postmsg_port_property, flags, 4);
OFFSET_IS(hv_postmsg_port_property, port_id, 8);
OFFSET_IS(hv_postmsg_port_property, property, 12);
OFFSET_IS(hv_postmsg_port_property, value, 16);

SIZE_IS(hv_postmsg_reset_vp, 16);
OFFSET_IS(hv_postmsg_reset_vp, size, 0);
OFFSET_IS(hv_postmsg_reset_vp, flags, 4);
OFFSET_IS(hv_postmsg_reset_vp, vp, 8);
OFFSET_IS(hv_postmsg_reset_vp, reserved, 12);

SIZE_IS(hv_postmsg_post, 264);
OFFSET_IS(hv_postmsg_post, size, 0);
OFFSET_IS(hv_postmsg_post, flags, 4);
OFFSET_IS(hv_postmsg_post, connection_id, 8);
OFFSET_IS(hv_postmsg_post, message_type, 12);
OFFSET_IS(hv_postmsg_post, payload_size, 16);
OFFSET_IS(hv_postmsg_post, status, 20);
OFFSET_IS(hv_postmsg_post, payload, 24);

SIZE_IS(hv_postmsg_create_endpoint, 16);
OFFSET_IS(hv_postmsg_create_endpoint, size, 0);
OFFSET_IS(hv_postmsg_create_endpoint, flags, 4);
OFFSET_IS(hv_postmsg_create_endpoint, depth, 8);
OFFSET_IS(hv_postmsg_create_endpoint, reserved, 12);

SIZE_IS(hv_postmsg_port_stats, 88);
OFFSET_IS(hv_postmsg_port_stats, size, 0);
OFFSET_IS(hv_postmsg_port_stats, flags, 4);
OFFSET_IS(hv_postmsg_port_stats, port_id, 8);
OFFSET_IS(hv_postmsg_port_stats, buffers, 12);
OFFSET_IS(hv_postmsg_port_stats, free, 16);
OFFSET_IS(hv_postmsg_port_stats, high_water, 20);
OFFSET_IS(hv_postmsg_port_stats, posted, 24);
OFFSET_IS(hv_postmsg_port_stats, delivered, 32);
OFFSET_IS(hv_postmsg_port_stats, freed, 40);
OFFSET_IS(hv_postmsg_port_stats, queued, 48);
OFFSET_IS(hv_postmsg_port_stats, refused_port, 56);
OFFSET_IS(hv_postmsg_port_stats, refused_vp, 64);
OFFSET_IS(hv_postmsg_port_stats, refused_synic, 72);
OFFSET_IS(hv_postmsg_port_stats, refused_buffers, 80);

SIZE_IS(hv_postmsg_partition_stats, 328);
OFFSET_IS(hv_postmsg_partition_stats, size, 0);
OFFSET_IS(hv_postmsg_partition_stats, flags, 4);
OFFSET_IS(hv_postmsg_partition_stats, ports, 8);
OFFSET_IS(hv_postmsg_partition_stats, connections, 12);
OFFSET_IS(hv_postmsg_partition_stats, endpoints, 16);
OFFSET_IS(hv_postmsg_partition_stats, high_water, 20);
OFFSET_IS(hv_postmsg_partition_stats, posted, 24);
OFFSET_IS(hv_postmsg_partition_stats, delivered, 32);
OFFSET_IS(hv_postmsg_partition_stats, freed, 40);
OFFSET_IS(hv_postmsg_partition_stats, queued, 48);
OFFSET_IS(hv_postmsg_partition_stats, faults, 56);
OFFSET_IS(hv_postmsg_partition_stats, passed, 64);
OFFSET_IS(hv_postmsg_partition_stats, status, 72);

COMMAND_IS(HV_POSTMSG_INFO, 0xb900);
COMMAND_IS(HV_POSTMSG_CREATE_PARTITION, 0xb901);
COMMAND_IS(HV_POSTMSG_SET_STATE, 0xb910);
COMMAND_IS(HV_POSTMSG_CREATE_PORT, 0xb911);
COMMAND_IS(HV_POSTMSG_DELETE_PORT, 0xb912);
COMMAND_IS(HV_POSTMSG_PORT_FD, 0xb913);
COMMAND_IS(HV_POSTMSG_CONNECT, 0xb914);
COMMAND_IS(HV_POSTMSG_DISCONNECT, 0xb915);
COMMAND_IS(HV_POSTMSG_GET_PORT_PROPERTY, 0xb916);
COMMAND_IS(HV_POSTMSG_SET_PORT_PROPERTY, 0xb917);
COMMAND_IS(HV_POSTMSG_RESET_VP, 0xb918);
COMMAND_IS(HV_POSTMSG_POST, 0xb919);
COMMAND_IS(HV_POSTMSG_CREATE_ENDPOINT, 0xb91a);
COMMAND_IS(HV_POSTMSG_PORT_STATS, 0xb91b);
COMMAND_IS(HV_POSTMSG_PARTITION_STATS, 0xb91c);

/* --- the world of every test here --- */

/*
 * A VM's partition with an endpoint, port 1 that feeds it, port 2 that may post
 * to any VP, and connection 1 to port 1 of a host partition, the peer.
 */
struct world {
	int device;
	int vm;
	int vcpu;
	int partition;
	int endpoint;
	int peer;
	int peer_endpoint;
	int peer_port;
};

/* What a refused call must leave alone. */
struct snapshot {
	struct hv_postmsg_partition_stats partition;
	struct hv_postmsg_partition_stats peer;
	struct hv_postmsg_port_stats port;
	struct hv_postmsg_port_stats any_vp;
	struct hv_postmsg_port_stats peer_port;
	__u64 preferred_vp;
	int files;
};

static void make_world(struct __test_metadata *_metadata, struct world *world)
{
	ASSERT_LE(0, world->device = plain_open());
	ASSERT_LE(0, world->vm = plain_new_vm());
	ASSERT_LE(0, world->vcpu = plain_vcpu(world->vm, 0));
	ASSERT_LE(0, world->partition = plain_partition(world->device, 0, world->vm));
	ASSERT_LE(0, world->endpoint = plain_endpoint(world->partition, 0));
	ASSERT_LE(0, plain_endpoint_port(world->partition, 1, world->endpoint, 0, 0));
	ASSERT_LE(0, plain_vp_port(world->partition, 2, HV_POSTMSG_PORT_MESSAGE,
				   HV_POSTMSG_ANY_VP, 2));
	ASSERT_LE(0, world->peer = plain_host(world->device));
	ASSERT_LE(0, world->peer_endpoint = plain_endpoint(world->peer, 0));
	ASSERT_LE(0, plain_endpoint_port(world->peer, 1, world->peer_endpoint, 0,
					 HV_POSTMSG_PORT_SHARED));
	ASSERT_LE(0, world->peer_port = plain_port_fd(world->peer, 1));
	ASSERT_LE(0, plain_connect(world->partition, 1, world->peer_port, 0));
}

static void leave_world(struct world *world)
{
	close(world->peer_port);
	close(world->peer_endpoint);
	close(world->peer);
	close(world->endpoint);
	close(world->partition);
	close(world->vcpu);
	close(world->vm);
	close(world->device);
}

static void take_snapshot(const struct world *world, struct snapshot *snapshot)
{
	memset(snapshot, 0, sizeof(*snapshot));
	plain_partition_stats(world->partition, &snapshot->partition);
	plain_partition_stats(world->peer, &snapshot->peer);
	plain_port_stats(world->partition, 1, &snapshot->port);
	plain_port_stats(world->partition, 2, &snapshot->any_vp);
	plain_port_stats(world->peer, 1, &snapshot->peer_port);
	plain_get_property(world->partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
			   &snapshot->preferred_vp);
	snapshot->files = plain_open_files();
}

static bool unchanged(const struct world *world, const struct snapshot *before)
{
	struct snapshot now;

	take_snapshot(world, &now);
	return !memcmp(before, &now, sizeof(now));
}

/* --- what holds for the argument of every ioctl --- */

FIXTURE(argument)
{
	struct world world;
	int file;
	/* Four pages, of which the last one cannot be accessed. */
	__u8 *memory;
};

FIXTURE_VARIANT(argument)
{
	unsigned int command;
	size_t size;
	__u32 known_flags;
	/* The bytes that must be zero. */
	size_t reserved;
	size_t reserved_size;
	bool of_device;
	/* The kernel writes results into it. */
	bool answers;
	bool returns_file;
	/* Makes an argument that is accepted, in a world that lets it. */
	void (*fill)(const struct world *world, void *argument);
	/* Takes back what the accepted call did, or what fill() made for it. */
	void (*undo)(const struct world *world);
};

static void fill_info(const struct world *world, void *argument)
{
	struct hv_postmsg_info *args = argument;

	memset(args, 0xcc, sizeof(*args));
	args->flags = 0;
}

FIXTURE_VARIANT_ADD(argument, info)
{
	.command = HV_POSTMSG_INFO,
	.size = 48,
	.of_device = true,
	.answers = true,
	.fill = fill_info,
};

static void fill_create_partition(const struct world *world, void *argument)
{
	struct hv_postmsg_create_partition *args = argument;

	args->flags = HV_POSTMSG_PARTITION_HOST;
	args->vm_fd = -1;
}

FIXTURE_VARIANT_ADD(argument, create_partition)
{
	.command = HV_POSTMSG_CREATE_PARTITION,
	.size = 16,
	.known_flags = 0xf,
	.reserved = 12,
	.reserved_size = 4,
	.of_device = true,
	.returns_file = true,
	.fill = fill_create_partition,
};

static void fill_set_state(const struct world *world, void *argument)
{
	struct hv_postmsg_set_state *args = argument;

	args->state = HV_POSTMSG_STATE_ACTIVE;
}

FIXTURE_VARIANT_ADD(argument, set_state)
{
	.command = HV_POSTMSG_SET_STATE,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.fill = fill_set_state,
};

static void fill_create_port(const struct world *world, void *argument)
{
	struct hv_postmsg_create_port *args = argument;

	args->port_id = 70;
	args->type = HV_POSTMSG_PORT_MESSAGE;
	args->sint = 2;
	args->endpoint_fd = -1;
}

static void undo_port(const struct world *world)
{
	plain_delete_port(world->partition, 70);
}

FIXTURE_VARIANT_ADD(argument, create_port)
{
	.command = HV_POSTMSG_CREATE_PORT,
	.size = 40,
	.known_flags = 0x3,
	.reserved = 32,
	.reserved_size = 8,
	.fill = fill_create_port,
	.undo = undo_port,
};

static void fill_delete_port(const struct world *world, void *argument)
{
	struct hv_postmsg_port *args = argument;

	plain_vp_port(world->partition, 70, HV_POSTMSG_PORT_MESSAGE, 0, 2);
	args->port_id = 70;
}

FIXTURE_VARIANT_ADD(argument, delete_port)
{
	.command = HV_POSTMSG_DELETE_PORT,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.fill = fill_delete_port,
	.undo = undo_port,
};

static void fill_port_fd(const struct world *world, void *argument)
{
	struct hv_postmsg_port *args = argument;

	args->port_id = 1;
}

FIXTURE_VARIANT_ADD(argument, port_fd)
{
	.command = HV_POSTMSG_PORT_FD,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.returns_file = true,
	.fill = fill_port_fd,
};

static void fill_connect(const struct world *world, void *argument)
{
	struct hv_postmsg_connect *args = argument;

	args->connection_id = 70;
	args->port_fd = world->peer_port;
}

static void undo_connection(const struct world *world)
{
	plain_disconnect(world->partition, 70);
}

FIXTURE_VARIANT_ADD(argument, connect)
{
	.command = HV_POSTMSG_CONNECT,
	.size = 16,
	.known_flags = 0x1,
	.fill = fill_connect,
	.undo = undo_connection,
};

static void fill_disconnect(const struct world *world, void *argument)
{
	struct hv_postmsg_disconnect *args = argument;

	plain_connect(world->partition, 70, world->peer_port, 0);
	args->connection_id = 70;
}

FIXTURE_VARIANT_ADD(argument, disconnect)
{
	.command = HV_POSTMSG_DISCONNECT,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.fill = fill_disconnect,
	.undo = undo_connection,
};

static void fill_get_port_property(const struct world *world, void *argument)
{
	struct hv_postmsg_port_property *args = argument;

	args->port_id = 1;
	args->property = HV_POSTMSG_PROPERTY_POST_COUNT;
	args->value = 0xccccccccccccccccULL;
}

FIXTURE_VARIANT_ADD(argument, get_port_property)
{
	.command = HV_POSTMSG_GET_PORT_PROPERTY,
	.size = 24,
	.answers = true,
	.fill = fill_get_port_property,
};

static void fill_set_port_property(const struct world *world, void *argument)
{
	struct hv_postmsg_port_property *args = argument;

	args->port_id = 2;
	args->property = HV_POSTMSG_PROPERTY_PREFERRED_VP;
	args->value = 0;
}

static void undo_set_port_property(const struct world *world)
{
	plain_set_property(world->partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
			   HV_POSTMSG_ANY_VP);
}

FIXTURE_VARIANT_ADD(argument, set_port_property)
{
	.command = HV_POSTMSG_SET_PORT_PROPERTY,
	.size = 24,
	.fill = fill_set_port_property,
	.undo = undo_set_port_property,
};

static void fill_reset_vp(const struct world *world, void *argument)
{
}

FIXTURE_VARIANT_ADD(argument, reset_vp)
{
	.command = HV_POSTMSG_RESET_VP,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.fill = fill_reset_vp,
};

static void fill_post(const struct world *world, void *argument)
{
	struct hv_postmsg_post *args = argument;

	args->flags = HV_POSTMSG_POST_NONBLOCK;
	args->connection_id = 1;
	args->message_type = 1;
	args->payload_size = 8;
	args->status = 0xcccccccc;
}

static void undo_post(const struct world *world)
{
	struct hv_postmsg_message message;

	plain_nonblock(world->peer_endpoint, true);
	while (plain_read(world->peer_endpoint, &message) > 0)
		;
}

FIXTURE_VARIANT_ADD(argument, post)
{
	.command = HV_POSTMSG_POST,
	.size = 264,
	.known_flags = 0x1,
	.answers = true,
	.fill = fill_post,
	.undo = undo_post,
};

static void fill_create_endpoint(const struct world *world, void *argument)
{
}

FIXTURE_VARIANT_ADD(argument, create_endpoint)
{
	.command = HV_POSTMSG_CREATE_ENDPOINT,
	.size = 16,
	.reserved = 12,
	.reserved_size = 4,
	.returns_file = true,
	.fill = fill_create_endpoint,
};

static void fill_port_stats(const struct world *world, void *argument)
{
	struct hv_postmsg_port_stats *args = argument;

	memset(args, 0xcc, sizeof(*args));
	args->flags = 0;
	args->port_id = 1;
}

FIXTURE_VARIANT_ADD(argument, port_stats)
{
	.command = HV_POSTMSG_PORT_STATS,
	.size = 88,
	.answers = true,
	.fill = fill_port_stats,
};

static void fill_partition_stats(const struct world *world, void *argument)
{
	struct hv_postmsg_partition_stats *args = argument;

	memset(args, 0xcc, sizeof(*args));
	args->flags = 0;
}

FIXTURE_VARIANT_ADD(argument, partition_stats)
{
	.command = HV_POSTMSG_PARTITION_STATS,
	.size = 328,
	.answers = true,
	.fill = fill_partition_stats,
};

/* The harness's own names for what every test is given. */
typedef FIXTURE_DATA(argument) argument_data;
typedef FIXTURE_VARIANT(argument) argument_variant;

FIXTURE_SETUP(argument)
{
	make_world(_metadata, &self->world);
	self->file = variant->of_device ? self->world.device : self->world.partition;
	self->memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->memory != MAP_FAILED);
	ASSERT_EQ(0, mprotect(self->memory + 3 * PAGE, PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(argument)
{
	leave_world(&self->world);
}

/* An argument that is accepted, of @size bytes at @argument, zero at its end. */
static void fill(argument_data *self, const argument_variant *variant, void *argument,
		 __u32 size)
{
	__u8 whole[512] = {};

	variant->fill(&self->world, whole);
	memcpy(whole, &size, sizeof(size));
	memset(self->memory, 0, 3 * PAGE);
	if ((__u8 *)argument >= self->memory &&
	    (__u8 *)argument + variant->size <= self->memory + 3 * PAGE)
		memcpy(argument, whole, variant->size);
	else if (argument)
		/* As much as there is memory for. */
		memcpy(argument, whole, self->memory + 3 * PAGE - (__u8 *)argument);
}

/*
 * Make the call that is to be refused with @error: it must change neither its
 * argument nor anything else.
 */
static void refused(struct __test_metadata *_metadata, argument_data *self,
		    const argument_variant *variant, int error, void *argument)
{
	__u8 before[3 * PAGE];
	struct snapshot snapshot;

	memcpy(before, self->memory, sizeof(before));
	take_snapshot(&self->world, &snapshot);
	ASSERT_EQ(-error, plain_ioctl(self->file, variant->command, argument));
	EXPECT_TRUE(unchanged(&self->world, &snapshot));
	EXPECT_EQ(0, memcmp(before, self->memory, sizeof(before)));
	if (variant->undo)
		variant->undo(&self->world);
}

/* Make the call that is to be accepted, and take it back. */
static void accepted(struct __test_metadata *_metadata, argument_data *self,
		     const argument_variant *variant, void *argument)
{
	int ret = plain_ioctl(self->file, variant->command, argument);

	if (variant->returns_file) {
		ASSERT_LE(0, ret);
		EXPECT_EQ(FD_CLOEXEC, fcntl(ret, F_GETFD));
		close(ret);
	} else {
		ASSERT_EQ(0, ret);
	}
	if (variant->undo)
		variant->undo(&self->world);
}

TEST_F(argument, accepted)
{
	__u8 before[512];

	ASSERT_LE(variant->size, sizeof(before));
	fill(self, variant, self->memory, variant->size);
	memcpy(before, self->memory, variant->size);
	accepted(_metadata, self, variant, self->memory);
	EXPECT_EQ(variant->answers, memcmp(before, self->memory, variant->size) != 0);
	/* Its size and flags are the caller's in any case. */
	EXPECT_EQ(0, memcmp(before, self->memory, 8));
	EXPECT_EQ(0, self->memory[variant->size]);
}

TEST_F(argument, too_small)
{
	const __u32 sizes[] = { 0, 1, 3, 4, 7, 8, variant->size - 1 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] >= variant->size)
			continue;
		fill(self, variant, self->memory, sizes[i]);
		refused(_metadata, self, variant, EINVAL, self->memory);
	}
}

TEST_F(argument, larger_with_zero_tail)
{
	const __u32 sizes[] = { variant->size + 1, variant->size + 8, PAGE - 1, PAGE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill(self, variant, self->memory, sizes[i]);
		/* What follows the argument is nobody's business. */
		self->memory[sizes[i]] = 1;
		accepted(_metadata, self, variant, self->memory);
	}
}

TEST_F(argument, larger_with_other_tail)
{
	const __u32 sizes[] = { variant->size + 1, variant->size + 8, PAGE - 1, PAGE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill(self, variant, self->memory, sizes[i]);
		self->memory[sizes[i] - 1] = 1;
		refused(_metadata, self, variant, E2BIG, self->memory);
		fill(self, variant, self->memory, sizes[i]);
		self->memory[variant->size] = 0x80;
		refused(_metadata, self, variant, E2BIG, self->memory);
	}
}

TEST_F(argument, larger_than_a_page)
{
	const __u32 sizes[] = { PAGE + 1, 2 * PAGE, 0x7fffffff, 0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		fill(self, variant, self->memory, sizes[i]);
		refused(_metadata, self, variant, E2BIG, self->memory);
	}
}

TEST_F(argument, unknown_flags)
{
	struct hv_postmsg_info *args = (void *)self->memory;
	unsigned int bit;

	for (bit = 0; bit < 32; bit++) {
		if (variant->known_flags & 1U << bit)
			continue;
		fill(self, variant, args, variant->size);
		args->flags |= 1U << bit;
		refused(_metadata, self, variant, EINVAL, args);
	}
}

TEST_F(argument, reserved_bits)
{
	unsigned int bit;

	for (bit = 0; bit < 8 * variant->reserved_size; bit++) {
		fill(self, variant, self->memory, variant->size);
		self->memory[variant->reserved + bit / 8] |= 1U << bit % 8;
		refused(_metadata, self, variant, EINVAL, self->memory);
	}
}

TEST_F(argument, bad_pointer)
{
	__u8 *const end = self->memory + 3 * PAGE;

	fill(self, variant, NULL, 0);
	refused(_metadata, self, variant, EFAULT, NULL);
	refused(_metadata, self, variant, EFAULT, (void *)-PAGE);
	/* Only the size, all but one byte, and all but the tail can be read. */
	fill(self, variant, end, 0);
	refused(_metadata, self, variant, EFAULT, end);
	fill(self, variant, end - 4, variant->size);
	refused(_metadata, self, variant, EFAULT, end - 4);
	fill(self, variant, end - variant->size + 1, variant->size);
	refused(_metadata, self, variant, EFAULT, end - variant->size + 1);
	fill(self, variant, end - variant->size, variant->size + 1);
	refused(_metadata, self, variant, EFAULT, end - variant->size);
	/* And one that ends with the memory is fine. */
	fill(self, variant, end - variant->size, variant->size);
	accepted(_metadata, self, variant, end - variant->size);
}

/* An argument that cannot be written: fine if nothing is written to it. */
TEST_F(argument, read_only_memory)
{
	fill(self, variant, self->memory, variant->size);
	ASSERT_EQ(0, mprotect(self->memory, PAGE, PROT_READ));
	if (variant->answers)
		refused(_metadata, self, variant, EFAULT, self->memory);
	else
		accepted(_metadata, self, variant, self->memory);
	ASSERT_EQ(0, mprotect(self->memory, PAGE, PROT_READ | PROT_WRITE));
}

TEST_F(argument, misaligned)
{
	unsigned int i;

	for (i = 1; i < 8; i++) {
		fill(self, variant, self->memory + i, variant->size);
		accepted(_metadata, self, variant, self->memory + i);
	}
}

TEST_F(argument, wrong_file)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int files[] = {
		variant->of_device ? self->world.partition : self->world.device,
		self->world.endpoint, self->world.peer_port, self->world.vm,
		self->world.vcpu, null,
	};
	const int file = self->file;
	unsigned int i;

	ASSERT_LE(0, null);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		fill(self, variant, self->memory, variant->size);
		self->file = files[i];
		/* KVM has a word of its own for a vCPU ioctl it does not know. */
		refused(_metadata, self, variant,
			files[i] == self->world.vcpu ? EINVAL : ENOTTY, self->memory);
	}
	close(null);
	fill(self, variant, self->memory, variant->size);
	self->file = null;
	refused(_metadata, self, variant, EBADF, self->memory);
	self->file = file;
}

/* --- the device --- */

FIXTURE(device)
{
	int device;
};

FIXTURE_SETUP(device)
{
	self->device = plain_open();
	ASSERT_LE(0, self->device);
}

FIXTURE_TEARDOWN(device)
{
	close(self->device);
}

TEST_F(device, mode)
{
	struct stat status;

	ASSERT_EQ(0, fstat(self->device, &status));
	EXPECT_TRUE(S_ISCHR(status.st_mode));
	EXPECT_EQ(0660, status.st_mode & 07777);
}

TEST_F(device, info)
{
	struct hv_postmsg_info info;

	memset(&info, 0xcc, sizeof(info));
	info.size = sizeof(info);
	info.flags = 0;
	ASSERT_EQ(0, plain_ioctl(self->device, HV_POSTMSG_INFO, &info));
	EXPECT_EQ(48, info.size);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(1, info.api_version);
	EXPECT_EQ(16, info.default_buffers);
	EXPECT_EQ(HV_POSTMSG_FEATURE_KVM | HV_POSTMSG_FEATURE_ANY_VP, info.features);
	EXPECT_EQ(64, info.max_buffers);
	EXPECT_EQ(65536, info.max_ports);
	EXPECT_EQ(65536, info.max_connections);
	EXPECT_EQ(64, info.max_endpoints);
	EXPECT_EQ(256, info.default_depth);
	EXPECT_EQ(4096, info.max_depth);
}

TEST_F(device, unknown_ioctls)
{
	const int partition = plain_host(self->device);
	const int endpoint = plain_endpoint(partition, 0);
	int port;
	unsigned int number;
	__u8 argument[PAGE] = { sizeof(argument) & 0xff, sizeof(argument) >> 8 };

	ASSERT_LE(0, partition);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(partition, 1, endpoint, 0, 0));
	port = plain_port_fd(partition, 1);
	ASSERT_LE(0, port);

	for (number = 0; number < 256; number++) {
		const unsigned int command = _IO(HV_POSTMSG_IOC, number);

		if (number != 0x00 && number != 0x01)
			EXPECT_EQ(-ENOTTY, plain_ioctl(self->device, command, argument));
		if (number < 0x10 || number > 0x1c)
			EXPECT_EQ(-ENOTTY, plain_ioctl(partition, command, argument));
		EXPECT_EQ(-ENOTTY, plain_ioctl(endpoint, command, argument));
		EXPECT_EQ(-ENOTTY, plain_ioctl(port, command, argument));
	}
	/* Direction and size are part of the number. */
	EXPECT_EQ(-ENOTTY, plain_ioctl(self->device,
				       _IOWR(HV_POSTMSG_IOC, 0x00, struct hv_postmsg_info),
				       argument));
	EXPECT_EQ(-ENOTTY, plain_ioctl(partition, _IO(HV_POSTMSG_IOC + 1, 0x10), argument));
	close(port);
	close(endpoint);
	close(partition);
}

/* A partition does not need the file it was made by. */
TEST_F(device, close_before_partition)
{
	const int partition = plain_host(self->device);
	int endpoint;

	ASSERT_LE(0, partition);
	close(self->device);
	endpoint = plain_endpoint(partition, 0);
	EXPECT_LE(0, endpoint);
	close(endpoint);
	close(partition);
	self->device = plain_open();
}

TEST_F(device, host_partition_flags)
{
	__u32 flags;

	for (flags = 2; flags < 16; flags += 2)
		EXPECT_EQ(-EINVAL, plain_partition(self->device,
						   HV_POSTMSG_PARTITION_HOST | flags, -1));
	/* It has no VM. */
	EXPECT_EQ(-EINVAL, plain_partition(self->device, HV_POSTMSG_PARTITION_HOST, 0));
	EXPECT_EQ(-EINVAL, plain_partition(self->device, HV_POSTMSG_PARTITION_HOST, -2));
	EXPECT_EQ(-EINVAL, plain_partition(self->device, HV_POSTMSG_PARTITION_HOST,
					   self->device));
}

TEST_F(device, several_host_partitions)
{
	int partitions[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(partitions); i++) {
		partitions[i] = plain_host(self->device);
		EXPECT_LE(0, partitions[i]);
	}
	for (i = 0; i < ARRAY_SIZE(partitions); i++)
		close(partitions[i]);
}

/* Everything a process made is gone with its files: the module can be too. */
TEST_F(device, nothing_left)
{
	const long users = plain_module_users();
	struct world world;

	ASSERT_LE(1, users);
	make_world(_metadata, &world);
	EXPECT_LT(users, plain_module_users());
	EXPECT_EQ(0, plain_post_word(world.partition, 1, 1));
	leave_world(&world);
	EXPECT_EQ(users, plain_module_users());
}

/* --- attaching a VM --- */

FIXTURE(attach)
{
	int device;
	int kvm;
	int vm;
};

FIXTURE_SETUP(attach)
{
	self->device = plain_open();
	ASSERT_LE(0, self->device);
	self->kvm = plain_kvm();
	ASSERT_LE(0, self->kvm);
	self->vm = plain_new_vm();
	ASSERT_LE(0, self->vm);
}

FIXTURE_TEARDOWN(attach)
{
	close(self->vm);
	close(self->kvm);
	close(self->device);
}

TEST_F(attach, every_flag)
{
	__u32 flags;

	for (flags = 0; flags < 16; flags += 2) {
		const int partition = plain_partition(self->device, flags, self->vm);

		EXPECT_LE(0, partition);
		close(partition);
	}
}

TEST_F(attach, no_file)
{
	const int closed = dup(self->vm);
	const int path = open("/dev/null", O_PATH | O_CLOEXEC);

	close(closed);
	ASSERT_LE(0, path);
	EXPECT_EQ(-EBADF, plain_partition(self->device, 0, -1));
	EXPECT_EQ(-EBADF, plain_partition(self->device, 0, -100));
	EXPECT_EQ(-EBADF, plain_partition(self->device, 0, 0x7fffffff));
	EXPECT_EQ(-EBADF, plain_partition(self->device, 0, closed));
	EXPECT_EQ(-EBADF, plain_partition(self->device, 0, path));
	close(path);
}

TEST_F(attach, wrong_file)
{
	const int vcpu = plain_vcpu(self->vm, 0);
	const int partition = plain_partition(self->device, 0, self->vm);
	const int endpoint = plain_endpoint(partition, 0);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, vcpu);
	ASSERT_LE(0, partition);
	ASSERT_LE(0, endpoint);
	ASSERT_LE(0, null);
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, null));
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, self->kvm));
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, vcpu));
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, self->device));
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, partition));
	EXPECT_EQ(-EBADFD, plain_partition(self->device, 0, endpoint));
	close(null);
	close(endpoint);
	close(partition);
	close(vcpu);
}

TEST_F(attach, no_local_apic)
{
	const int vm = plain_vm(self->kvm);

	ASSERT_LE(0, vm);
	EXPECT_EQ(-EOPNOTSUPP, plain_partition(self->device, 0, vm));
	/* Having been refused it can still get one. */
	ASSERT_EQ(0, plain_ioctl(vm, KVM_CREATE_IRQCHIP, NULL));
	EXPECT_EQ(0, close(plain_partition(self->device, 0, vm)));
	close(vm);
}

/* KVM_CAP_SPLIT_IRQCHIP: the local APIC in the kernel, the others not. */
TEST_F(attach, split_irqchip)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	const int vm = plain_vm(self->kvm);
	int partition;

	ASSERT_LE(0, vm);
	ASSERT_EQ(0, plain_ioctl(vm, KVM_ENABLE_CAP, &cap));
	partition = plain_partition(self->device, 0, vm);
	EXPECT_LE(0, partition);
	close(partition);
	close(vm);
}

TEST_F(attach, second_attach)
{
	const int partition = plain_partition(self->device, 0, self->vm);
	const int other_device = plain_open();
	const int other_vm = dup(self->vm);
	struct hv_postmsg_partition_stats stats;

	ASSERT_LE(0, partition);
	ASSERT_LE(0, other_device);
	EXPECT_EQ(-EBUSY, plain_partition(self->device, 0, self->vm));
	EXPECT_EQ(-EBUSY, plain_partition(other_device, 0, other_vm));
	EXPECT_EQ(-EBUSY, plain_partition(self->device,
					  HV_POSTMSG_PARTITION_PASS_UNKNOWN, self->vm));
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	close(other_vm);
	close(other_device);
	close(partition);
}

/* As often as one likes, also while others still hold what the first one made. */
TEST_F(attach, attach_again)
{
	const int peer = plain_host(self->device);
	int ports[8], endpoints[8];
	unsigned int i;

	ASSERT_LE(0, peer);
	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		const int partition = plain_partition(self->device, 0, self->vm);

		ASSERT_LE(0, partition);
		ASSERT_EQ(0, plain_vp_port(partition, 1, HV_POSTMSG_PORT_MESSAGE, 0, 2));
		ports[i] = plain_port_fd(partition, 1);
		ASSERT_LE(0, ports[i]);
		ASSERT_EQ(0, plain_connect(peer, i, ports[i], 0));
		endpoints[i] = plain_endpoint(partition, 0);
		ASSERT_LE(0, endpoints[i]);
		ASSERT_EQ(0, close(partition));
	}
	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(peer, i, 0));
		EXPECT_EQ(-ENXIO, plain_connect(peer, 100 + i, ports[i], 0));
		close(ports[i]);
		close(endpoints[i]);
	}
	close(peer);
}

TEST_F(attach, before_and_after_vcpus)
{
	const int first = plain_vcpu(self->vm, 0);
	const int partition = plain_partition(self->device, 0, self->vm);
	int second;

	ASSERT_LE(0, first);
	ASSERT_LE(0, partition);
	EXPECT_EQ(0, plain_reset_vp(partition, 0));
	EXPECT_EQ(-ENOENT, plain_reset_vp(partition, 1));
	second = plain_vcpu(self->vm, 1);
	ASSERT_LE(0, second);
	EXPECT_EQ(0, plain_reset_vp(partition, 1));
	EXPECT_EQ(-ENOENT, plain_reset_vp(partition, 2));
	EXPECT_EQ(-ENOENT, plain_reset_vp(partition, HV_POSTMSG_ANY_VP));
	close(second);
	close(partition);
	close(first);
}

/* The partition holds the VM while its process lives. */
TEST_F(attach, vm_file_closed)
{
	const int partition = plain_partition(self->device, 0, self->vm);
	struct hv_postmsg_partition_stats stats;

	ASSERT_LE(0, partition);
	close(self->vm);
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	EXPECT_EQ(0, plain_vp_port(partition, 1, HV_POSTMSG_PORT_MESSAGE, 0, 2));
	EXPECT_EQ(0, stats.ports);
	close(partition);
	self->vm = plain_new_vm();
}

/* Leave no free descriptor number in this process. */
static int fill_descriptors(struct rlimit *old)
{
	struct rlimit limit;
	const int next = dup(0);

	if (next < 0 || getrlimit(RLIMIT_NOFILE, old))
		return -errno;
	close(next);
	limit.rlim_cur = next;
	limit.rlim_max = old->rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

TEST_F(attach, no_descriptors)
{
	struct hv_postmsg_partition_stats before, after;
	struct rlimit limit;
	int partition = -1, endpoint;
	unsigned int tries = 0;
	long slept;

	/*
	 * A VM that could not be attached for lack of a number has not been attached: its
	 * guest was not answered, and nobody waits until it is detached.  One may wait
	 * for something else, once.
	 */
	do {
		ASSERT_GT(5, tries++);
		close(partition);
		plain_sleep_ms(PLAIN_SETTLE_MS);
		ASSERT_EQ(0, fill_descriptors(&limit));
		EXPECT_EQ(-EMFILE, plain_partition(self->device, 0, self->vm));
		EXPECT_EQ(-EMFILE, plain_host(self->device));
		slept = plain_times_slept();
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		partition = plain_partition(self->device, 0, self->vm);
		ASSERT_LE(0, partition);
	} while (plain_times_slept() > slept);

	endpoint = plain_endpoint(partition, 0);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(partition, 1, endpoint, 0, 0));
	ASSERT_EQ(0, plain_partition_stats(partition, &before));
	ASSERT_EQ(0, fill_descriptors(&limit));
	EXPECT_EQ(-EMFILE, plain_endpoint(partition, 0));
	EXPECT_EQ(-EMFILE, plain_port_fd(partition, 1));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, plain_partition_stats(partition, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	close(endpoint);
	close(partition);
}

/*
 * A process that makes a VM, or a partition, and hands its file over.  It goes
 * on living until @go is closed; returns its pid.
 */
static pid_t spawn_owner(bool partition, int *file, int *go)
{
	int sockets[2];
	char byte;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(sockets[0]);
		plain_send_fd(sockets[1], partition ? plain_new_host() : plain_new_vm());
		while (read(sockets[1], &byte, 1) > 0)
			;
		_exit(0);
	}
	close(sockets[1]);
	*file = plain_receive_fd(sockets[0]);
	*go = sockets[0];
	return pid;
}

static bool end_owner(pid_t pid, int go)
{
	int status;

	close(go);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* A helper attaches the VM of a process that is gone already. */
TEST_F(attach, process_gone_before)
{
	int vm, go;
	const pid_t pid = spawn_owner(false, &vm, &go);

	ASSERT_LT(0, pid);
	ASSERT_LE(0, vm);
	ASSERT_TRUE(end_owner(pid, go));
	EXPECT_EQ(-ESHUTDOWN, plain_partition(self->device, 0, vm));
	close(vm);
}

/* A helper holds the partition of a VM whose process goes. */
TEST_F(attach, process_gone_after)
{
	const int host = plain_host(self->device);
	const int host_endpoint = plain_endpoint(host, 0);
	int vm, go, partition, endpoint, port, host_port;
	const pid_t pid = spawn_owner(false, &vm, &go);
	struct hv_postmsg_message message;

	ASSERT_LT(0, pid);
	ASSERT_LE(0, vm);
	partition = plain_partition(self->device, 0, vm);
	ASSERT_LE(0, partition);
	EXPECT_EQ(-EBUSY, plain_partition(self->device, 0, vm));
	endpoint = plain_endpoint(partition, 0);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(partition, 1, endpoint, 0,
					 HV_POSTMSG_PORT_SHARED));
	port = plain_port_fd(partition, 1);
	ASSERT_LE(0, port);
	ASSERT_EQ(0, plain_connect(host, 1, port, 0));
	ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(host, 1, 1));
	ASSERT_EQ(0, plain_endpoint_port(host, 1, host_endpoint, 0,
					 HV_POSTMSG_PORT_SHARED));
	host_port = plain_port_fd(host, 1);
	ASSERT_LE(0, host_port);
	ASSERT_EQ(0, plain_connect(partition, 1, host_port, 0));
	ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(partition, 1, 1));

	ASSERT_TRUE(end_owner(pid, go));
	EXPECT_EQ(0, plain_not_shut_down(partition, host_port));
	EXPECT_EQ(-ENXIO, plain_connect(host, 2, port, 0));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(host, 1, 1));
	EXPECT_TRUE(plain_poll(endpoint, POLLIN, PLAIN_PATIENCE_MS) & POLLHUP);
	/* Its end is not waited for: the message may still be there for a moment. */
	while (plain_read(endpoint, &message) > 0)
		;
	EXPECT_EQ(0, plain_read(endpoint, &message));
	/* What it had posted is still there. */
	EXPECT_EQ(1, plain_read_word(host_endpoint));
	EXPECT_EQ(-ESHUTDOWN, plain_partition(self->device, 0, vm));
	close(partition);
	EXPECT_EQ(-ESHUTDOWN, plain_partition(self->device, 0, vm));
	close(vm);
	close(port);
	close(endpoint);
	close(host_port);
	close(host_endpoint);
	close(host);
}

/* A host partition goes with the process that made it. */
TEST_F(attach, host_process_gone)
{
	const int host = plain_host(self->device);
	const int host_endpoint = plain_endpoint(host, 0);
	int partition, go, endpoint, port, host_port;
	const pid_t pid = spawn_owner(true, &partition, &go);

	ASSERT_LT(0, pid);
	ASSERT_LE(0, partition);
	endpoint = plain_endpoint(partition, 0);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(partition, 1, endpoint, 0,
					 HV_POSTMSG_PORT_SHARED));
	port = plain_port_fd(partition, 1);
	ASSERT_LE(0, port);
	ASSERT_EQ(0, plain_connect(host, 1, port, 0));
	ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(host, 1, 1));
	ASSERT_EQ(0, plain_endpoint_port(host, 1, host_endpoint, 0, 0));
	host_port = plain_port_fd(host, 1);
	ASSERT_LE(0, host_port);

	ASSERT_TRUE(end_owner(pid, go));
	EXPECT_EQ(0, plain_not_shut_down(partition, host_port));
	EXPECT_EQ(-ENXIO, plain_connect(host, 2, port, 0));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(host, 1, 1));
	EXPECT_TRUE(plain_poll(endpoint, POLLIN, PLAIN_PATIENCE_MS) & POLLHUP);
	close(partition);
	close(port);
	close(endpoint);
	close(host_port);
	close(host_endpoint);
	close(host);
}

/* A child that inherited the partition may use it, and its end changes nothing. */
TEST_F(attach, inherited)
{
	const int partition = plain_partition(self->device, 0, self->vm);
	struct hv_postmsg_partition_stats stats;
	int status;
	pid_t pid;

	ASSERT_LE(0, partition);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(plain_vp_port(partition, 1, HV_POSTMSG_PORT_MESSAGE, 0, 2) != 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	EXPECT_EQ(1, stats.ports);
	close(partition);
}

/* --- values --- */

FIXTURE(value)
{
	struct world world;
	struct snapshot snapshot;
};

FIXTURE_SETUP(value)
{
	make_world(_metadata, &self->world);
	take_snapshot(&self->world, &self->snapshot);
}

FIXTURE_TEARDOWN(value)
{
	leave_world(&self->world);
}

TEST_F(value, states)
{
	__u32 state;

	EXPECT_EQ(-EINVAL, plain_set_state(self->world.partition, 2));
	for (state = 4; state; state <<= 1)
		EXPECT_EQ(-EINVAL, plain_set_state(self->world.partition, state));
	EXPECT_EQ(0, plain_set_state(self->world.partition, HV_POSTMSG_STATE_INACTIVE));
	EXPECT_EQ(0, plain_set_state(self->world.partition, HV_POSTMSG_STATE_INACTIVE));
	EXPECT_EQ(0, plain_set_state(self->world.partition, HV_POSTMSG_STATE_ACTIVE));
	EXPECT_EQ(0, plain_set_state(self->world.partition, HV_POSTMSG_STATE_ACTIVE));
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* What the tests below change in a good port, they change by saying it again. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* A good port with a target VP; what follows in the braces changes it. */
#define VP_PORT \
	.size = sizeof(struct hv_postmsg_create_port), .port_id = 9, \
	.type = HV_POSTMSG_PORT_MESSAGE, .sint = 2, .endpoint_fd = -1
/* A good port that feeds @endpoint. */
#define ENDPOINT_PORT(endpoint) \
	.size = sizeof(struct hv_postmsg_create_port), .port_id = 9, \
	.flags = HV_POSTMSG_PORT_ENDPOINT, .type = HV_POSTMSG_PORT_MESSAGE, \
	.endpoint_fd = (endpoint)

#define CREATE_PORT(partition, ...) \
	create_port(partition, (struct hv_postmsg_create_port){ __VA_ARGS__ })

static int create_port(int partition, struct hv_postmsg_create_port args)
{
	return plain_ioctl(partition, HV_POSTMSG_CREATE_PORT, &args);
}

TEST_F(value, port_refused)
{
	const int partition = self->world.partition;
	const int endpoint = self->world.endpoint;
	const int closed = dup(endpoint);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned int bit;

	close(closed);
	ASSERT_LE(0, null);
	self->snapshot.files++;

	/* IDs have 24 bits. */
	for (bit = 24; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .port_id = 1U << bit));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .port_id = 0xffffffff));
	/* Types: 1 and 2. */
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .type = 0));
	for (bit = 2; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .type = 1U << bit));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .type = 3));
	/* SINTs: 1 to 15. */
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .sint = 0));
	for (bit = 4; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .sint = 1U << bit));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .sint = 17));
	/* Buffers: up to 64, and none for an event port. */
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .buffers = 65));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .buffers = 0x10001));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .buffers = 0xffffffff));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .type = HV_POSTMSG_PORT_EVENT,
				       .buffers = 1));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, ENDPOINT_PORT(endpoint), .buffers = 65));
	/* A target VP or an endpoint, not both and not neither. */
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .endpoint_fd = endpoint));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .endpoint_fd = 0));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, VP_PORT, .endpoint_fd = -2));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, ENDPOINT_PORT(endpoint), .sint = 2));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, ENDPOINT_PORT(endpoint), .vp = 1));
	EXPECT_EQ(-EINVAL, CREATE_PORT(partition, ENDPOINT_PORT(endpoint),
				       .vp = HV_POSTMSG_ANY_VP));
	/* The file. */
	EXPECT_EQ(-EBADF, CREATE_PORT(partition, ENDPOINT_PORT(-1)));
	EXPECT_EQ(-EBADF, CREATE_PORT(partition, ENDPOINT_PORT(closed)));
	EXPECT_EQ(-EBADFD, CREATE_PORT(partition, ENDPOINT_PORT(null)));
	EXPECT_EQ(-EBADFD, CREATE_PORT(partition, ENDPOINT_PORT(partition)));
	EXPECT_EQ(-EBADFD, CREATE_PORT(partition, ENDPOINT_PORT(self->world.peer_port)));
	EXPECT_EQ(-EBADFD, CREATE_PORT(partition, ENDPOINT_PORT(self->world.vm)));
	EXPECT_EQ(-EXDEV, CREATE_PORT(partition, ENDPOINT_PORT(self->world.peer_endpoint)));
	EXPECT_EQ(-EXDEV, CREATE_PORT(self->world.peer, ENDPOINT_PORT(endpoint)));
	/* IDs in use, whatever the port with it is. */
	EXPECT_EQ(-EEXIST, CREATE_PORT(partition, VP_PORT, .port_id = 1));
	EXPECT_EQ(-EEXIST, CREATE_PORT(partition, VP_PORT, .port_id = 2));
	EXPECT_EQ(-EEXIST, CREATE_PORT(partition, ENDPOINT_PORT(endpoint), .port_id = 2));
	/* A host partition has no VPs. */
	EXPECT_EQ(-EOPNOTSUPP, CREATE_PORT(self->world.peer, VP_PORT));
	EXPECT_EQ(-EOPNOTSUPP, CREATE_PORT(self->world.peer, VP_PORT,
					   .vp = HV_POSTMSG_ANY_VP));
	EXPECT_EQ(-EOPNOTSUPP, CREATE_PORT(self->world.peer, VP_PORT,
					   .type = HV_POSTMSG_PORT_EVENT));

	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
	close(null);
}

TEST_F(value, port_accepted)
{
	const struct {
		struct hv_postmsg_create_port port;
		__u32 buffers;
	} ports[] = {
		{ { VP_PORT }, 16 },
		{ { VP_PORT, .port_id = 0 }, 16 },
		{ { VP_PORT, .port_id = HV_POSTMSG_ID_MAX }, 16 },
		{ { VP_PORT, .sint = 1 }, 16 },
		{ { VP_PORT, .sint = 15 }, 16 },
		{ { VP_PORT, .buffers = 1 }, 1 },
		{ { VP_PORT, .buffers = 17 }, 17 },
		{ { VP_PORT, .buffers = 63 }, 63 },
		{ { VP_PORT, .buffers = 64 }, 64 },
		/* It need not exist yet, or ever. */
		{ { VP_PORT, .vp = 1 }, 16 },
		{ { VP_PORT, .vp = 0xfffffffe }, 16 },
		{ { VP_PORT, .vp = HV_POSTMSG_ANY_VP }, 16 },
		{ { VP_PORT, .flags = HV_POSTMSG_PORT_SHARED }, 16 },
		{ { VP_PORT, .type = HV_POSTMSG_PORT_EVENT }, 0 },
		{ { ENDPOINT_PORT(self->world.endpoint) }, 16 },
		{ { ENDPOINT_PORT(self->world.endpoint), .buffers = 64 }, 64 },
		{ { ENDPOINT_PORT(self->world.endpoint),
		    .flags = HV_POSTMSG_PORT_ENDPOINT | HV_POSTMSG_PORT_SHARED }, 16 },
		{ { ENDPOINT_PORT(self->world.endpoint),
		    .type = HV_POSTMSG_PORT_EVENT }, 0 },
	};
	struct hv_postmsg_port_stats stats;
	struct hv_postmsg_partition_stats total;
	unsigned int i;
	int port;

	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		const __u32 id = ports[i].port.port_id;

		EXPECT_EQ(0, create_port(self->world.partition, ports[i].port)) {
			TH_LOG("port %u of the table", i);
		}
		EXPECT_EQ(0, plain_partition_stats(self->world.partition, &total));
		EXPECT_EQ(3, total.ports);
		EXPECT_EQ(0, plain_port_stats(self->world.partition, id, &stats));
		EXPECT_EQ(ports[i].buffers, stats.buffers);
		EXPECT_EQ(ports[i].buffers, stats.free);
		EXPECT_EQ(0, stats.high_water);
		EXPECT_EQ(0, stats.posted);
		EXPECT_EQ(0, stats.delivered);
		EXPECT_EQ(0, stats.freed);
		EXPECT_EQ(0, stats.queued);
		EXPECT_EQ(0, stats.refused_port);
		EXPECT_EQ(0, stats.refused_vp);
		EXPECT_EQ(0, stats.refused_synic);
		EXPECT_EQ(0, stats.refused_buffers);
		port = plain_port_fd(self->world.partition, id);
		EXPECT_LE(0, port);
		close(port);
		EXPECT_EQ(-EEXIST, create_port(self->world.partition, ports[i].port));
		EXPECT_EQ(0, plain_delete_port(self->world.partition, id));
	}
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* Calls that name a port or a connection there is none of. */
TEST_F(value, not_found)
{
	const __u32 ids[] = { 0, 3, 0xffffff, 0x1000001, 0x80000001, 0xffffffff };
	const int partition = self->world.partition;
	struct hv_postmsg_port_stats stats;
	__u64 number = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_EQ(-ENOENT, plain_delete_port(partition, ids[i]));
		EXPECT_EQ(-ENOENT, plain_port_fd(partition, ids[i]));
		EXPECT_EQ(-ENOENT, plain_port_stats(partition, ids[i], &stats));
		EXPECT_EQ(-ENOENT, plain_get_property(partition, ids[i],
						      HV_POSTMSG_PROPERTY_POST_COUNT,
						      &number));
		EXPECT_EQ(-ENOENT, plain_set_property(partition, ids[i],
						      HV_POSTMSG_PROPERTY_PREFERRED_VP, 0));
		EXPECT_EQ(-ENOENT, plain_disconnect(partition, ids[i]));
	}
	/* Another partition's are not this one's. */
	EXPECT_EQ(-ENOENT, plain_delete_port(self->world.peer, 2));
	EXPECT_EQ(-ENOENT, plain_disconnect(self->world.peer, 1));
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* Deleted is deleted, and the number free again. */
TEST_F(value, delete_twice)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, CREATE_PORT(self->world.partition, VP_PORT));
		EXPECT_EQ(0, plain_delete_port(self->world.partition, 9));
		EXPECT_EQ(-ENOENT, plain_delete_port(self->world.partition, 9));
		EXPECT_EQ(0, plain_connect(self->world.partition, 9,
					   self->world.peer_port, 0));
		EXPECT_EQ(0, plain_disconnect(self->world.partition, 9));
		EXPECT_EQ(-ENOENT, plain_disconnect(self->world.partition, 9));
	}
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

TEST_F(value, connect_refused)
{
	const int partition = self->world.partition;
	const int peer_port = self->world.peer_port;
	const int closed = dup(peer_port);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int own_port = plain_port_fd(partition, 1);
	struct world other;
	unsigned int bit;
	int gone;

	close(closed);
	ASSERT_LE(0, null);
	ASSERT_LE(0, own_port);
	for (bit = 24; bit < 32; bit++)
		EXPECT_EQ(-EINVAL, plain_connect(partition, 1U << bit, peer_port, 0));
	EXPECT_EQ(-EBADF, plain_connect(partition, 9, -1, 0));
	EXPECT_EQ(-EBADF, plain_connect(partition, 9, closed, 0));
	EXPECT_EQ(-EBADFD, plain_connect(partition, 9, null, 0));
	EXPECT_EQ(-EBADFD, plain_connect(partition, 9, self->world.peer, 0));
	EXPECT_EQ(-EBADFD, plain_connect(partition, 9, self->world.peer_endpoint, 0));
	EXPECT_EQ(-EBADFD, plain_connect(partition, 9, self->world.vm, 0));
	EXPECT_EQ(-EBADFD, plain_connect(partition, 9, self->world.device, 0));
	EXPECT_EQ(-EEXIST, plain_connect(partition, 1, peer_port, 0));
	EXPECT_EQ(-ELOOP, plain_connect(partition, 9, own_port, 0));
	close(null);

	/* A port that was deleted, and one whose partition is gone. */
	ASSERT_EQ(0, plain_endpoint_port(self->world.peer, 9,
					 self->world.peer_endpoint, 0, 0));
	gone = plain_port_fd(self->world.peer, 9);
	ASSERT_LE(0, gone);
	ASSERT_EQ(0, plain_delete_port(self->world.peer, 9));
	EXPECT_EQ(-ENXIO, plain_connect(partition, 9, gone, 0));
	/* Another port with its number is another port. */
	ASSERT_EQ(0, plain_endpoint_port(self->world.peer, 9,
					 self->world.peer_endpoint, 0, 0));
	EXPECT_EQ(-ENXIO, plain_connect(partition, 9, gone, 0));
	ASSERT_EQ(0, plain_delete_port(self->world.peer, 9));
	close(gone);

	make_world(_metadata, &other);
	EXPECT_EQ(0, plain_connect(partition, 9, other.peer_port, 0));
	EXPECT_EQ(0, plain_disconnect(partition, 9));
	close(other.peer);
	EXPECT_EQ(-ENXIO, plain_connect(partition, 9, other.peer_port, 0));
	other.peer = -1;
	leave_world(&other);

	close(own_port);
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* One connection to a port, unless it is a shared one. */
TEST_F(value, connect_busy)
{
	const int partition = self->world.partition;
	const int peer = self->world.peer;
	const int third = plain_host(self->world.device);
	int port;

	ASSERT_LE(0, third);
	ASSERT_EQ(0, plain_endpoint_port(peer, 9, self->world.peer_endpoint, 0, 0));
	port = plain_port_fd(peer, 9);
	ASSERT_LE(0, port);
	EXPECT_EQ(0, plain_connect(partition, 9, port, 0));
	EXPECT_EQ(-EBUSY, plain_connect(partition, 10, port, 0));
	EXPECT_EQ(-EBUSY, plain_connect(third, 9, port, 0));
	EXPECT_EQ(-EBUSY, plain_connect(peer, 9, port, HV_POSTMSG_CONNECT_SELF));
	EXPECT_EQ(-EEXIST, plain_connect(partition, 9, port, 0));
	EXPECT_EQ(0, plain_disconnect(partition, 9));
	EXPECT_EQ(0, plain_connect(third, 9, port, 0));
	EXPECT_EQ(-EBUSY, plain_connect(partition, 9, port, 0));
	close(third);
	EXPECT_EQ(0, plain_connect(partition, 9, port, 0));
	EXPECT_EQ(0, plain_disconnect(partition, 9));
	close(port);
	EXPECT_EQ(0, plain_delete_port(peer, 9));

	EXPECT_EQ(0, plain_connect(partition, 9, self->world.peer_port, 0));
	EXPECT_EQ(0, plain_connect(partition, 0, self->world.peer_port, 0));
	EXPECT_EQ(0, plain_connect(partition, HV_POSTMSG_ID_MAX, self->world.peer_port, 0));
	EXPECT_EQ(0, plain_connect(peer, 9, self->world.peer_port,
				   HV_POSTMSG_CONNECT_SELF));
	EXPECT_EQ(0, plain_disconnect(partition, 9));
	EXPECT_EQ(0, plain_disconnect(partition, 0));
	EXPECT_EQ(0, plain_disconnect(partition, HV_POSTMSG_ID_MAX));
	EXPECT_EQ(0, plain_disconnect(peer, 9));
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

TEST_F(value, reset_vp)
{
	EXPECT_EQ(0, plain_reset_vp(self->world.partition, 0));
	EXPECT_EQ(-ENOENT, plain_reset_vp(self->world.partition, 1));
	EXPECT_EQ(-ENOENT, plain_reset_vp(self->world.partition, 0x80000000));
	EXPECT_EQ(-ENOENT, plain_reset_vp(self->world.partition, HV_POSTMSG_ANY_VP));
	EXPECT_EQ(-EOPNOTSUPP, plain_reset_vp(self->world.peer, 0));
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

TEST_F(value, endpoint_depth)
{
	const __u32 good[] = { 0, 1, 256, 4095, 4096 };
	const __u32 bad[] = { 4097, 0x10001, 0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		const int endpoint = plain_endpoint(self->world.partition, good[i]);

		EXPECT_LE(0, endpoint);
		close(endpoint);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, plain_endpoint(self->world.partition, bad[i]));
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

TEST_F(value, port_properties)
{
	const int partition = self->world.partition;
	__u64 value;
	__u32 property;

	/* Messages accepted, whether they were read or not; it cannot be set. */
	value = ~0ULL;
	EXPECT_EQ(0, plain_get_property(self->world.peer, 1,
					HV_POSTMSG_PROPERTY_POST_COUNT, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(partition, 1, 1));
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(partition, 1, 2));
	EXPECT_EQ(HV_STATUS_INVALID_PARAMETER, plain_post(partition, 0, 1, 0, NULL, 0));
	EXPECT_EQ(1, plain_read_word(self->world.peer_endpoint));
	EXPECT_EQ(0, plain_get_property(self->world.peer, 1,
					HV_POSTMSG_PROPERTY_POST_COUNT, &value));
	EXPECT_EQ(2, value);
	EXPECT_EQ(-EINVAL, plain_set_property(self->world.peer, 1,
					      HV_POSTMSG_PROPERTY_POST_COUNT, 0));
	EXPECT_EQ(2, plain_read_word(self->world.peer_endpoint));

	/* Only a port that may post to any VP prefers one. */
	take_snapshot(&self->world, &self->snapshot);
	value = 0;
	EXPECT_EQ(0, plain_get_property(partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
					&value));
	EXPECT_EQ(HV_POSTMSG_ANY_VP, value);
	EXPECT_EQ(0, plain_set_property(partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP, 0));
	EXPECT_EQ(0, plain_get_property(partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
					&value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(-EINVAL, plain_set_property(partition, 2,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP,
					      0x100000000ULL));
	EXPECT_EQ(-EINVAL, plain_set_property(partition, 2,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP, ~0ULL));
	EXPECT_EQ(0, plain_get_property(partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
					&value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(0, plain_set_property(partition, 2, HV_POSTMSG_PROPERTY_PREFERRED_VP,
					HV_POSTMSG_ANY_VP));
	ASSERT_EQ(0, CREATE_PORT(partition, VP_PORT));
	value = 5;
	EXPECT_EQ(-EINVAL, plain_get_property(partition, 9,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP, &value));
	EXPECT_EQ(-EINVAL, plain_get_property(partition, 1,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP, &value));
	EXPECT_EQ(5, value);
	EXPECT_EQ(-EINVAL, plain_set_property(partition, 9,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP, 0));
	EXPECT_EQ(-EINVAL, plain_set_property(partition, 1,
					      HV_POSTMSG_PROPERTY_PREFERRED_VP, 0));
	EXPECT_EQ(0, plain_delete_port(partition, 9));

	for (property = 2; property; property <<= 1) {
		EXPECT_EQ(-EINVAL, plain_get_property(partition, 2, property, &value));
		EXPECT_EQ(-EINVAL, plain_set_property(partition, 2, property, 0));
	}
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* --- limits --- */

/* Long, and past its entry an ioctl of a 32-bit program is like any other. */
#ifdef __LP64__
TEST_F_TIMEOUT(value, most_ports, 300)
{
	const int partition = self->world.partition;
	struct hv_postmsg_partition_stats stats;
	int first = 0, last = 0;
	__u32 id;

	/* Two there are; event ports have no buffers, so these are cheap. */
	for (id = 3; id <= 65536 && !first; id++)
		first = CREATE_PORT(partition, VP_PORT, .port_id = id,
				    .type = HV_POSTMSG_PORT_EVENT);
	ASSERT_EQ(0, first);
	EXPECT_EQ(-ENOSPC, CREATE_PORT(partition, VP_PORT, .port_id = id));
	EXPECT_EQ(-ENOSPC, CREATE_PORT(partition, ENDPOINT_PORT(self->world.endpoint),
				       .port_id = id));
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	EXPECT_EQ(65536, stats.ports);
	/* The others have a count of their own. */
	EXPECT_EQ(0, plain_endpoint_port(self->world.peer, 9,
					 self->world.peer_endpoint, 0, 0));
	EXPECT_EQ(0, plain_delete_port(partition, 65536));
	/* Deletion gives room, though perhaps not at once. */
	for (id = 0; id < PLAIN_PATIENCE_MS; id += 10) {
		last = CREATE_PORT(partition, VP_PORT, .port_id = 65537);
		if (last != -ENOSPC)
			break;
		plain_sleep_ms(10);
	}
	EXPECT_EQ(0, last);
	EXPECT_EQ(-ENOSPC, CREATE_PORT(partition, VP_PORT, .port_id = 65538));
}

TEST_F_TIMEOUT(value, most_connections, 300)
{
	const int partition = self->world.partition;
	struct hv_postmsg_partition_stats stats;
	const int third = plain_host(self->world.device);
	int first = 0, endpoint, other;
	__u32 id;

	/* To ports of two, as one has a limit of its own, which is the same. */
	ASSERT_LE(0, third);
	endpoint = plain_endpoint(third, 0);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(third, 9, endpoint, 0, HV_POSTMSG_PORT_SHARED));
	other = plain_port_fd(third, 9);
	ASSERT_LE(0, other);
	for (id = 2; id <= 65536 && !first; id++)
		first = plain_connect(partition, id, id % 2 ? self->world.peer_port : other, 0);
	ASSERT_EQ(0, first);
	close(other);
	EXPECT_EQ(-ENOSPC, plain_connect(partition, id, self->world.peer_port, 0));
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	EXPECT_EQ(65536, stats.connections);
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(partition, 65536, 1));
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID, plain_post_word(partition, 65537, 1));
	EXPECT_EQ(0, plain_disconnect(partition, 40000));
	EXPECT_EQ(0, plain_connect(partition, 65537, self->world.peer_port, 0));
	EXPECT_EQ(-ENOSPC, plain_connect(partition, 40000, self->world.peer_port, 0));
	close(endpoint);
	close(third);
}
#endif

TEST_F(value, most_endpoints)
{
	const int partition = self->world.partition;
	struct hv_postmsg_partition_stats stats;
	int endpoints[64];
	unsigned int i;

	endpoints[0] = self->world.endpoint;
	for (i = 1; i < ARRAY_SIZE(endpoints); i++) {
		endpoints[i] = plain_endpoint(partition, 1);
		ASSERT_LE(0, endpoints[i]);
	}
	EXPECT_EQ(-ENOSPC, plain_endpoint(partition, 1));
	EXPECT_EQ(0, plain_partition_stats(partition, &stats));
	EXPECT_EQ(64, stats.endpoints);
	close(endpoints[63]);
	endpoints[63] = plain_endpoint(partition, 1);
	EXPECT_LE(0, endpoints[63]);
	EXPECT_EQ(-ENOSPC, plain_endpoint(partition, 1));
	for (i = 1; i < ARRAY_SIZE(endpoints); i++)
		close(endpoints[i]);
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

/* --- the statuses a host partition's post can get from a host endpoint --- */

/*
 * Post what is to be refused with @status: that is all the sender's statistics
 * show, and nothing was queued.
 */
static void post_refused(struct __test_metadata *_metadata, struct world *world,
			 int status, __u32 connection_id, __u32 type, __u32 size)
{
	struct hv_postmsg_post args = {
		.size = sizeof(args),
		.connection_id = connection_id,
		.message_type = type,
		.payload_size = size,
		.flags = HV_POSTMSG_POST_NONBLOCK,
	}, sent;
	struct snapshot before, after;

	args.status = ~status;
	memset(args.payload, 0xcc, sizeof(args.payload));
	take_snapshot(world, &before);
	sent = args;
	ASSERT_EQ(0, plain_ioctl(world->partition, HV_POSTMSG_POST, &args));
	EXPECT_EQ(status, args.status);
	sent.status = status;
	EXPECT_EQ(0, memcmp(&sent, &args, sizeof(args)));
	take_snapshot(world, &after);
	EXPECT_EQ(before.partition.status[status] + 1, after.partition.status[status]);
	after.partition.status[status]--;
	EXPECT_EQ(0, memcmp(&before.partition, &after.partition, sizeof(before.partition)));
	EXPECT_EQ(before.peer.posted, after.peer.posted);
	EXPECT_EQ(before.peer.queued, after.peer.queued);
	EXPECT_EQ(before.peer_port.posted, after.peer_port.posted);
	EXPECT_EQ(before.peer_port.free, after.peer_port.free);
	EXPECT_EQ(before.peer_port.high_water, after.peer_port.high_water);
}

TEST_F(value, status_success)
{
	struct hv_postmsg_partition_stats stats;

	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->world.partition, 1, 7));
	EXPECT_EQ(0, plain_partition_stats(self->world.partition, &stats));
	EXPECT_EQ(1, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(0, stats.posted);
	EXPECT_EQ(0, plain_partition_stats(self->world.peer, &stats));
	EXPECT_EQ(0, stats.status[HV_STATUS_SUCCESS]);
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(1, stats.queued);
	EXPECT_EQ(0, stats.delivered);
	EXPECT_EQ(1, stats.high_water);
	EXPECT_EQ(7, plain_read_word(self->world.peer_endpoint));
	EXPECT_EQ(0, plain_partition_stats(self->world.peer, &stats));
	EXPECT_EQ(1, stats.posted);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(1, stats.delivered);
	EXPECT_EQ(0, stats.freed);
}

/* Edges of what a message may be. */
TEST_F(value, status_edges)
{
	const __u32 types[] = { 1, 2, 0x7fffffff, 0x40000000 };
	const __u32 sizes[] = { 0, 1, 239, 240 };
	struct hv_postmsg_message message;
	__u8 payload[240];
	unsigned int i, j;

	for (i = 0; i < sizeof(payload); i++)
		payload[i] = 255 - i;
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			EXPECT_EQ(HV_STATUS_SUCCESS,
				  plain_post(self->world.partition, 0, 1, types[i],
					     payload, sizes[j]));
			ASSERT_EQ(256, plain_read(self->world.peer_endpoint, &message));
			EXPECT_EQ(types[i], message.type);
			EXPECT_EQ(sizes[j], message.payload_size);
			EXPECT_EQ(0, message.flags);
			EXPECT_EQ(0, message.reserved);
			EXPECT_EQ(1, message.port_id);
			EXPECT_EQ(0, memcmp(payload, message.payload, sizes[j]));
		}
	}
}

TEST_F(value, status_invalid_parameter)
{
	const __u32 types[] = { 0, 0x80000000, 0x80000001, 0xffffffff };
	const __u32 sizes[] = { 241, 256, 0x100, 0x10000, 0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		post_refused(_metadata, &self->world, HV_STATUS_INVALID_PARAMETER,
			     1, types[i], 8);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		post_refused(_metadata, &self->world, HV_STATUS_INVALID_PARAMETER,
			     1, 1, sizes[i]);
}

TEST_F(value, status_invalid_connection_id)
{
	unsigned int bit;

	post_refused(_metadata, &self->world, HV_STATUS_INVALID_CONNECTION_ID, 0, 1, 8);
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_CONNECTION_ID, 2, 1, 8);
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_CONNECTION_ID,
		     0xffffffff, 1, 8);
	/* A connection ID is 24 bits of 32; the others must be zero. */
	for (bit = 24; bit < 32; bit++)
		post_refused(_metadata, &self->world, HV_STATUS_INVALID_CONNECTION_ID,
			     1 | 1U << bit, 1, 8);
	ASSERT_EQ(0, plain_disconnect(self->world.partition, 1));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_CONNECTION_ID, 1, 1, 8);
}

TEST_F(value, status_port_deleted)
{
	ASSERT_EQ(0, plain_delete_port(self->world.peer, 1));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
	/* A new port with its number is not the one connected to. */
	ASSERT_EQ(0, plain_endpoint_port(self->world.peer, 1, self->world.peer_endpoint,
					 0, 0));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
}

TEST_F(value, status_partition_inactive)
{
	struct hv_postmsg_port_stats stats;

	ASSERT_EQ(0, plain_set_state(self->world.peer, HV_POSTMSG_STATE_INACTIVE));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
	ASSERT_EQ(0, plain_port_stats(self->world.peer, 1, &stats));
	EXPECT_EQ(1, stats.refused_port);
	ASSERT_EQ(0, plain_set_state(self->world.peer, HV_POSTMSG_STATE_ACTIVE));
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->world.partition, 1, 1));
	/* It is the receiver's state that counts. */
	ASSERT_EQ(0, plain_set_state(self->world.partition, HV_POSTMSG_STATE_INACTIVE));
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->world.partition, 1, 1));
}

TEST_F(value, status_partition_closed)
{
	close(self->world.peer);
	self->world.peer = -1;
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
}

TEST_F(value, status_event_port)
{
	struct hv_postmsg_port_stats stats;

	ASSERT_EQ(0, CREATE_PORT(self->world.peer, ENDPOINT_PORT(self->world.peer_endpoint),
				 .type = HV_POSTMSG_PORT_EVENT));
	ASSERT_EQ(0, plain_link(self->world.partition, 9, self->world.peer, 9));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 9, 1, 8);
	ASSERT_EQ(0, plain_port_stats(self->world.peer, 9, &stats));
	EXPECT_EQ(1, stats.refused_port);
	EXPECT_EQ(0, stats.posted);
}

TEST_F(value, status_endpoint_closed)
{
	struct hv_postmsg_port_stats stats;

	close(self->world.peer_endpoint);
	self->world.peer_endpoint = -1;
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
	ASSERT_EQ(0, plain_port_stats(self->world.peer, 1, &stats));
	EXPECT_EQ(1, stats.refused_port);
}

TEST_F(value, status_insufficient_buffers)
{
	struct hv_postmsg_port_stats stats;
	unsigned int i;

	for (i = 0; i < PLAIN_DEFAULT_BUFFERS; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->world.partition, 1, i));
	post_refused(_metadata, &self->world, HV_STATUS_INSUFFICIENT_BUFFERS, 1, 1, 8);
	ASSERT_EQ(0, plain_port_stats(self->world.peer, 1, &stats));
	EXPECT_EQ(1, stats.refused_buffers);
	EXPECT_EQ(16, stats.queued);
	EXPECT_EQ(0, stats.free);
	EXPECT_EQ(16, stats.high_water);
	for (i = 0; i < PLAIN_DEFAULT_BUFFERS; i++)
		EXPECT_EQ(i, plain_read_word(self->world.peer_endpoint));
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->world.partition, 1, i));
}

/* A host's post to a VP that is not there, and to one whose SynIC is off. */
TEST_F(value, status_of_vps)
{
	const int partition = self->world.partition;
	const int empty_vm = plain_new_vm();
	const int empty = plain_partition(self->world.device, 0, empty_vm);
	struct hv_postmsg_port_stats stats;

	ASSERT_LE(0, empty);
	ASSERT_EQ(0, plain_vp_port(partition, 9, HV_POSTMSG_PORT_MESSAGE, 0, 2));
	ASSERT_EQ(0, plain_vp_port(partition, 10, HV_POSTMSG_PORT_MESSAGE, 1, 2));
	ASSERT_EQ(0, plain_vp_port(empty, 1, HV_POSTMSG_PORT_MESSAGE, 0, 2));
	ASSERT_EQ(0, plain_vp_port(empty, 2, HV_POSTMSG_PORT_MESSAGE, HV_POSTMSG_ANY_VP, 2));
	ASSERT_EQ(0, plain_link(self->world.peer, 2, partition, 2));
	ASSERT_EQ(0, plain_link(self->world.peer, 9, partition, 9));
	ASSERT_EQ(0, plain_link(self->world.peer, 10, partition, 10));
	ASSERT_EQ(0, plain_link(self->world.peer, 21, empty, 1));
	ASSERT_EQ(0, plain_link(self->world.peer, 22, empty, 2));

	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, plain_post_word(self->world.peer, 2, 0));
	EXPECT_EQ(HV_STATUS_INVALID_SYNIC_STATE, plain_post_word(self->world.peer, 9, 0));
	EXPECT_EQ(HV_STATUS_INVALID_VP_INDEX, plain_post_word(self->world.peer, 10, 0));
	EXPECT_EQ(HV_STATUS_INVALID_VP_INDEX, plain_post_word(self->world.peer, 21, 0));
	EXPECT_EQ(HV_STATUS_INVALID_VP_INDEX, plain_post_word(self->world.peer, 22, 0));

	ASSERT_EQ(0, plain_port_stats(partition, 2, &stats));
	EXPECT_EQ(1, stats.refused_synic);
	EXPECT_EQ(0, stats.refused_vp);
	EXPECT_EQ(0, stats.posted);
	ASSERT_EQ(0, plain_port_stats(partition, 10, &stats));
	EXPECT_EQ(0, stats.refused_synic);
	EXPECT_EQ(1, stats.refused_vp);
	EXPECT_EQ(0, stats.posted);
	close(empty);
	close(empty_vm);
}

/* Of two faults the earlier check's status is told. */
TEST_F(value, status_order)
{
	/* 0x05 before 0x12. */
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PARAMETER, 99, 0, 8);
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PARAMETER, 99, 1, 241);
	/* 0x11 before 0x13. */
	while (plain_post_word(self->world.partition, 1, 0) == HV_STATUS_SUCCESS)
		;
	post_refused(_metadata, &self->world, HV_STATUS_INSUFFICIENT_BUFFERS, 1, 1, 8);
	ASSERT_EQ(0, plain_set_state(self->world.peer, HV_POSTMSG_STATE_INACTIVE));
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PORT_ID, 1, 1, 8);
	/* 0x05 before 0x11. */
	post_refused(_metadata, &self->world, HV_STATUS_INVALID_PARAMETER, 1, 0, 8);
}

/* Neither reading nor writing is what these files are for. */
TEST_F(value, no_such_operation)
{
	__u8 buffer[512] = {};

	EXPECT_EQ(-1, read(self->world.partition, buffer, sizeof(buffer)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->world.partition, buffer, sizeof(buffer)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, read(self->world.peer_port, buffer, sizeof(buffer)));
	EXPECT_EQ(-1, write(self->world.peer_port, buffer, sizeof(buffer)));
	EXPECT_EQ(-1, write(self->world.endpoint, buffer, sizeof(buffer)));
	EXPECT_EQ(-1, read(self->world.device, buffer, sizeof(buffer)));
	EXPECT_TRUE(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->world.partition, 0) ==
		    MAP_FAILED);
	EXPECT_TRUE(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->world.endpoint, 0) ==
		    MAP_FAILED);
	EXPECT_TRUE(unchanged(&self->world, &self->snapshot));
}

TEST_HARNESS_MAIN
