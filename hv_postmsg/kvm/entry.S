/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Entry: from the ftrace call site of kvm_hv_hypercall() into this module.
 */
#include <linux/linkage.h>
#include <asm/frame.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

#include "entry.h"

/*
 * The call site is the first instruction of
 *
 *	int kvm_hv_hypercall(struct kvm_vcpu *vcpu)
 *
 * so that two return addresses are on the stack: into it, and of its caller.  Of the
 * registers only %rdi, the vCPU, has to come back as it was: at the entry of a
 * function that takes one argument the others are anybody's, or hvpm_take_hypercall()
 * keeps them.
 */
SYM_FUNC_START(hvpm_hypercall_entry)
	FRAME_BEGIN
	push	%rdi
	call	hvpm_take_hypercall
	pop	%rdi
	FRAME_END
	cmp	$HVPM_NOT_TAKEN, %eax
	jne	.Ltaken
	RET
.Ltaken:
	/* What the caller of KVM's function gets is in %eax: back to there. */
	add	$8, %rsp
	UNWIND_HINT_FUNC
	RET
SYM_FUNC_END(hvpm_hypercall_entry)
