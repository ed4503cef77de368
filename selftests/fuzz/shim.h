/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What shim.c and kvm.c have for each other.
 */
#ifndef _HVPM_FUZZ_SHIM_H
#define _HVPM_FUZZ_SHIM_H

#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/types.h>

void *shim_alloc(size_t size);

int shim_open(const struct file_operations *ops, void *data, int flags);
void shim_end_mm(struct mm_struct *mm);
void shim_end_process(void);

/* A copy is made of what is in user memory now. */
void shim_copies_block(void);

/* Bytes from @at on that the VMM of some VM has as its guest's memory. */
size_t shim_guest_accessible(const u8 *at, bool write);
/* Nothing of the module is left in any VM. */
void shim_check_kvm(void);

#endif /* _HVPM_FUZZ_SHIM_H */
