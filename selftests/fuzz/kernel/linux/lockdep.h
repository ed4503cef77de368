/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_LOCKDEP_H
#define _FUZZ_LINUX_LOCKDEP_H

#include <linux/bug.h>

/* Every lock of the shim has a word "held". */
#define lockdep_is_held(lock)		((lock)->held)
#define lockdep_assert_held(lock)	shim_check((lock)->held)
#define lockdep_assert(condition)	shim_check(condition)

#endif /* _FUZZ_LINUX_LOCKDEP_H */
