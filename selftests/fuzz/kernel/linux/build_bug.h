/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_BUILD_BUG_H
#define _FUZZ_LINUX_BUILD_BUG_H

/* The C library has a static_assert() that wants a message. */
#include <assert.h>
#undef static_assert
#include_next <linux/build_bug.h>

#endif /* _FUZZ_LINUX_BUILD_BUG_H */
