/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_FAULT_INJECT_USERCOPY_H
#define _FUZZ_LINUX_FAULT_INJECT_USERCOPY_H

#include <linux/types.h>

/* What fails here is what the pages are. */
static inline bool should_fail_usercopy(void)
{
	return false;
}

#endif /* _FUZZ_LINUX_FAULT_INJECT_USERCOPY_H */
