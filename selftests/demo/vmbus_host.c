// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's end of VMBus for one VM of another process: takes the VM from its
 * VMM, attaches hv_postmsg to it and answers the guest's VMBus handshake. The
 * guest's posts come out of an endpoint, the answers are posted as the host
 * partition.
 *
 *   Initiate Contact   ->  Version Response
 *   Request Offers     ->  one Offer Channel, All Offers Delivered
 *   Unload             ->  Unload Response
 *
 * stdout tells the story, one line an event. SIGTERM ends the program, with
 * what the module counted as its last line; so does the end of the VM, but then
 * the counters are gone with it and the exit status is 1.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/hv_postmsg.h>
#include <linux/types.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/*
 * VMBus, as a guest's driver has it: include/linux/hyperv.h and
 * drivers/hv/hyperv_vmbus.h of Linux. All of it is little-endian.
 */

/* The message type that carries VMBus. */
#define HV_MESSAGE_TYPE_CHANNEL		1

#define VMBUS_MESSAGE_SINT		2

/* What a guest posts to: 4 from protocol 5.0 on, 1 before. */
#define VMBUS_MESSAGE_CONNECTION_ID	1
#define VMBUS_MESSAGE_CONNECTION_ID_4	4

/* The guest's port for what the host posts. */
#define VMBUS_MESSAGE_PORT_ID		1

enum {
	CHANNELMSG_OFFERCHANNEL = 1,
	CHANNELMSG_REQUESTOFFERS = 3,
	CHANNELMSG_ALLOFFERS_DELIVERED = 4,
	CHANNELMSG_RELID_RELEASED = 13,
	CHANNELMSG_INITIATE_CONTACT = 14,
	CHANNELMSG_VERSION_RESPONSE = 15,
	CHANNELMSG_UNLOAD = 16,
	CHANNELMSG_UNLOAD_RESPONSE = 17,
};

#define VMBUS_VERSION(major, minor)	((__u32)(major) << 16 | (minor))
#define VMBUS_MAJOR(version)		((version) >> 16)
#define VMBUS_MINOR(version)		((version) & 0xffff)

/* The versions there are, newest first. */
static const __u32 vmbus_versions[] = {
	VMBUS_VERSION(5, 3), VMBUS_VERSION(5, 2), VMBUS_VERSION(5, 1),
	VMBUS_VERSION(5, 0), VMBUS_VERSION(4, 1), VMBUS_VERSION(4, 0),
};

#define VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE	1

struct vmbus_header {
	__u32 msgtype;
	__u32 padding;
};

struct vmbus_initiate_contact {
	struct vmbus_header header;
	__u32 version;
	__u32 target_vp;
	/* Before 5.0 the address of the interrupt page. */
	__u8 msg_sint;
	__u8 padding[7];
	__u64 monitor_page1;
	__u64 monitor_page2;
};

struct vmbus_version_response {
	struct vmbus_header header;
	__u8 version_supported;
	__u8 connection_state;
	__u16 padding;
	__u32 msg_conn_id;
};

struct vmbus_offer_channel {
	struct vmbus_header header;
	__u8 if_type[16];
	__u8 if_instance[16];
	__u32 reserved[4];
	__u16 chn_flags;
	__u16 mmio_megabytes;
	__u8 user_defined[120];
	__u16 sub_channel_index;
	__u16 reserved3;
	__u32 child_relid;
	__u8 monitor_id;
	__u8 monitor_allocated;
	__u16 is_dedicated_interrupt;
	__u32 connection_id;
};

/* The guest's driver has them packed. */
static_assert(sizeof(struct vmbus_header) == 8);
static_assert(sizeof(struct vmbus_initiate_contact) == 40);
static_assert(offsetof(struct vmbus_initiate_contact, msg_sint) == 16);
static_assert(sizeof(struct vmbus_version_response) == 16);
static_assert(offsetof(struct vmbus_offer_channel, chn_flags) == 56);
static_assert(offsetof(struct vmbus_offer_channel, child_relid) == 184);
static_assert(sizeof(struct vmbus_offer_channel) == 196);

/* The heartbeat of Hyper-V's integration services, which every guest has. */
#define OFFER_CLASS	"57164f39-9115-4e78-ab55-382f3bd5422d"
#define OFFER_INSTANCE	"fd149e91-82e0-4a7d-afa6-2a4166cbd7c0"
#define OFFER_RELID	1
/* As Hyper-V numbers the connection of a channel's events: channel and SINT. */
#define OFFER_CONNECTION_ID	(OFFER_RELID | VMBUS_MESSAGE_SINT << 12)

/* The host partition's connection to the guest; the number is ours to choose. */
#define GUEST_CONNECTION_ID	1

static struct {
	int device;
	/* The VM and this process. */
	int guest, host;
	int endpoint;
	/* The guest's port exists, for this VP and SINT. */
	bool listening;
	__u32 vp, sint;
	/* The protocol: newest to accept, what was agreed on (0: nothing). */
	__u32 newest, version;
} bus;

/* --- the VM of another process --- */

/* The VM's file descriptor in process @pid, or -1 while there is none. */
static int find_vm(pid_t pid)
{
	char path[64], target[64];
	struct dirent *entry;
	int number = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while (number < 0 && (entry = readdir(dir))) {
		ssize_t size = readlinkat(dirfd(dir), entry->d_name, target,
					  sizeof(target) - 1);

		if (size < 0)
			continue;
		target[size] = 0;
		if (!strcmp(target, "anon_inode:kvm-vm"))
			number = atoi(entry->d_name);
	}
	closedir(dir);
	return number;
}

static int take_vm(pid_t pid)
{
	int pidfd, number, fd;

	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		err(1, "pidfd_open of process %d", pid);
	number = find_vm(pid);
	if (number < 0)
		errx(1, "process %d has no KVM VM", pid);
	fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		err(1, "pidfd_getfd of fd %d of process %d", number, pid);
	close(pidfd);
	printf("process %d has its VM at fd %d\n", pid, number);
	return fd;
}

/* --- partitions, ports, connections --- */

static int create_partition(__u32 flags, int vm)
{
	struct hv_postmsg_create_partition args = {
		.size = sizeof(args), .flags = flags, .vm_fd = vm,
	};
	int fd = ioctl(bus.device, HV_POSTMSG_CREATE_PARTITION, &args);

	if (fd < 0)
		err(1, "HV_POSTMSG_CREATE_PARTITION");
	return fd;
}

/* Connect @sender's connection @id to port @port of @receiver. */
static void make_connection(int sender, __u32 id, int receiver, __u32 port)
{
	struct hv_postmsg_port name = { .size = sizeof(name), .port_id = port };
	struct hv_postmsg_connect connect = {
		.size = sizeof(connect), .connection_id = id,
	};

	connect.port_fd = ioctl(receiver, HV_POSTMSG_PORT_FD, &name);
	if (connect.port_fd < 0)
		err(1, "HV_POSTMSG_PORT_FD of port %u", port);
	if (ioctl(sender, HV_POSTMSG_CONNECT, &connect))
		err(1, "HV_POSTMSG_CONNECT of connection %u", id);
	close(connect.port_fd);
}

/* What the guest posts: a port for each connection, all feed one endpoint. */
static void listen_to_guest(void)
{
	static const __u32 ids[] = {
		VMBUS_MESSAGE_CONNECTION_ID, VMBUS_MESSAGE_CONNECTION_ID_4,
	};
	struct hv_postmsg_create_endpoint endpoint = { .size = sizeof(endpoint) };
	size_t i;

	bus.endpoint = ioctl(bus.host, HV_POSTMSG_CREATE_ENDPOINT, &endpoint);
	if (bus.endpoint < 0)
		err(1, "HV_POSTMSG_CREATE_ENDPOINT");
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		struct hv_postmsg_create_port port = {
			.size = sizeof(port),
			.flags = HV_POSTMSG_PORT_ENDPOINT,
			.port_id = ids[i],
			.type = HV_POSTMSG_PORT_MESSAGE,
			.endpoint_fd = bus.endpoint,
		};

		if (ioctl(bus.host, HV_POSTMSG_CREATE_PORT, &port))
			err(1, "HV_POSTMSG_CREATE_PORT of host port %u", ids[i]);
		make_connection(bus.guest, ids[i], bus.host, ids[i]);
	}
}

/* Where the guest listens; each contact may name another place. */
static void listen_in_guest(__u32 vp, __u32 sint)
{
	struct hv_postmsg_disconnect disconnect = {
		.size = sizeof(disconnect), .connection_id = GUEST_CONNECTION_ID,
	};
	struct hv_postmsg_port old = {
		.size = sizeof(old), .port_id = VMBUS_MESSAGE_PORT_ID,
	};
	struct hv_postmsg_create_port port = {
		.size = sizeof(port),
		.port_id = VMBUS_MESSAGE_PORT_ID,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = sint,
		.vp = vp,
		.endpoint_fd = -1,
	};

	if (bus.listening && bus.vp == vp && bus.sint == sint)
		return;
	if (bus.listening) {
		if (ioctl(bus.host, HV_POSTMSG_DISCONNECT, &disconnect))
			err(1, "HV_POSTMSG_DISCONNECT");
		if (ioctl(bus.guest, HV_POSTMSG_DELETE_PORT, &old))
			err(1, "HV_POSTMSG_DELETE_PORT");
	}
	if (ioctl(bus.guest, HV_POSTMSG_CREATE_PORT, &port))
		err(1, "HV_POSTMSG_CREATE_PORT of the guest's port");
	make_connection(bus.host, GUEST_CONNECTION_ID, bus.guest,
			VMBUS_MESSAGE_PORT_ID);
	bus.listening = true;
	bus.vp = vp;
	bus.sint = sint;
	printf("guest: port %d is VP %u, SINT %u\n", VMBUS_MESSAGE_PORT_ID, vp,
	       sint);
}

static void post(const void *message, size_t size)
{
	struct hv_postmsg_post args = {
		.size = sizeof(args),
		.connection_id = GUEST_CONNECTION_ID,
		.message_type = HV_MESSAGE_TYPE_CHANNEL,
		.payload_size = size,
	};

	memcpy(args.payload, message, size);
	if (ioctl(bus.host, HV_POSTMSG_POST, &args))
		err(1, "HV_POSTMSG_POST");
	if (args.status)
		errx(1, "the guest's port refuses a message with status %#x",
		     args.status);
}

/* --- the handshake --- */

/* Write @text, a GUID, as the 16 bytes it is in memory. */
static void put_guid(__u8 *bytes, const char *text)
{
	/* The first three groups are little-endian numbers. */
	static const __u8 order[16] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		unsigned int byte;

		if (*text == '-')
			text++;
		if (sscanf(text, "%2x", &byte) != 1)
			errx(1, "bad GUID");
		bytes[order[i]] = byte;
		text += 2;
	}
}

static void initiate_contact(const struct vmbus_initiate_contact *contact)
{
	struct vmbus_version_response response = {
		.header.msgtype = CHANNELMSG_VERSION_RESPONSE,
	};
	__u32 version = contact->version, sint = VMBUS_MESSAGE_SINT;
	bool is_5_0 = version >= VMBUS_VERSION(5, 0);
	size_t i;

	if (is_5_0)
		sint = contact->msg_sint;
	if (!sint || sint > 15) {
		printf("guest: Initiate Contact for SINT %u, ignored\n", sint);
		return;
	}
	listen_in_guest(contact->target_vp, sint);
	for (i = 0; i < ARRAY_SIZE(vmbus_versions); i++)
		if (version == vmbus_versions[i] && version <= bus.newest)
			response.version_supported = 1;
	if (response.version_supported && is_5_0)
		response.msg_conn_id = VMBUS_MESSAGE_CONNECTION_ID_4;
	bus.version = response.version_supported ? version : 0;
	printf("host: Version Response, %u.%u is %ssupported\n",
	       VMBUS_MAJOR(version), VMBUS_MINOR(version),
	       response.version_supported ? "" : "not ");
	post(&response, sizeof(response));
}

static void request_offers(void)
{
	struct vmbus_offer_channel offer = {
		.header.msgtype = CHANNELMSG_OFFERCHANNEL,
		.chn_flags = VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE,
		.child_relid = OFFER_RELID,
		.is_dedicated_interrupt = 1,
		.connection_id = OFFER_CONNECTION_ID,
	};
	struct vmbus_header end = { .msgtype = CHANNELMSG_ALLOFFERS_DELIVERED };

	put_guid(offer.if_type, OFFER_CLASS);
	put_guid(offer.if_instance, OFFER_INSTANCE);
	printf("host: Offer Channel, device %s of class %s\n", OFFER_INSTANCE,
	       OFFER_CLASS);
	post(&offer, sizeof(offer));
	printf("host: All Offers Delivered\n");
	post(&end, sizeof(end));
}

static void unload(void)
{
	struct vmbus_header response = { .msgtype = CHANNELMSG_UNLOAD_RESPONSE };

	bus.version = 0;
	printf("host: Unload Response\n");
	post(&response, sizeof(response));
}

static void answer(const struct hv_postmsg_message *message)
{
	const struct vmbus_header *header = (const void *)message->payload;
	unsigned long long port = message->port_id;

	if (message->type != HV_MESSAGE_TYPE_CHANNEL ||
	    message->payload_size < sizeof(*header)) {
		printf("guest: message of type %u, size %u on connection %llu, ignored\n",
		       message->type, message->payload_size, port);
		return;
	}
	switch (header->msgtype) {
	case CHANNELMSG_INITIATE_CONTACT: {
		const struct vmbus_initiate_contact *contact = (const void *)header;

		if (message->payload_size < sizeof(*contact))
			break;
		printf("guest: Initiate Contact on connection %llu, version %u.%u\n",
		       port, VMBUS_MAJOR(contact->version),
		       VMBUS_MINOR(contact->version));
		initiate_contact(contact);
		return;
	}
	case CHANNELMSG_REQUESTOFFERS:
		if (!bus.version)
			break;
		printf("guest: Request Offers on connection %llu\n", port);
		request_offers();
		return;
	case CHANNELMSG_UNLOAD:
		/* Also from a guest that no version was agreed on with. */
		if (!bus.listening)
			break;
		printf("guest: Unload on connection %llu\n", port);
		unload();
		return;
	case CHANNELMSG_RELID_RELEASED:
		/* The guest forgets the channel; nothing here to forget. */
		printf("guest: Relid Released on connection %llu\n", port);
		return;
	}
	printf("guest: VMBus message %u, size %u on connection %llu, ignored\n",
	       header->msgtype, message->payload_size, port);
}

/* Answer what is there. Returns false when nothing will come any more. */
static bool answer_all(void)
{
	struct hv_postmsg_message messages[16];
	ssize_t size, i;

	size = read(bus.endpoint, messages, sizeof(messages));
	if (size < 0) {
		if (errno == EINTR || errno == EAGAIN)
			return true;
		err(1, "the endpoint");
	}
	for (i = 0; i < size / (ssize_t)sizeof(messages[0]); i++)
		answer(&messages[i]);
	return size > 0;
}

/* --- what the module counted --- */

static struct hv_postmsg_partition_stats get_stats(int partition)
{
	struct hv_postmsg_partition_stats stats = { .size = sizeof(stats) };

	if (ioctl(partition, HV_POSTMSG_PARTITION_STATS, &stats))
		err(1, "HV_POSTMSG_PARTITION_STATS");
	return stats;
}

/*
 * For each direction: posts made, by outcome, and what became of those that
 * were accepted. The sender's partition counts the first, the receiver's the
 * second.
 */
static void report(const char *way, const struct hv_postmsg_partition_stats *from,
		   const struct hv_postmsg_partition_stats *to)
{
	unsigned long long refused = 0;
	size_t i;

	for (i = 1; i < ARRAY_SIZE(from->status); i++)
		refused += from->status[i];
	printf("stats: %s posted=%llu refused=%llu passed=%llu", way,
	       (unsigned long long)from->status[0], refused,
	       (unsigned long long)from->passed);
	printf(" delivered=%llu queued=%llu freed=%llu faults=%llu\n",
	       (unsigned long long)to->delivered, (unsigned long long)to->queued,
	       (unsigned long long)to->freed, (unsigned long long)to->faults);
}

/*
 * The newest version to accept, from its text. Windows Server 2019 is what the
 * default stands for: a newer guest has to ask twice.
 */
static __u32 parse_version(const char *text)
{
	unsigned int major, minor;
	char end;
	size_t i;

	if (sscanf(text, "%u.%u%c", &major, &minor, &end) == 2)
		for (i = 0; i < ARRAY_SIZE(vmbus_versions); i++)
			if (vmbus_versions[i] == VMBUS_VERSION(major, minor))
				return vmbus_versions[i];
	errx(2, "there is no VMBus version %s from 4.0 on", text);
}

int main(int argc, char **argv)
{
	struct hv_postmsg_partition_stats guest, host;
	struct hv_postmsg_info info = { .size = sizeof(info) };
	struct pollfd fds[2];
	sigset_t term;
	pid_t pid;
	int vm;

	setvbuf(stdout, NULL, _IOLBF, 0);
	bus.newest = VMBUS_VERSION(5, 2);
	if (argc == 4 && !strcmp(argv[1], "--newest")) {
		bus.newest = parse_version(argv[2]);
		argv += 2;
		argc -= 2;
	}
	pid = argc == 2 ? atoi(argv[1]) : 0;
	if (pid <= 0) {
		fprintf(stderr, "usage: vmbus_host [--newest VERSION] PID\n");
		return 2;
	}

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	fds[0] = (struct pollfd) {
		.fd = signalfd(-1, &term, SFD_CLOEXEC), .events = POLLIN,
	};
	if (fds[0].fd < 0)
		err(1, "signalfd");

	bus.device = open("/dev/hv_postmsg", O_RDWR | O_CLOEXEC);
	if (bus.device < 0)
		err(1, "/dev/hv_postmsg");
	if (ioctl(bus.device, HV_POSTMSG_INFO, &info))
		err(1, "HV_POSTMSG_INFO");
	if (info.api_version != HV_POSTMSG_API_VERSION)
		errx(1, "the module has API version %u, not %u",
		     info.api_version, HV_POSTMSG_API_VERSION);
	vm = take_vm(pid);
	bus.guest = create_partition(0, vm);
	/* The partition holds the VM now. */
	close(vm);
	bus.host = create_partition(HV_POSTMSG_PARTITION_HOST, -1);
	listen_to_guest();
	printf("attached\n");

	fds[1] = (struct pollfd) { .fd = bus.endpoint, .events = POLLIN };
	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			err(1, "poll");
		if (fds[1].revents && !answer_all())
			errx(1, "the VM is gone");
		/* What was posted before the signal has been answered. */
		if (fds[0].revents && !fds[1].revents)
			break;
	}

	guest = get_stats(bus.guest);
	host = get_stats(bus.host);
	report("guest-to-host", &guest, &host);
	report("host-to-guest", &host, &guest);
	return 0;
}
