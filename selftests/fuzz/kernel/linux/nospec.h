/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_NOSPEC_H
#define _FUZZ_LINUX_NOSPEC_H

/* As the kernel's: 0 where the index is none. */
#define array_index_nospec(index, size)					\
	((index) < (size) ? (index) : 0)

#endif /* _FUZZ_LINUX_NOSPEC_H */
