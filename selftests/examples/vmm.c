// SPDX-License-Identifier: GPL-2.0-only
/*
 * The messages of a VMM: guest to host and host to guest.
 *
 * The guest posts to connection 1, this process hears it at an endpoint; this
 * process posts to its own connection 1, the guest finds it in the message slot
 * of SINT 2 of VP 0.  Whatever the guest says is sent back to it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/hv_postmsg.h>
#include <linux/kvm.h>

#define GUEST_TO_HOST	1	/* port of the host partition */
#define HOST_TO_GUEST	2	/* port of the VM */
#define CONNECTION	1	/* the one connection of either */
#define SINT		2

#define HV_STATUS_SUCCESS		0x00
#define HV_STATUS_INSUFFICIENT_BUFFERS	0x13

struct channel {
	int vm;			/* partition of the VM */
	int host;		/* partition of this process */
	int endpoint;		/* where the guest's messages come out */
};

static int call(int fd, unsigned long command, void *arg)
{
	int ret = ioctl(fd, command, arg);

	if (ret < 0)
		err(1, "ioctl %#lx of /dev/hv_postmsg", command);
	return ret;
}

/* Let @from post to port @id of @to. */
static void join(int from, int to, unsigned int id)
{
	struct hv_postmsg_port port = { .size = sizeof(port), .port_id = id };
	struct hv_postmsg_connect connect = {
		.size = sizeof(connect),
		.connection_id = CONNECTION,
	};

	connect.port_fd = call(to, HV_POSTMSG_PORT_FD, &port);
	call(from, HV_POSTMSG_CONNECT, &connect);
	/* The connection pins the port; the right to connect is used up. */
	close(connect.port_fd);
}

/* To be called with an irqchip and before the guest runs. */
static void channel_open(struct channel *channel, int device, int vm_fd)
{
	struct hv_postmsg_create_partition vm = {
		.size = sizeof(vm),
		/* What this program does not know stays the VMM's to answer. */
		.flags = HV_POSTMSG_PARTITION_PASS_UNKNOWN,
		.vm_fd = vm_fd,
	};
	struct hv_postmsg_create_partition host = {
		.size = sizeof(host),
		.flags = HV_POSTMSG_PARTITION_HOST,
		.vm_fd = -1,
	};
	struct hv_postmsg_create_endpoint endpoint = { .size = sizeof(endpoint) };
	struct hv_postmsg_create_port to_host = {
		.size = sizeof(to_host),
		.flags = HV_POSTMSG_PORT_ENDPOINT,
		.port_id = GUEST_TO_HOST,
		.type = HV_POSTMSG_PORT_MESSAGE,
	};
	struct hv_postmsg_create_port to_guest = {
		.size = sizeof(to_guest),
		.port_id = HOST_TO_GUEST,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.vp = 0,
		.endpoint_fd = -1,
	};

	channel->vm = call(device, HV_POSTMSG_CREATE_PARTITION, &vm);
	channel->host = call(device, HV_POSTMSG_CREATE_PARTITION, &host);
	channel->endpoint = call(channel->host, HV_POSTMSG_CREATE_ENDPOINT, &endpoint);
	if (fcntl(channel->endpoint, F_SETFL, O_NONBLOCK))
		err(1, "fcntl");

	to_host.endpoint_fd = channel->endpoint;
	call(channel->host, HV_POSTMSG_CREATE_PORT, &to_host);
	call(channel->vm, HV_POSTMSG_CREATE_PORT, &to_guest);
	join(channel->vm, channel->host, GUEST_TO_HOST);
	join(channel->host, channel->vm, HOST_TO_GUEST);
}

/*
 * Send a message back.  False: there is no room now, try again when poll() of
 * channel->host says POLLOUT.
 */
static bool send_back(struct channel *channel,
		      const struct hv_postmsg_message *message)
{
	struct hv_postmsg_post post = {
		.size = sizeof(post),
		.flags = HV_POSTMSG_POST_NONBLOCK,
		.connection_id = CONNECTION,
		.message_type = message->type,
		.payload_size = message->payload_size,
	};

	memcpy(post.payload, message->payload, message->payload_size);
	call(channel->host, HV_POSTMSG_POST, &post);
	if (post.status == HV_STATUS_INSUFFICIENT_BUFFERS)
		return false;
	/* 0x0e: no vCPU 0 yet; 0x18: its SynIC is not enabled yet. */
	if (post.status != HV_STATUS_SUCCESS)
		printf("the guest cannot be reached: status %#x\n", post.status);
	return true;
}

/* Returns when the guest's port is gone. */
static void serve(struct channel *channel)
{
	struct hv_postmsg_message message;
	bool waiting = false;

	for (;;) {
		/* While an answer waits for room, no new question is taken. */
		struct pollfd fd = {
			.fd = waiting ? channel->host : channel->endpoint,
			.events = waiting ? POLLOUT : POLLIN,
		};

		if (poll(&fd, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			err(1, "poll");
		}
		if (!waiting) {
			ssize_t size = read(channel->endpoint, &message, sizeof(message));

			if (size < 0 && errno == EAGAIN)
				continue;
			if (size < 0)
				err(1, "read");
			if (!size)
				return;
		}
		waiting = !send_back(channel, &message);
	}
}

int main(void)
{
	int device = open("/dev/hv_postmsg", O_RDWR | O_CLOEXEC);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm_fd = ioctl(kvm, KVM_CREATE_VM, 0);
	struct hv_postmsg_post question = {
		.size = sizeof(question),
		.connection_id = CONNECTION,
		.message_type = 1,
		.payload_size = 3,
		.payload = "hi",
	};
	struct hv_postmsg_port port = {
		.size = sizeof(port),
		.port_id = GUEST_TO_HOST,
	};
	struct channel channel;

	if (device < 0 || vm_fd < 0 || ioctl(vm_fd, KVM_CREATE_IRQCHIP, 0))
		err(1, "/dev/hv_postmsg or /dev/kvm");
	channel_open(&channel, device, vm_fd);

	/*
	 * A VMM would start its vCPUs here, and serve() in a thread.  This VM has
	 * none: a question is posted in its name, and the answer finds nobody.
	 */
	call(channel.vm, HV_POSTMSG_POST, &question);
	if (fork() == 0) {
		sleep(1);
		call(channel.host, HV_POSTMSG_DELETE_PORT, &port);
		_exit(0);
	}
	serve(&channel);
	printf("the guest's port is gone\n");
	return 0;
}
