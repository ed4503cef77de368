/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_STDDEF_H
#define _FUZZ_LINUX_STDDEF_H

#include_next <linux/stddef.h>

#define struct_group_tagged(tag, name, members...)			\
	__struct_group(tag, name, /* no attributes */, members)

#endif /* _FUZZ_LINUX_STDDEF_H */
