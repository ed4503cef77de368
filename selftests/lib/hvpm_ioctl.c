// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of /dev/hv_postmsg
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "hvpm.h"

/*
 * The ports a process has created, for hvpm_close_partition().  One whose
 * partition is gone is as good as none, also if the number is another's now.
 */
static struct {
	int partition;
	uint32_t id;
} ports[1024];
static unsigned int nr_ports;

static void remember_port(int partition, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < nr_ports; i++)
		if (ports[i].partition == partition && ports[i].id == id)
			return;
	if (nr_ports == ARRAY_SIZE(ports))
		return;
	ports[nr_ports].partition = partition;
	ports[nr_ports++].id = id;
}

int __hvpm_device(void)
{
	static int device = -1;

	if (device < 0)
		device = open(HVPM_DEVICE, O_RDWR | O_CLOEXEC);
	return device;
}

int hvpm_device(void)
{
	int device = __hvpm_device();

	TEST_ASSERT(device >= 0, "open(%s): %s", HVPM_DEVICE, strerror(errno));
	return device;
}

int __hvpm_ioctl(int fd, unsigned long command, void *argument)
{
	return ioctl(fd, command, argument);
}

int hvpm_ioctl_named(int fd, unsigned long command, void *argument,
		     const char *name, const char *file, unsigned int line)
{
	int ret = __hvpm_ioctl(fd, command, argument);

	test_assert(ret >= 0, name, file, line, "%s: %s", name,
		    strerror(errno));
	return ret;
}

int __hvpm_create_partition(int vm_fd, uint32_t flags)
{
	struct hv_postmsg_create_partition create = {
		.size = sizeof(create),
		.flags = flags,
		.vm_fd = vm_fd,
	};

	return __hvpm_ioctl(hvpm_device(), HV_POSTMSG_CREATE_PARTITION, &create);
}

int hvpm_create_partition(int vm_fd, uint32_t flags)
{
	int partition = __hvpm_create_partition(vm_fd, flags);

	TEST_ASSERT(partition >= 0, "HV_POSTMSG_CREATE_PARTITION: %s",
		    strerror(errno));
	return partition;
}

int hvpm_create_host_partition(void)
{
	return hvpm_create_partition(-1, HV_POSTMSG_PARTITION_HOST);
}

void hvpm_close_partition(int partition)
{
	struct hv_postmsg_port_stats stats = { .size = sizeof(stats) };
	unsigned int i;

	for (i = 0; i < nr_ports; i++) {
		if (ports[i].partition != partition)
			continue;
		stats.port_id = ports[i].id;
		if (!__hvpm_ioctl(partition, HV_POSTMSG_PORT_STATS, &stats))
			hvpm_check_port(partition, stats.port_id);
	}
	close(partition);
}

int __hvpm_set_state(int partition, uint32_t state)
{
	struct hv_postmsg_set_state set = {
		.size = sizeof(set),
		.state = state,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_SET_STATE, &set);
}

void hvpm_set_state(int partition, uint32_t state)
{
	TEST_ASSERT(!__hvpm_set_state(partition, state),
		    "HV_POSTMSG_SET_STATE: %s", strerror(errno));
}

int __hvpm_create_port(int partition, uint32_t port_id, uint32_t vp,
		       uint32_t sint, uint32_t flags, uint32_t buffers)
{
	struct hv_postmsg_create_port create = {
		.size = sizeof(create),
		.flags = flags,
		.port_id = port_id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = sint,
		.vp = vp,
		.endpoint_fd = -1,
		.buffers = buffers,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_CREATE_PORT, &create);
}

void hvpm_create_port(int partition, uint32_t port_id, uint32_t vp,
		      uint32_t sint, uint32_t flags, uint32_t buffers)
{
	TEST_ASSERT(!__hvpm_create_port(partition, port_id, vp, sint, flags,
					buffers),
		    "HV_POSTMSG_CREATE_PORT: %s", strerror(errno));
	remember_port(partition, port_id);
}

void hvpm_create_event_port(int partition, uint32_t port_id, uint32_t vp,
			    uint32_t sint, uint32_t flags)
{
	struct hv_postmsg_create_port create = {
		.size = sizeof(create),
		.flags = flags,
		.port_id = port_id,
		.type = HV_POSTMSG_PORT_EVENT,
		.sint = sint,
		.vp = vp,
		.endpoint_fd = -1,
	};

	hvpm_ioctl(partition, HV_POSTMSG_CREATE_PORT, &create);
}

void hvpm_create_endpoint_port(int partition, uint32_t port_id, int endpoint,
			       uint32_t flags, uint32_t buffers)
{
	struct hv_postmsg_create_port create = {
		.size = sizeof(create),
		.flags = flags | HV_POSTMSG_PORT_ENDPOINT,
		.port_id = port_id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.endpoint_fd = endpoint,
		.buffers = buffers,
	};

	hvpm_ioctl(partition, HV_POSTMSG_CREATE_PORT, &create);
	remember_port(partition, port_id);
}

int hvpm_create_endpoint(int partition, uint32_t depth)
{
	struct hv_postmsg_create_endpoint create = {
		.size = sizeof(create),
		.depth = depth,
	};

	return hvpm_ioctl(partition, HV_POSTMSG_CREATE_ENDPOINT, &create);
}

int __hvpm_delete_port(int partition, uint32_t port_id)
{
	struct hv_postmsg_port port = {
		.size = sizeof(port),
		.port_id = port_id,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_DELETE_PORT, &port);
}

void hvpm_delete_port(int partition, uint32_t port_id)
{
	TEST_ASSERT(!__hvpm_delete_port(partition, port_id),
		    "HV_POSTMSG_DELETE_PORT: %s", strerror(errno));
}

int __hvpm_port_fd(int partition, uint32_t port_id)
{
	struct hv_postmsg_port port = {
		.size = sizeof(port),
		.port_id = port_id,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_PORT_FD, &port);
}

int hvpm_port_fd(int partition, uint32_t port_id)
{
	int port_fd = __hvpm_port_fd(partition, port_id);

	TEST_ASSERT(port_fd >= 0, "HV_POSTMSG_PORT_FD: %s", strerror(errno));
	return port_fd;
}

int __hvpm_connect(int partition, uint32_t connection_id, int port_fd,
		   uint32_t flags)
{
	struct hv_postmsg_connect connect = {
		.size = sizeof(connect),
		.flags = flags,
		.connection_id = connection_id,
		.port_fd = port_fd,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_CONNECT, &connect);
}

void hvpm_connect(int partition, uint32_t connection_id, int port_fd,
		  uint32_t flags)
{
	TEST_ASSERT(!__hvpm_connect(partition, connection_id, port_fd, flags),
		    "HV_POSTMSG_CONNECT: %s", strerror(errno));
}

int __hvpm_disconnect(int partition, uint32_t connection_id)
{
	struct hv_postmsg_disconnect disconnect = {
		.size = sizeof(disconnect),
		.connection_id = connection_id,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_DISCONNECT, &disconnect);
}

void hvpm_disconnect(int partition, uint32_t connection_id)
{
	TEST_ASSERT(!__hvpm_disconnect(partition, connection_id),
		    "HV_POSTMSG_DISCONNECT: %s", strerror(errno));
}

void hvpm_join(int sender, uint32_t connection_id, int receiver, uint32_t port_id)
{
	int port_fd = hvpm_port_fd(receiver, port_id);

	hvpm_connect(sender, connection_id, port_fd,
		     sender == receiver ? HV_POSTMSG_CONNECT_SELF : 0);
	close(port_fd);
}

int __hvpm_reset_vp(int partition, uint32_t vp)
{
	struct hv_postmsg_reset_vp reset = {
		.size = sizeof(reset),
		.vp = vp,
	};

	return __hvpm_ioctl(partition, HV_POSTMSG_RESET_VP, &reset);
}

void hvpm_reset_vp(int partition, uint32_t vp)
{
	TEST_ASSERT(!__hvpm_reset_vp(partition, vp), "HV_POSTMSG_RESET_VP: %s",
		    strerror(errno));
}

int __hvpm_post(int partition, uint32_t connection_id, uint32_t type,
		const void *payload, uint32_t size, uint32_t flags,
		uint32_t *status)
{
	struct hv_postmsg_post post = {
		.size = sizeof(post),
		.flags = flags,
		.connection_id = connection_id,
		.message_type = type,
		.payload_size = size,
		.status = 0xdeadbeef,
	};
	int ret;

	if (payload)
		memcpy(post.payload, payload,
		       size < sizeof(post.payload) ? size : sizeof(post.payload));
	ret = __hvpm_ioctl(partition, HV_POSTMSG_POST, &post);
	*status = post.status;
	return ret;
}

uint32_t hvpm_post(int partition, uint32_t connection_id, uint32_t type,
		   uint32_t size, uint32_t flags, uint32_t sender,
		   uint64_t sequence)
{
	uint8_t payload[HV_POSTMSG_PAYLOAD_MAX];
	uint32_t status;
	int ret;

	hvpm_payload_fill(payload, type, size, sender, sequence);
	ret = __hvpm_post(partition, connection_id, type, payload, size, flags,
			  &status);
	TEST_ASSERT(!ret, "HV_POSTMSG_POST: %s", strerror(errno));
	return status;
}

void hvpm_port_stats(int partition, uint32_t port_id,
		     struct hv_postmsg_port_stats *stats)
{
	memset(stats, 0xcc, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->flags = 0;
	stats->port_id = port_id;
	hvpm_ioctl(partition, HV_POSTMSG_PORT_STATS, stats);
}

void hvpm_partition_stats(int partition, struct hv_postmsg_partition_stats *stats)
{
	memset(stats, 0xcc, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->flags = 0;
	hvpm_ioctl(partition, HV_POSTMSG_PARTITION_STATS, stats);
}

void hvpm_check_port(int partition, uint32_t port_id)
{
	struct hv_postmsg_port_stats stats;

	hvpm_port_stats(partition, port_id, &stats);
	TEST_ASSERT(stats.free + stats.queued == stats.buffers,
		    "port 0x%x: %u free + %llu queued != %u buffers", port_id,
		    stats.free, stats.queued, stats.buffers);
	TEST_ASSERT(stats.posted == stats.delivered + stats.freed + stats.queued,
		    "port 0x%x: posted %llu != delivered %llu + freed %llu + queued %llu",
		    port_id, stats.posted, stats.delivered, stats.freed,
		    stats.queued);
	TEST_ASSERT(stats.high_water <= stats.buffers &&
		    stats.queued <= stats.high_water,
		    "port 0x%x: high water %u, queued %llu, buffers %u", port_id,
		    stats.high_water, stats.queued, stats.buffers);
}

bool hvpm_spawn(pid_t *child, int sockets[2])
{
	pid_t parent = getpid();

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets),
		    "socketpair: %s", strerror(errno));
	*child = fork();
	TEST_ASSERT(*child >= 0, "fork: %s", strerror(errno));
	if (*child) {
		close(sockets[1]);
		return false;
	}
	close(sockets[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return true;
}

void hvpm_send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	TEST_ASSERT(sendmsg(socket, &msg, 0) == 1, "sendmsg: %s",
		    strerror(errno));
}

int hvpm_receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int fd;

	TEST_ASSERT(recvmsg(socket, &msg, 0) == 1, "recvmsg: %s",
		    strerror(errno));
	cmsg = CMSG_FIRSTHDR(&msg);
	TEST_ASSERT(cmsg && cmsg->cmsg_type == SCM_RIGHTS, "no file came");
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(int));
	return fd;
}
