/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_MODULE_H
#define _FUZZ_LINUX_MODULE_H

#include <linux/errno.h>
#include <linux/types.h>

#define THIS_MODULE	((struct module *)NULL)
#define __init
#define __exit

/* Called by the program as the kernel calls them. */
#define module_init(function)						\
	int shim_module_init(void);					\
	int shim_module_init(void)					\
	{								\
		return function();					\
	}

#define module_exit(function)						\
	void shim_module_exit(void);					\
	void shim_module_exit(void)					\
	{								\
		function();						\
	}

#define MODULE_AUTHOR(text)
#define MODULE_DESCRIPTION(text)
#define MODULE_VERSION(text)
#define MODULE_LICENSE(text)

#endif /* _FUZZ_LINUX_MODULE_H */
