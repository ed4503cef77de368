// SPDX-License-Identifier: GPL-2.0-only
/*
 * post_self among many: ports and connections of a partition, VPs of a VM
 */
#include <unistd.h>

#include "bench.h"

/* Where the random numbers start. */
#define SEED		0x9e3779b97f4a7c15ULL

#define MAX_PORTS	65536

static uint64_t next_random(void)
{
	static uint64_t state = SEED;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

static uint32_t random_id(void)
{
	return next_random() & HV_POSTMSG_ID_MAX;
}

/*
 * One more port of VP 0, and a connection to it; returns the connection.  With one
 * buffer: all of a partition's ports have 65,536 together.
 */
static uint32_t add_port(int partition)
{
	uint32_t port, connection;
	int port_fd, ret;

	do {
		port = random_id();
		ret = __hvpm_create_port(partition, port, 0, BENCH_SINT, 0, 1);
	} while (ret && errno == EEXIST);
	TEST_ASSERT(!ret, "HV_POSTMSG_CREATE_PORT: %s", strerror(errno));

	port_fd = hvpm_port_fd(partition, port);
	do {
		connection = random_id();
		ret = __hvpm_connect(partition, connection, port_fd,
				     HV_POSTMSG_CONNECT_SELF);
	} while (ret && errno == EEXIST);
	TEST_ASSERT(!ret, "HV_POSTMSG_CONNECT: %s", strerror(errno));
	close(port_fd);
	return connection;
}

static struct hvpm_vm *create_vm(unsigned int vps)
{
	struct hvpm_vm *vm = hvpm_vm_create(vps, NULL);
	unsigned int i;

	for (i = 0; i < vps; i++) {
		hvpm_vp_enable_synic(&vm->vps[i], BENCH_SINT);
		bench_poll_sint(&vm->vps[i]);
		hvpm_vp_call(&vm->vps[i], bench_guest_settle, 0);
	}
	hvpm_vm_attach(vm, 0);
	return vm;
}

/* Posts by any of so many connections, to as many ports. */
static void count_ports(void)
{
	static const unsigned int counts[] = { 1, 100, 10000, MAX_PORTS };
	static uint32_t connections[MAX_PORTS];
	struct hvpm_vm *vm = create_vm(1);
	struct hvpm_vp *vp = &vm->vps[0];
	unsigned int i, j, ports = 0;
	char name[32];

	hvpm_vp_fill(vp, 0, 0, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(name, sizeof(name), "ports_%u", counts[i]);
		if (!bench_wanted(name, NULL))
			continue;
		while (ports < counts[i])
			connections[ports++] = add_port(vm->partition);
		for (j = 0; j < BENCH_ROUNDS; j++)
			bench_connections[j] = connections[next_random() % ports];
		sync_global_to_guest(vm->vm, bench_connections);
		bench_count_calls(vp, name, (struct bench_plan) {
			.control = HVPM_POST,
			.gpa = hvpm_vp_input_gpa(vp),
			.vary = true,
		});
	}
	hvpm_vm_free(vm);
}

/* Posts by the last of so many VPs to itself. */
static void count_vps(void)
{
	static const unsigned int counts[] = { 1, 8, 64 };
	struct hvpm_vm *vm;
	struct hvpm_vp *vp;
	char name[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(name, sizeof(name), "vps_%u", counts[i]);
		if (!bench_wanted(name, NULL))
			continue;
		vm = create_vm(counts[i]);
		vp = &vm->vps[counts[i] - 1];
		hvpm_create_port(vm->partition, BENCH_PORT, vp->index, BENCH_SINT, 0, 0);
		hvpm_join(vm->partition, BENCH_CONNECTION, vm->partition, BENCH_PORT);
		hvpm_vp_fill(vp, 0, BENCH_CONNECTION, BENCH_TYPE, HV_POSTMSG_PAYLOAD_MAX);
		bench_count_calls(vp, name, (struct bench_plan) {
			.control = HVPM_POST,
			.gpa = hvpm_vp_input_gpa(vp),
		});
		hvpm_vm_free(vm);
	}
}

void bench_many(void)
{
	if (bench_wanted("ports_1", "ports_100", "ports_10000", "ports_65536", NULL))
		count_ports();
	if (bench_wanted("vps_1", "vps_8", "vps_64", NULL))
		count_vps();
}
