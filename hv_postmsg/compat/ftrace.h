/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ftrace as of 6.12: struct ftrace_regs is opaque there, open in 6.1.
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
#endif

#endif /* _HV_POSTMSG_COMPAT_FTRACE_H */
