/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of none of the host's kernels.
 */
#ifndef _FUZZ_LINUX_VERSION_H
#define _FUZZ_LINUX_VERSION_H

#define KERNEL_VERSION(version, patchlevel, sublevel) \
	(((version) << 16) + ((patchlevel) << 8) + (sublevel))
#define LINUX_VERSION_CODE	KERNEL_VERSION(6, 12, 255)

#endif /* _FUZZ_LINUX_VERSION_H */
