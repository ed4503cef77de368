/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_BITMAP_H
#define _FUZZ_LINUX_BITMAP_H

/* That one knows no flags. */
#define bitmap_zalloc	tools_bitmap_zalloc
#include_next <linux/bitmap.h>
#undef bitmap_zalloc

#include <linux/slab.h>

#define bitmap_zalloc(bits, flags)					\
	((unsigned long *)kzalloc(bitmap_size(bits), flags))
#define bitmap_free(bitmap)	kfree(bitmap)

#endif /* _FUZZ_LINUX_BITMAP_H */
