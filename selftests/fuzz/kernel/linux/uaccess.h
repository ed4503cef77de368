/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_UACCESS_H
#define _FUZZ_LINUX_UACCESS_H

#include <linux/errno.h>
#include <linux/types.h>

#ifndef PAGE_SIZE
#define PAGE_SHIFT	12
#define PAGE_SIZE	(1ul << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#endif

/* Bytes that could not be copied; which memory can be is core_user_range()'s. */
unsigned long copy_to_user(void __user *to, const void *from, size_t size);
unsigned long copy_from_user(void *to, const void __user *from, size_t size);
int copy_struct_from_user(void *to, size_t size, const void __user *from,
			  size_t user_size);

#define get_user(value, from)						\
	(copy_from_user(&(value), from, sizeof(*(from))) ? -EFAULT : 0)

#define put_user(value, to)						\
	({								\
		typeof(*(to)) _value = (value);				\
									\
		copy_to_user(to, &_value, sizeof(_value)) ? -EFAULT : 0; \
	})

/* The same where nothing may sleep; user memory has to be opened for it. */
void pagefault_disable(void);
void pagefault_enable(void);
void __uaccess_begin(void);
void __uaccess_end(void);
unsigned long shim_get_unsafe(void *to, const void __user *from, size_t size);
unsigned long shim_put_unsafe(void __user *to, const void *from, size_t size);

#define unsafe_get_user(value, from, label)				\
	do {								\
		if (shim_get_unsafe(&(value), from, sizeof(*(from))))	\
			goto label;					\
	} while (0)

#define unsafe_put_user(value, to, label)				\
	do {								\
		typeof(*(to)) _value = (value);				\
									\
		if (shim_put_unsafe(to, &_value, sizeof(_value)))	\
			goto label;					\
	} while (0)

unsigned long __copy_from_user_inatomic(void *to, const void __user *from,
					unsigned long size);
/* From user memory to user memory; opens it by itself. */
unsigned long copy_user_generic(void *to, const void *from, unsigned long size);

#endif /* _FUZZ_LINUX_UACCESS_H */
