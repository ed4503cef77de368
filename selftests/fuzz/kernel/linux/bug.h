/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_BUG_H
#define _FUZZ_LINUX_BUG_H

#include <linux/kernel.h>

/*
 * Something went wrong: say where, and end the program so that the fuzzer keeps
 * the input.
 */
void shim_fail(const char *file, int line, const char *what)
	__attribute__((noreturn));

#define shim_check(condition)						\
	do {								\
		if (!(condition))					\
			shim_fail(__FILE__, __LINE__, #condition);	\
	} while (0)

#define WARN_ON_ONCE(condition)						\
	({								\
		bool _warn = !!(condition);				\
									\
		if (_warn)						\
			shim_fail(__FILE__, __LINE__,			\
				  "WARN_ON_ONCE(" #condition ")");	\
		_warn;							\
	})

#undef BUG_ON
#define BUG_ON(condition)	WARN_ON_ONCE(condition)

#endif /* _FUZZ_LINUX_BUG_H */
