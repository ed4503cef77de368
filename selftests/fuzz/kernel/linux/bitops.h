/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_BITOPS_H
#define _FUZZ_LINUX_BITOPS_H

#include_next <linux/bitops.h>
#include <linux/bitmap.h>

/* There is one thread. */
#undef set_bit
#undef clear_bit
#define set_bit		__set_bit
#define clear_bit	__clear_bit

#endif /* _FUZZ_LINUX_BITOPS_H */
