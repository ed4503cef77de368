/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_FTRACE_H
#define _FUZZ_LINUX_FTRACE_H

#include <linux/types.h>

/* As 6.12 has it. */
struct pt_regs {
	unsigned long di;
	unsigned long si;
	unsigned long ip;
};

struct ftrace_regs;

struct __arch_ftrace_regs {
	struct pt_regs regs;
};

#define arch_ftrace_regs(fregs)	((struct __arch_ftrace_regs *)(fregs))

#define ftrace_regs_set_instruction_pointer(fregs, address)		\
	(arch_ftrace_regs(fregs)->regs.ip = (address))

struct ftrace_ops {
	void (*func)(unsigned long ip, unsigned long parent_ip,
		     struct ftrace_ops *ops, struct ftrace_regs *fregs);
	unsigned long flags;
};

#define FTRACE_OPS_FL_IPMODIFY	1
#define FTRACE_OPS_FL_PERMANENT	2

#define notrace

static inline int ftrace_test_recursion_trylock(unsigned long ip,
						unsigned long parent_ip)
{
	return 0;
}

static inline void ftrace_test_recursion_unlock(int bit)
{
}

#endif /* _FUZZ_LINUX_FTRACE_H */
