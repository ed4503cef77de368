// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: hold HOW
 *
 * Not a test: it uses the module, or KVM, in one way while module_test.sh and
 * tracer_test.sh look at what may be done meanwhile. It prints "ready", then stays
 * until killed ("churn", "post", "all" and "plain" end by themselves).
 *
 *   host       holds a host partition
 *   vm         holds an attached VM that does not run
 *   halted     holds an attached VM whose VP sleeps in HLT
 *   detached   the same, but its partition has been closed
 *   posting    runs a VM that is not attached and posts all the time; says
 *              "posts N" for every 1000 of them
 *   churn      makes and destroys everything there is, with messages queued
 *   post       attaches a VM, posts a message to itself, takes it
 *   all        the same, and has the VM go through all functions of KVM that the
 *              module hooks: it is woken from HLT by a post, and gets an INIT
 *   plain      the same without the module: a VM that is not attached posts to its
 *              VMM, is woken from HLT by a timer's message, and gets an INIT
 *
 * The next ones hold a VM that sleeps in one of those functions, in a page fault
 * that nobody answers before SIGUSR1 comes; then they say "answered":
 *
 *   fault-call   in its hypercall, of a partition that has been closed since
 *   fault-slot   in the delivery to its message slot, the same
 *   fault-alone  in a write to an MSR, of a VM that was never attached
 */
#include <signal.h>

#include "absent_page.h"
#include "apic.h"
#include "hvpm.h"

#define PORT		1
#define CONNECTION	1
#define SINT		2

#define STIMER_AUTO_ENABLE	BIT_ULL(3)
#define STIMER_SINT(sint)	((uint64_t)(sint) << 16)

/* In units of HV_X64_MSR_TIME_REF_COUNT. */
#define SECOND			10000000

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

/* An attached VM whose VP 0 can post to itself. */
static struct hvpm_vm *vm_with_port(unsigned int nr_vps)
{
	struct hvpm_vm *vm = hvpm_vm_create(nr_vps, NULL);

	hvpm_vm_attach(vm, 0);
	hvpm_create_port(vm->partition, PORT, 0, SINT, 0, 0);
	hvpm_join(vm->partition, CONNECTION, vm->partition, PORT);
	hvpm_vp_enable_synic(&vm->vps[0], SINT);
	return vm;
}

static void expect_message(struct hvpm_vp *vp)
{
	struct hv_postmsg_message message;
	struct hvpm_payload head;

	TEST_ASSERT(hvpm_vp_take(vp, SINT, &message), "no message");
	TEST_ASSERT(hvpm_payload_check(message.payload, message.type,
				       message.payload_size, &head),
		    "corrupt message");
}

static void post_once(struct hvpm_vm *vm)
{
	struct hvpm_vp *vp = &vm->vps[0];
	uint16_t status = hvpm_vp_post(vp, CONNECTION, 1, 100, 0, 0);

	TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
	expect_message(vp);
	TEST_ASSERT(vp->guest->interrupts[SINT] == 1, "%u interrupts",
		    vp->guest->interrupts[SINT]);
}

static void post(void)
{
	struct hvpm_vm *vm = vm_with_port(1);

	post_once(vm);
	hvpm_vm_free(vm);
}

static uint64_t guest_sleep_once(struct hvpm_guest *guest, uint64_t seen)
{
	hvpm_guest_halt(guest, SINT, seen);
	return 0;
}

/* VP 0 sleeps in HLT, and VP 1 posts to it. */
static void post_to_sleeper(struct hvpm_vm *vm)
{
	struct hvpm_vp *vp = &vm->vps[0];
	uint16_t status;

	vp->guest->argument[0] = (uint64_t)guest_sleep_once;
	vp->guest->argument[1] = vp->guest->interrupts[SINT];
	hvpm_vp_command_start(vp, HVPM_CALL);
	usleep(500000);
	status = hvpm_vp_post(&vm->vps[1], CONNECTION, 1, 100, 0, 0);
	TEST_ASSERT(status == HV_STATUS_SUCCESS, "status 0x%x", status);
	hvpm_vp_command_join(vp);
	expect_message(vp);
}

static uint64_t guest_send_init(struct hvpm_guest *guest, uint64_t target)
{
	x2apic_write_reg(APIC_ICR, target << 32 | APIC_DEST_PHYSICAL |
			 APIC_DM_INIT | APIC_INT_ASSERT);
	return 0;
}

/* VP 1 resets VP 0, which comes back from where there is nothing to execute. */
static void reset_by_init(struct hvpm_vm *vm)
{
	hvpm_vp_call(&vm->vps[1], guest_send_init, 0);
	TEST_ASSERT(!_vcpu_run(vm->vps[0].vcpu), "KVM_RUN: %s", strerror(errno));
}

static void all(void)
{
	struct hvpm_vm *vm = vm_with_port(2);
	struct hv_postmsg_port_stats stats;
	unsigned int i;

	post_once(vm);
	post_to_sleeper(vm);
	for (i = 0; i < 3; i++)
		TEST_ASSERT(!hvpm_vp_post(&vm->vps[1], CONNECTION, 1, 100, 0, i),
			    "post %u", i);
	reset_by_init(vm);
	hvpm_port_stats(vm->partition, PORT, &stats);
	TEST_ASSERT(stats.freed && !stats.queued, "INIT leaves %lu queued",
		    (unsigned long)stats.queued);
	hvpm_vm_free(vm);
}

/* Until a synthetic timer's message interrupts. */
static uint64_t guest_sleep_for(struct hvpm_guest *guest, uint64_t time)
{
	uint32_t seen = guest->interrupts[SINT];

	wrmsr(HV_X64_MSR_STIMER0_CONFIG, STIMER_AUTO_ENABLE | STIMER_SINT(SINT));
	wrmsr(HV_X64_MSR_STIMER0_COUNT, rdmsr(HV_X64_MSR_TIME_REF_COUNT) + time);
	hvpm_guest_halt(guest, SINT, seen);
	return 0;
}

static void plain(void)
{
	struct hvpm_vm *vm = hvpm_vm_create(2, NULL);
	struct hvpm_vp *vp = &vm->vps[0];
	unsigned int i;

	hvpm_vp_enable_synic(vp, SINT);
	hvpm_vp_call(vp, guest_sleep_for, SECOND / 4);
	for (i = 0; i < 10; i++) {
		hvpm_vp_fill(vp, 0, CONNECTION, 1, 100);
		vp->guest->argument[0] = HVPM_POST;
		vp->guest->argument[1] = vp->guest->input_gpa;
		vp->guest->command = HVPM_HYPERCALL;
		TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_NONE &&
			    vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV,
			    "exit %u", vp->vcpu->run->exit_reason);
		vp->vcpu->run->hyperv.u.hcall.result =
			HV_STATUS_INVALID_CONNECTION_ID;
		TEST_ASSERT(hvpm_vp_run(vp, NULL) == UCALL_SYNC &&
			    vp->guest->result[0] == HV_STATUS_INVALID_CONNECTION_ID,
			    "the VMM's answer does not arrive");
	}
	reset_by_init(vm);
	hvpm_vm_free(vm);
}

/* --- page faults that wait --- */

/* Not one that the module says. */
#define VMM_STATUS	HV_STATUS_INVALID_HYPERCALL_CODE

/* A post, which the VMM answers if the module leaves it to that. */
static void *post_thread(void *arg)
{
	struct hvpm_vp *vp = arg;
	uint64_t command;

	vp->guest->command = HVPM_HYPERCALL;
	vp->guest->argument[0] = HVPM_POST;
	vp->guest->argument[1] = vp->guest->input_gpa;
	command = hvpm_vp_run(vp, NULL);
	if (command == UCALL_NONE) {
		TEST_ASSERT(vp->vcpu->run->exit_reason == KVM_EXIT_HYPERV,
			    "exit %u", vp->vcpu->run->exit_reason);
		vp->vcpu->run->hyperv.u.hcall.result = VMM_STATUS;
		command = hvpm_vp_run(vp, NULL);
	}
	TEST_ASSERT(command == UCALL_SYNC, "ucall %lu", command);
	return NULL;
}

static void hold_fault(const char *where)
{
	bool alone = !strcmp(where, "alone"), in_slot = !strcmp(where, "slot");
	struct hvpm_vm *vm = alone ? hvpm_vm_create(1, NULL) : vm_with_port(1);
	struct hvpm_vp *vp = &vm->vps[0];
	void *page = in_slot ? (void *)vp->slots : (void *)vp->input;
	void *content = aligned_alloc(getpagesize(), getpagesize());
	int faults, signal_number;
	sigset_t signals;

	/* Before there are threads. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	hvpm_vp_fill(vp, 0, CONNECTION, 1, 100);
	memcpy(content, page, getpagesize());
	faults = absent_page(page);
	TEST_ASSERT(faults >= 0, "userfaultfd: %s", strerror(errno));
	if (alone) {
		vp->guest->argument[0] = HV_X64_MSR_HYPERCALL;
		vp->guest->argument[1] = vp->guest->input_gpa | BIT(0);
		hvpm_vp_command_start(vp, HVPM_WRMSR);
	} else {
		TEST_ASSERT(!pthread_create(&vp->thread, NULL, post_thread, vp),
			    "no thread");
	}
	TEST_ASSERT(absent_page_touched(faults), "no fault");
	if (!alone)
		close(vm->partition);
	close(__hvpm_device());
	puts("ready");

	sigwait(&signals, &signal_number);
	TEST_ASSERT(!absent_page_provide(faults, page, content), "UFFDIO_COPY: %s",
		    strerror(errno));
	hvpm_vp_join(vp);
	if (alone)
		TEST_ASSERT(!vp->guest->result[0], "exception %lu",
			    vp->guest->result[0]);
	else
		TEST_ASSERT(vp->guest->result[0] ==
			    (in_slot ? HV_STATUS_SUCCESS : VMM_STATUS),
			    "status 0x%lx", vp->guest->result[0]);
	/* And goes on running. */
	hvpm_vp_poke(vp);
	puts("answered");
	for (;;)
		pause();
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
	} else if (!strcmp(how, "all")) {
		all();
	} else if (!strcmp(how, "plain")) {
		plain();
	} else if (!strncmp(how, "fault-", 6)) {
		hold_fault(how + 6);
	} else {
		fprintf(stderr, "usage: see the source\n");
		return 2;
	}
	return 0;
}
