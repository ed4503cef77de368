/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_MM_H
#define _FUZZ_LINUX_MM_H

#include <linux/slab.h>

#endif /* _FUZZ_LINUX_MM_H */
