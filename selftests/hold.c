// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: hold host|vm|halted|detached|posting|churn|post
 *
 * Not a test: it uses the module, or KVM, in one way while module_test.sh looks
 * at what may be done meanwhile. It prints "ready", then stays until killed
 * ("churn" and "post" end by themselves).
 *
 *   host       holds a host partition
 *   vm         holds an attached VM that does not run
 *   halted     holds an attached VM whose VP sleeps in HLT
 *   detached   the same, but its partition has been closed
 *   posting    runs a VM that is not attached and posts all the time; says
 *              "posts N" for every 1000 of them
 *   churn      makes and destroys everything there is, with messages queued
 *   post       attaches a VM, posts a message to itself, takes it
 */
#include "hvpm.h"

#define PORT		1
#define CONNECTION	1
#define SINT		2

#define CHURN_PORTS		200
#define CHURN_BUFFERS		64
#define CHURN_CONNECTIONS	1000
#define CHURN_ENDPOINTS		50
#define CHURN_PARTITIONS	100

static void guest_sleep(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	for (;;)
		asm volatile("sti; hlt" : : : "memory");
}

static void guest_post_forever(struct hvpm_guest *guest)
{
	hvpm_guest_init(guest);
	hvpm_guest_enable_synic(guest, SINT);
	for (;;)
		hvpm_guest_post(guest, CONNECTION, 1, HVPM_PAYLOAD_MIN, 0, 0);
}

/* Not with the device's own file: that would hold the module by itself. */
static void stay(void)
{
	close(__hvpm_device());
	puts("ready");
	for (;;)
		pause();
}

static void hold_halted(bool attached)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, guest_sleep);

	hvpm_vm_attach(vm, 0);
	hvpm_vp_start(&vm->vps[0]);
	/* From the start of the guest to HLT. */
	usleep(500000);
	if (!attached)
		close(vm->partition);
	stay();
}

static void hold_posting(void)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, guest_post_forever);
	struct hvpm_vp *vp = &vm->vps[0];

	puts("ready");
	for (;;) {
		TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_NONE &&
			    vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV,
			    "exit %u", vp->vcpu->run->exit_reason);
		vp->vcpu->run->hyperv.u.hcall.result =
			HV_STATUS_INVALID_CONNECTION_ID;
		if (vp->exits % 1000 == 0)
			printf("posts %lu\n", vp->exits);
	}
}

/*
 * Some of everything, and MB of messages, all of it given back at the end; so
 * much of each that its loss would be seen.
 */
static void churn(void)
{
	int host = hvpm_create_host_partition(), endpoint = -1, port_fd;
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	uint32_t status;
	unsigned int i;

	for (i = 0; i < CHURN_PARTITIONS; i++)
		close(hvpm_create_host_partition());
	for (i = 0; i < CHURN_PARTITIONS; i++) {
		hvpm_vm_attach(vm, 0);
		close(vm->partition);
	}
	for (i = 0; i < CHURN_ENDPOINTS; i++)
		endpoint = hvpm_create_endpoint(host, 0);
	hvpm_vm_attach(vm, 0);
	hvpm_vp_enable_synic(&vm->vps[0], SINT);
	for (i = 0; i < CHURN_PORTS; i++) {
		hvpm_create_port(vm->partition, PORT + i, 0, SINT,
				 HV_POSTMSG_PORT_SHARED, CHURN_BUFFERS);
		hvpm_join(host, CONNECTION + i, vm->partition, PORT + i);
		status = hvpm_post(host, CONNECTION + i, 1, HVPM_PAYLOAD_MIN,
				   HV_POSTMSG_POST_NONBLOCK, 0, i);
		TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
	}
	port_fd = hvpm_port_fd(vm->partition, PORT);
	for (; i < CHURN_CONNECTIONS; i++)
		hvpm_connect(host, CONNECTION + i, port_fd, 0);
	hvpm_create_endpoint_port(host, PORT, endpoint, 0, 0);
	hvpm_join(vm->partition, CONNECTION, host, PORT);
	for (i = 0; i < 16; i++)
		TEST_ASSERT(!hvpm_vp_post(&vm->vps[0], CONNECTION, 1,
					  HVPM_PAYLOAD_MIN, 0, i), "post %u", i);
	/* All ways of leaving: deleted, gone with the partition, still open. */
	for (i = 0; i < CHURN_PORTS / 2; i++)
		hvpm_delete_port(vm->partition, PORT + i);
	hvpm_vm_free(vm);
}

static void post(void)
{
	struct hvpm_vm *vm = hvpm_vm_create(1, NULL);
	struct hvpm_vp *vp = &vm->vps[0];
	struct hv_postmsg_message message;
	struct hvpm_payload head;
	uint16_t status;

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(vm->partition, CONNECTION, vm->partition, PORT);
	hvpm_vp_enable_synic(vp, SINT);
	status = hvpm_vp_post(vp, CONNECTION, 1, 100, 0, 0);
	TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
	TEST_ASSERT(hvpm_vp_take(vp, SINT, &message), "no message");
	TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
				       message.payload_size, &head),
		    "corrupt message");
	TEST_ASSERT(vp->guest->interrupts[SINT] == 1, "%u interrupts",
		    vp->guest->interrupts[SINT]);
	hvpm_vm_free(vm);
}

int main(int argc, char **argv)
{
	const char *how = argc == 2 ? argv[1] : "";

	if (!strcmp(how, "host")) {
		hvpm_create_host_partition();
		stay();
	} else if (!strcmp(how, "vm")) {
		hvpm_vm_attach(hvpm_vm_create(1, NULL), 0);
		stay();
	} else if (!strcmp(how, "halted")) {
		hold_halted(true);
	} else if (!strcmp(how, "detached")) {
		hold_halted(false);
	} else if (!strcmp(how, "posting")) {
		hold_posting();
	} else if (!strcmp(how, "churn")) {
		churn();
	} else if (!strcmp(how, "post")) {
		post();
	} else {
		fprintf(stderr, "usage: see the source\n");
		return 2;
	}
	return 0;
}
