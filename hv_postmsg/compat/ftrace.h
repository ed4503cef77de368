/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ftrace as of 6.12: struct ftrace_regs is opaque there, open in 6.1.  What 6.12
 * does for a direct user with ftrace_ops, 6.1 does by calls of other names.
 */
#ifndef _HV_POSTMSG_COMPAT_FTRACE_H
#define _HV_POSTMSG_COMPAT_FTRACE_H

#include <linux/ftrace.h>

#ifndef arch_ftrace_regs
#define arch_ftrace_regs(fregs)		(fregs)
#endif

#ifndef ftrace_regs_set_instruction_pointer
#define ftrace_regs_set_instruction_pointer(fregs, ip) \
	ftrace_instruction_pointer_set(fregs, ip)
#define register_ftrace_direct(ops, function)				\
	register_ftrace_direct_multi(ops, function)
#define unregister_ftrace_direct(ops, function, free_filters)		\
	((void)(free_filters), unregister_ftrace_direct_multi(ops, function))
#endif

#endif /* _HV_POSTMSG_COMPAT_FTRACE_H */
