// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest of the guest: its calls are not the VM's, and while it runs the VM's
 * own messages come as ever
 *
 * VP 0 is the L1 hypervisor, by SVM, of an L2 that shares its address space.
 */
#include "slot.h"

#include "svm_util.h"

/* How long an L2 may go on when a message should end it, in ms. */
#define PATIENCE	20000

/* A SINT of this test's own: an interrupt that ends L2 when all else fails. */
#define RESCUE		9

enum {
	DATA_SVM,		/* struct svm_test_data, for L1 */
	DATA_HV_PAGES,		/* struct hyperv_test_pages, for L1 */
	DATA_INTERCEPT,		/* L1 intercepts VMMCALL */
	DATA_ENLIGHTENED,	/* L1 lets KVM answer L2's calls that it can */
	DATA_IN_L2,		/* L2 has begun */
	DATA_BEYOND,		/* L2 has come behind what should end it */
	DATA_TYPE,		/* what L1 found in the slot when L2 ended */
	DATA_TAKEN,		/* interrupts of SINT that L1 had taken then */
};

static unsigned char l2_stack[4096] __aligned(16);

/* --- L2 --- */

static void l2_post(void)
{
	struct hvpm_guest *guest = hvpm_guests[0];
	register uint64_t r8 asm("r8") = 0;
	uint64_t result = 0x1111;

	guest->data[DATA_IN_L2] = 1;
	asm volatile("vmmcall"
		     : "+a"(result), "+r"(r8)
		     : "c"((uint64_t)HVCALL_POST_MESSAGE), "d"(guest->input_gpa)
		     : "memory");
	guest->data[DATA_BEYOND] = 1;
	vmmcall();
}

static void l2_spin(void)
{
	struct hvpm_guest *guest = hvpm_guests[0];

	guest->data[DATA_IN_L2] = 1;
	for (;;)
		cpu_relax();
}

/* HLT is not L1's affair, so it is KVM that puts the VP to sleep. */
static void l2_halt(void)
{
	struct hvpm_guest *guest = hvpm_guests[0];

	guest->data[DATA_IN_L2] = 1;
	for (;;)
		asm volatile("hlt" : : : "memory");
}

/* --- L1 --- */

/* As for Hyper-V under Hyper-V: KVM may answer L2's TLB flushes by itself. */
static void l1_enlighten(struct svm_test_data *svm,
			 struct hyperv_test_pages *pages)
{
	struct hv_vmcb_enlightenments *hve =
		&svm->vmcb->control.hv_enlightenments;

	enable_vp_assist(pages->vp_assist_gpa, pages->vp_assist);
	hve->partition_assist_page = pages->partition_assist_gpa;
	hve->hv_enlightenments_control.nested_flush_hypercall = 1;
	hve->hv_vm_id = 1;
	hve->hv_vp_id = 1;
	current_vp_assist->nested_control.features.directhypercall = 1;
}

/* Run an L2 until it exits; returns why.  Interrupts are L1's. */
static uint64_t l1_run(struct hvpm_guest *guest, uint64_t l2)
{
	struct svm_test_data *svm = (void *)guest->data[DATA_SVM];
	struct vmcb_control_area *control = &svm->vmcb->control;

	generic_svm_setup(svm, (void *)l2, l2_stack + sizeof(l2_stack) - 8);
	control->intercept |= BIT_ULL(INTERCEPT_INTR);
	control->int_ctl |= V_INTR_MASKING_MASK;
	control->intercept_exceptions |= BIT(UD_VECTOR);
	if (!guest->data[DATA_INTERCEPT])
		control->intercept &= ~BIT_ULL(INTERCEPT_VMMCALL);
	if (guest->data[DATA_ENLIGHTENED])
		l1_enlighten(svm, (void *)guest->data[DATA_HV_PAGES]);

	clgi();
	run_guest(svm->vmcb, svm->vmcb_gpa);
	guest->data[DATA_TYPE] = guest->slots[SINT].type;
	guest->data[DATA_TAKEN] = guest->interrupts[SINT];
	stgi();
	return control->exit_code;
}

/* --- the host --- */

static void prepare_l1(struct hvpm_vp *vp)
{
	vm_vaddr_t gva;

	vcpu_alloc_svm(vp->vm->vm, &gva);
	vp->guest->data[DATA_SVM] = gva;
	vcpu_alloc_hyperv_test_pages(vp->vm->vm, &gva);
	vp->guest->data[DATA_HV_PAGES] = gva;
	hvpm_vp_wrmsr(vp, HV_X64_MSR_SINT0 + RESCUE, HVPM_VECTOR(0, RESCUE));
}

/*
 * A call by L2 is for L1, or nothing where L1 does not want it; it is never one
 * of the VM's, to which it would look well-formed.
 */
static void call_by_l2(struct _test_data_slot *self,
		       struct __test_metadata *_metadata, bool attached,
		       bool intercept, bool enlightened)
{
	struct hvpm_vp *vp = self->vp;
	struct hvpm_watch watch;
	uint64_t exit_code;

	if (!kvm_cpu_has(X86_FEATURE_SVM))
		SKIP(return, "no nested SVM in this KVM");
	prepare_l1(vp);
	vp->guest->data[DATA_INTERCEPT] = intercept;
	vp->guest->data[DATA_ENLIGHTENED] = enlightened;
	hvpm_create_port(self->partition, PORT + 1, 0, SINT, 0, 0);
	hvpm_join(self->partition, CONNECTION + 1, self->partition, PORT + 1);
	/* KVM of 6.1 would take its VMMCALL for VMCALL and correct it for ever. */
	vm_enable_cap(self->vm->vm, KVM_CAP_DISABLE_QUIRKS2,
		      KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
	if (!attached) {
		close(self->vm->partition);
		self->vm->partition = -1;
	}
	hvpm_vp_fill(vp, 0, CONNECTION + 1, TYPE, SIZE);
	hvpm_watch_start(&watch, self->vm);
	exit_code = hvpm_vp_call(vp, l1_run, (uint64_t)l2_post);
	EXPECT_EQ(intercept ? SVM_EXIT_VMMCALL :
			      SVM_EXIT_EXCP_BASE + UD_VECTOR, exit_code);
	EXPECT_EQ(1, vp->guest->data[DATA_IN_L2]);
	EXPECT_EQ(0, vp->guest->data[DATA_BEYOND]);
	EXPECT_EQ(0, vp->exits);
	hvpm_watch_nothing(&watch);
	if (!attached)
		return;
	/* The same block is a good one where it comes from L1. */
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  hvpm_vp_hypercall(vp, HVPM_POST, vp->guest->input_gpa, 0));
	EXPECT_EQ(TYPE, vp->slots[SINT].type);
}

TEST_F(slot, call_by_l2_goes_to_l1)
{
	call_by_l2(self, _metadata, true, true, false);
}

TEST_F(slot, call_by_l2_goes_to_l1_without_the_module)
{
	call_by_l2(self, _metadata, false, true, false);
}

TEST_F(slot, call_by_l2_is_no_instruction)
{
	call_by_l2(self, _metadata, true, false, false);
}

TEST_F(slot, call_by_l2_is_no_instruction_without_the_module)
{
	call_by_l2(self, _metadata, false, false, false);
}

/* Only TLB flushes are what KVM then answers itself. */
TEST_F(slot, direct_call_by_l2_goes_to_l1)
{
	call_by_l2(self, _metadata, true, true, true);
}

TEST_F(slot, direct_call_by_l2_is_no_instruction)
{
	call_by_l2(self, _metadata, true, false, true);
}

static void start_l2(struct hvpm_vp *vp, void (*l2)(void))
{
	unsigned int i;

	vp->guest->data[DATA_IN_L2] = 0;
	vp->guest->data[DATA_INTERCEPT] = 1;
	vp->guest->argument[0] = (uint64_t)l1_run;
	vp->guest->argument[1] = (uint64_t)l2;
	hvpm_vp_command_start(vp, HVPM_CALL);
	for (i = 0; i < PATIENCE && !vp->guest->data[DATA_IN_L2]; i++)
		usleep(1000);
	TEST_ASSERT(vp->guest->data[DATA_IN_L2], "L2 does not begin");
}

/*
 * Wait for L2's end.  If the message does not bring it about, another interrupt
 * of L1's does; false then.
 */
static bool end_l2(struct hvpm_vp *vp)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,
		.data = HVPM_VECTOR(0, RESCUE),
	};
	struct timespec limit;
	int ret;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE / 1000;
	ret = pthread_timedjoin_np(vp->thread, NULL, &limit);
	if (!ret)
		return true;
	TEST_ASSERT(ret == ETIMEDOUT, "pthread_timedjoin_np: %s", strerror(ret));
	/* Returns how many it has reached. */
	TEST_ASSERT(__vm_ioctl(vp->vm->vm, KVM_SIGNAL_MSI, &msi) == 1,
		    "KVM_SIGNAL_MSI: %s", strerror(errno));
	hvpm_vp_command_join(vp);
	return false;
}

/*
 * A message for the VP comes while L2 runs: it is in L1's SIM page by the time
 * L2 ends, and its interrupt, which L1 takes, is what ends it.
 */
static void message_ends_l2(struct _test_data_slot *self,
			    struct __test_metadata *_metadata,
			    void (*l2)(void))
{
	struct hvpm_vp *vp = self->vp;
	unsigned int i;

	if (!kvm_cpu_has(X86_FEATURE_SVM))
		SKIP(return, "no nested SVM in this KVM");
	prepare_l1(vp);
	for (i = 0; i < 10; i++) {
		start_l2(vp, l2);
		/* To where KVM puts a halted one to sleep. */
		usleep(50000);
		POST(2 * i);
		ASSERT_TRUE(end_l2(vp))
			TH_LOG("message %u has not ended L2", 2 * i);
		EXPECT_EQ(SVM_EXIT_INTR, vp->guest->result[0]);
		EXPECT_EQ(TYPE + 2 * i, vp->guest->data[DATA_TYPE]);
		/* Once, by L1, when it was ready. */
		EXPECT_EQ(2 * i, vp->guest->data[DATA_TAKEN]);
		EXPECT_INTERRUPTS(vp, 2 * i + 1);
		/* The next is queued behind it, as ever. */
		POST_AND_POKE(2 * i + 1);
		EXPECT_SLOT(vp, SINT, 2 * i, true);
		EXPECT_TAKE(vp, SINT, 2 * i);
		EXPECT_TAKE(vp, SINT, 2 * i + 1);
		EXPECT_INTERRUPTS(vp, 2 * i + 2);
	}
	EXPECT_EQ(0, vp->exits);
}

TEST_F(slot, message_interrupts_spinning_l2)
{
	message_ends_l2(self, _metadata, l2_spin);
}

TEST_F(slot, message_interrupts_halted_l2)
{
	message_ends_l2(self, _metadata, l2_halt);
}

TEST_HARNESS_MAIN
