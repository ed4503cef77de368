/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_CONTAINER_OF_H
#define _FUZZ_LINUX_CONTAINER_OF_H

#include <linux/kernel.h>

#endif /* _FUZZ_LINUX_CONTAINER_OF_H */
