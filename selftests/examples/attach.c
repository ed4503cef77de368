// SPDX-License-Identifier: GPL-2.0-only
/* Attach a VM, and read what it posts to connection 1. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/hv_postmsg.h>
#include <linux/kvm.h>

/* Every struct opens with its own size. */
#define CALL(fd, command, ...) call(fd, command, #command, &(__VA_ARGS__))

static int call(int fd, unsigned long command, const char *name, void *arg)
{
	int ret = ioctl(fd, command, arg);

	if (ret < 0)
		err(1, "%s", name);
	return ret;
}

int main(void)
{
	int device = open("/dev/hv_postmsg", O_RDWR | O_CLOEXEC);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	struct hv_postmsg_message message;

	if (device < 0 || vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0))
		err(1, "/dev/hv_postmsg or /dev/kvm");

	/* The receiver: an endpoint of this process, fed by its port 1. */
	int host = CALL(device, HV_POSTMSG_CREATE_PARTITION,
			(struct hv_postmsg_create_partition) {
				.size = sizeof(struct hv_postmsg_create_partition),
				.flags = HV_POSTMSG_PARTITION_HOST, .vm_fd = -1 });
	int endpoint = CALL(host, HV_POSTMSG_CREATE_ENDPOINT,
			(struct hv_postmsg_create_endpoint) {
				.size = sizeof(struct hv_postmsg_create_endpoint) });
	CALL(host, HV_POSTMSG_CREATE_PORT, (struct hv_postmsg_create_port) {
		.size = sizeof(struct hv_postmsg_create_port),
		.flags = HV_POSTMSG_PORT_ENDPOINT, .port_id = 1,
		.type = HV_POSTMSG_PORT_MESSAGE, .endpoint_fd = endpoint });
	int port = CALL(host, HV_POSTMSG_PORT_FD, (struct hv_postmsg_port) {
		.size = sizeof(struct hv_postmsg_port), .port_id = 1 });

	/* The sender: the VM, by its connection 1. */
	int guest = CALL(device, HV_POSTMSG_CREATE_PARTITION,
			(struct hv_postmsg_create_partition) {
				.size = sizeof(struct hv_postmsg_create_partition),
				.vm_fd = vm });
	CALL(guest, HV_POSTMSG_CONNECT, (struct hv_postmsg_connect) {
		.size = sizeof(struct hv_postmsg_connect),
		.connection_id = 1, .port_fd = port });

	/* A guest would call HvCallPostMessage; this stands in for it. */
	CALL(guest, HV_POSTMSG_POST, (struct hv_postmsg_post) {
		.size = sizeof(struct hv_postmsg_post), .connection_id = 1,
		.message_type = 1, .payload_size = 5, .payload = "hello" });

	if (read(endpoint, &message, sizeof(message)) != sizeof(message))
		err(1, "read");
	printf("type %u, %u bytes: %.240s\n", message.type,
	       message.payload_size, (char *)message.payload);
	return 0;
}
