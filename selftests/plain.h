/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests share that call hv_postmsg and KVM by their ioctls alone.
 *
 * Every helper returns what the kernel said: a value of 0 or more, or -errno.
 * So a test names the errno it expects, and a child process can use them too.
 */
#ifndef SELFTESTS_PLAIN_H
#define SELFTESTS_PLAIN_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/hv_postmsg.h>
#include <linux/kvm.h>

/* The harness's setjmp(): what a test changes is not looked at behind it. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wclobbered"
#endif

#define HV_STATUS_SUCCESS			0x00
#define HV_STATUS_INVALID_HYPERCALL_CODE	0x02
#define HV_STATUS_INVALID_HYPERCALL_INPUT	0x03
#define HV_STATUS_INVALID_ALIGNMENT		0x04
#define HV_STATUS_INVALID_PARAMETER		0x05
#define HV_STATUS_ACCESS_DENIED			0x06
#define HV_STATUS_INVALID_VP_INDEX		0x0e
#define HV_STATUS_INVALID_PORT_ID		0x11
#define HV_STATUS_INVALID_CONNECTION_ID		0x12
#define HV_STATUS_INSUFFICIENT_BUFFERS		0x13
#define HV_STATUS_INVALID_SYNIC_STATE		0x18

#define PLAIN_MESSAGE_SIZE	256
#define PLAIN_DEFAULT_BUFFERS	16

/* Long enough that a thread which is going to wait does; no test relies on it. */
#define PLAIN_SETTLE_MS		100
/* Long enough for anything to happen on a slow emulated machine. */
#define PLAIN_PATIENCE_MS	20000

_Static_assert(sizeof(struct hv_postmsg_message) == PLAIN_MESSAGE_SIZE, "");

static inline int plain_ioctl(int fd, unsigned long command, void *argument)
{
	int ret = ioctl(fd, command, argument);

	return ret < 0 ? -errno : ret;
}

static inline int plain_open(void)
{
	int fd = open("/dev/hv_postmsg", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int plain_partition(int device, __u32 flags, int vm)
{
	struct hv_postmsg_create_partition args = {
		.size = sizeof(args),
		.flags = flags,
		.vm_fd = vm,
	};

	return plain_ioctl(device, HV_POSTMSG_CREATE_PARTITION, &args);
}

static inline int plain_host(int device)
{
	return plain_partition(device, HV_POSTMSG_PARTITION_HOST, -1);
}

/* A host partition for those who do not care about the device's file. */
static inline int plain_new_host(void)
{
	int device = plain_open();
	int partition;

	if (device < 0)
		return device;
	partition = plain_host(device);
	close(device);
	return partition;
}

static inline int plain_set_state(int partition, __u32 state)
{
	struct hv_postmsg_set_state args = {
		.size = sizeof(args),
		.state = state,
	};

	return plain_ioctl(partition, HV_POSTMSG_SET_STATE, &args);
}

static inline int plain_endpoint(int partition, __u32 depth)
{
	struct hv_postmsg_create_endpoint args = {
		.size = sizeof(args),
		.depth = depth,
	};

	return plain_ioctl(partition, HV_POSTMSG_CREATE_ENDPOINT, &args);
}

/* A port whose messages @endpoint receives. */
static inline int plain_endpoint_port(int partition, __u32 port_id, int endpoint,
				      __u32 buffers, __u32 flags)
{
	struct hv_postmsg_create_port args = {
		.size = sizeof(args),
		.flags = HV_POSTMSG_PORT_ENDPOINT | flags,
		.port_id = port_id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.endpoint_fd = endpoint,
		.buffers = buffers,
	};

	return plain_ioctl(partition, HV_POSTMSG_CREATE_PORT, &args);
}

/* A port of any type whose messages a VP receives. */
static inline int plain_vp_port(int partition, __u32 port_id, __u32 type,
				__u32 vp, __u32 sint)
{
	struct hv_postmsg_create_port args = {
		.size = sizeof(args),
		.port_id = port_id,
		.type = type,
		.sint = sint,
		.vp = vp,
		.endpoint_fd = -1,
	};

	return plain_ioctl(partition, HV_POSTMSG_CREATE_PORT, &args);
}

static inline int plain_port(int partition, unsigned long command, __u32 port_id)
{
	struct hv_postmsg_port args = {
		.size = sizeof(args),
		.port_id = port_id,
	};

	return plain_ioctl(partition, command, &args);
}

static inline int plain_delete_port(int partition, __u32 port_id)
{
	return plain_port(partition, HV_POSTMSG_DELETE_PORT, port_id);
}

static inline int plain_port_fd(int partition, __u32 port_id)
{
	return plain_port(partition, HV_POSTMSG_PORT_FD, port_id);
}

static inline int plain_connect(int partition, __u32 connection_id, int port_fd,
				__u32 flags)
{
	struct hv_postmsg_connect args = {
		.size = sizeof(args),
		.flags = flags,
		.connection_id = connection_id,
		.port_fd = port_fd,
	};

	return plain_ioctl(partition, HV_POSTMSG_CONNECT, &args);
}

static inline int plain_disconnect(int partition, __u32 connection_id)
{
	struct hv_postmsg_disconnect args = {
		.size = sizeof(args),
		.connection_id = connection_id,
	};

	return plain_ioctl(partition, HV_POSTMSG_DISCONNECT, &args);
}

/* Connect @from to port @port_id of @to. */
static inline int plain_link(int from, __u32 connection_id, int to, __u32 port_id)
{
	int fd = plain_port_fd(to, port_id);
	int ret;

	if (fd < 0)
		return fd;
	ret = plain_connect(from, connection_id, fd,
			    from == to ? HV_POSTMSG_CONNECT_SELF : 0);
	close(fd);
	return ret;
}

static inline int plain_reset_vp(int partition, __u32 vp)
{
	struct hv_postmsg_reset_vp args = {
		.size = sizeof(args),
		.vp = vp,
	};

	return plain_ioctl(partition, HV_POSTMSG_RESET_VP, &args);
}

static inline int plain_get_property(int partition, __u32 port_id,
				     __u32 property, __u64 *value)
{
	struct hv_postmsg_port_property args = {
		.size = sizeof(args),
		.port_id = port_id,
		.property = property,
		.value = *value,
	};
	int ret = plain_ioctl(partition, HV_POSTMSG_GET_PORT_PROPERTY, &args);

	*value = args.value;
	return ret;
}

static inline int plain_set_property(int partition, __u32 port_id,
				     __u32 property, __u64 value)
{
	struct hv_postmsg_port_property args = {
		.size = sizeof(args),
		.port_id = port_id,
		.property = property,
		.value = value,
	};

	return plain_ioctl(partition, HV_POSTMSG_SET_PORT_PROPERTY, &args);
}

static inline int plain_port_stats(int partition, __u32 port_id,
				   struct hv_postmsg_port_stats *stats)
{
	memset(stats, 0xcc, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->flags = 0;
	stats->port_id = port_id;
	return plain_ioctl(partition, HV_POSTMSG_PORT_STATS, stats);
}

static inline int plain_partition_stats(int partition,
					struct hv_postmsg_partition_stats *stats)
{
	memset(stats, 0xcc, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->flags = 0;
	return plain_ioctl(partition, HV_POSTMSG_PARTITION_STATS, stats);
}

/* Post; returns the HV_STATUS, or -errno where the ioctl failed. */
static inline int plain_post(int partition, __u32 flags, __u32 connection_id,
			     __u32 type, const void *payload, __u32 size)
{
	struct hv_postmsg_post args = {
		.size = sizeof(args),
		.flags = flags,
		.connection_id = connection_id,
		.message_type = type,
		.payload_size = size,
		.status = 0xcccccccc,
	};
	int ret;

	if (payload)
		memcpy(args.payload, payload,
		       size < sizeof(args.payload) ? size : sizeof(args.payload));
	ret = plain_ioctl(partition, HV_POSTMSG_POST, &args);
	return ret < 0 ? ret : (int)args.status;
}

/* Post one word without waiting. */
static inline int plain_post_word(int partition, __u32 connection_id, __u64 word)
{
	return plain_post(partition, HV_POSTMSG_POST_NONBLOCK, connection_id, 1,
			  &word, sizeof(word));
}

/* Read one message: its size, 0 at the end, or -errno. */
static inline int plain_read(int endpoint, struct hv_postmsg_message *message)
{
	int ret;

	memset(message, 0xcc, sizeof(*message));
	ret = read(endpoint, message, sizeof(*message));
	return ret < 0 ? -errno : ret;
}

/* Read one message posted by plain_post_word(): the word, or ~0. */
static inline __u64 plain_read_word(int endpoint)
{
	struct hv_postmsg_message message;
	__u64 word;

	if (plain_read(endpoint, &message) != sizeof(message) ||
	    message.payload_size != sizeof(word))
		return ~0ULL;
	memcpy(&word, message.payload, sizeof(word));
	return word;
}

/*
 * The first ioctl that a dead partition's file does not answer with ESHUTDOWN,
 * or 0.  @port_fd is a living partition's port.
 */
static inline unsigned int plain_not_shut_down(int partition, int port_fd)
{
	struct hv_postmsg_port_stats port_stats;
	struct hv_postmsg_partition_stats stats;
	__u64 value = 0;

	if (plain_set_state(partition, HV_POSTMSG_STATE_ACTIVE) != -ESHUTDOWN)
		return HV_POSTMSG_SET_STATE;
	if (plain_vp_port(partition, 9, HV_POSTMSG_PORT_MESSAGE, 0, 1) != -ESHUTDOWN)
		return HV_POSTMSG_CREATE_PORT;
	if (plain_delete_port(partition, 1) != -ESHUTDOWN)
		return HV_POSTMSG_DELETE_PORT;
	if (plain_port_fd(partition, 1) != -ESHUTDOWN)
		return HV_POSTMSG_PORT_FD;
	if (plain_connect(partition, 9, port_fd, 0) != -ESHUTDOWN)
		return HV_POSTMSG_CONNECT;
	if (plain_disconnect(partition, 1) != -ESHUTDOWN)
		return HV_POSTMSG_DISCONNECT;
	if (plain_get_property(partition, 1, HV_POSTMSG_PROPERTY_POST_COUNT, &value) !=
	    -ESHUTDOWN)
		return HV_POSTMSG_GET_PORT_PROPERTY;
	if (plain_set_property(partition, 1, HV_POSTMSG_PROPERTY_PREFERRED_VP, 0) !=
	    -ESHUTDOWN)
		return HV_POSTMSG_SET_PORT_PROPERTY;
	if (plain_reset_vp(partition, 0) != -ESHUTDOWN)
		return HV_POSTMSG_RESET_VP;
	if (plain_post_word(partition, 1, 0) != -ESHUTDOWN)
		return HV_POSTMSG_POST;
	if (plain_endpoint(partition, 0) != -ESHUTDOWN)
		return HV_POSTMSG_CREATE_ENDPOINT;
	if (plain_port_stats(partition, 1, &port_stats) != -ESHUTDOWN)
		return HV_POSTMSG_PORT_STATS;
	if (plain_partition_stats(partition, &stats) != -ESHUTDOWN)
		return HV_POSTMSG_PARTITION_STATS;
	return 0;
}

/* How often this thread gave its CPU away of its own accord. */
static inline long plain_times_slept(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static inline void plain_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* The events of @fd within @timeout_ms. */
static inline int plain_poll(int fd, short events, int timeout_ms)
{
	struct pollfd poller = { .fd = fd, .events = events };
	int ret = poll(&poller, 1, timeout_ms);

	return ret < 0 ? -errno : poller.revents;
}

static inline void plain_sleep_ms(unsigned int ms)
{
	struct timespec time = {
		.tv_sec = ms / 1000,
		.tv_nsec = (ms % 1000) * 1000000L,
	};

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* Send one file to the process at the other end of @socket. */
static inline int plain_send_fd(int socket, int fd)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	char byte = 'f';
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -errno;
}

/* Take one file from the process at the other end of @socket. */
static inline int plain_receive_fd(int socket)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.buffer,
		.msg_controllen = sizeof(control.buffer),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

/* How many files this process has open. */
static inline int plain_open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	if (!directory)
		return -errno;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* What keeps the module from being removed. */
static inline long plain_module_users(void)
{
	FILE *file = fopen("/sys/module/hv_postmsg/refcnt", "re");
	long users = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &users) != 1)
		users = -1;
	fclose(file);
	return users;
}

/* --- KVM --- */

static inline int plain_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static inline int plain_vm(int kvm)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	return vm < 0 ? -errno : vm;
}

/* A VM as this module wants it: with its interrupt controllers in the kernel. */
static inline int plain_new_vm(void)
{
	int kvm = plain_kvm();
	int vm, ret;

	if (kvm < 0)
		return kvm;
	vm = plain_vm(kvm);
	close(kvm);
	if (vm < 0)
		return vm;
	ret = plain_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
	if (ret < 0) {
		close(vm);
		return ret;
	}
	return vm;
}

static inline int plain_vcpu(int vm, unsigned long id)
{
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, id);

	return vcpu < 0 ? -errno : vcpu;
}

#endif /* SELFTESTS_PLAIN_H */
