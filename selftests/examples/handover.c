// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM to VM: two VMMs in two processes.  The receiver creates a port and hands
 * the right to connect to it over a Unix socket; the sender connects its VM.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/hv_postmsg.h>
#include <linux/kvm.h>

#define PORT		1
#define CONNECTION	7
#define SINT		2

static int call(int fd, unsigned long command, void *arg)
{
	int ret = ioctl(fd, command, arg);

	if (ret < 0)
		err(1, "ioctl %#lx of /dev/hv_postmsg", command);
	return ret;
}

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void send_fd(int socket, int fd)
{
	union control control = {};
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, 0) != 1)
		err(1, "sendmsg");
}

static int receive_fd(int socket)
{
	union control control = {};
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		err(1, "recvmsg");
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		errx(1, "no port came");
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* A VM of one vCPU, attached.  A real VMM has more to do. */
static int attached_vm(void)
{
	int device = open("/dev/hv_postmsg", O_RDWR | O_CLOEXEC);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	struct hv_postmsg_create_partition partition = {
		.size = sizeof(partition),
		.vm_fd = vm,
	};

	if (device < 0 || vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) ||
	    ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
		err(1, "/dev/hv_postmsg or /dev/kvm");
	return call(device, HV_POSTMSG_CREATE_PARTITION, &partition);
}

static void receiver(int socket)
{
	int vm = attached_vm();
	struct hv_postmsg_create_port create = {
		.size = sizeof(create),
		.port_id = PORT,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.vp = 0,
		.endpoint_fd = -1,
	};
	struct hv_postmsg_port port = { .size = sizeof(port), .port_id = PORT };
	struct hv_postmsg_port_stats stats = {
		.size = sizeof(stats),
		.port_id = PORT,
	};
	char byte;

	call(vm, HV_POSTMSG_CREATE_PORT, &create);
	send_fd(socket, call(vm, HV_POSTMSG_PORT_FD, &port));

	/* Until the sender is gone. */
	if (read(socket, &byte, 1) != 0)
		err(1, "read");
	call(vm, HV_POSTMSG_PORT_STATS, &stats);
	printf("port %u: %llu posted, %llu refused: SynIC not enabled\n", PORT,
	       stats.posted, stats.refused_synic);
}

static void sender(int socket)
{
	int vm = attached_vm();
	struct hv_postmsg_connect connect = {
		.size = sizeof(connect),
		.connection_id = CONNECTION,
		.port_fd = receive_fd(socket),
	};
	struct hv_postmsg_post post = {
		.size = sizeof(post),
		.connection_id = CONNECTION,
		.message_type = 1,
	};

	call(vm, HV_POSTMSG_CONNECT, &connect);
	/* From now on this VM's guest may post to connection 7; in its name: */
	call(vm, HV_POSTMSG_POST, &post);
	/* 0x18: the receiving guest never ran, so its SynIC is not enabled. */
	printf("connection %u: status %#x\n", CONNECTION, post.status);
}

int main(void)
{
	int sockets[2], status;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		err(1, "socketpair");
	if (fork() == 0) {
		close(sockets[0]);
		sender(sockets[1]);
		return 0;
	}
	close(sockets[1]);
	receiver(sockets[0]);
	if (wait(&status) < 0 || status)
		errx(1, "the sender failed");
	return 0;
}
