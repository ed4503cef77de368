/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_ARRAY_SIZE_H
#define _FUZZ_LINUX_ARRAY_SIZE_H

#include <linux/kernel.h>

#endif /* _FUZZ_LINUX_ARRAY_SIZE_H */
