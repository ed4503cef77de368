// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tracer_test.sh: a module that hooks one of KVM's functions, the way a live
 * patch does, so that nobody else can. The hook changes nothing; it counts.
 */
#include <linux/ftrace.h>
#include <linux/module.h>

static char *function = "kvm_hv_hypercall";
module_param(function, charp, 0444);
static uint calls;
module_param(calls, uint, 0444);

static void hook(unsigned long ip, unsigned long parent_ip,
		 struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	WRITE_ONCE(calls, calls + 1);
}

static struct ftrace_ops ops = {
	.func = hook,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int __init hook_owner_init(void)
{
	int ret = ftrace_set_filter(&ops, function, strlen(function), 0);

	if (!ret)
		ret = register_ftrace_function(&ops);
	/* What the filter takes stays otherwise. */
	if (ret)
		ftrace_free_filter(&ops);
	return ret;
}

static void __exit hook_owner_exit(void)
{
	unregister_ftrace_function(&ops);
	ftrace_free_filter(&ops);
}

module_init(hook_owner_init);
module_exit(hook_owner_exit);

MODULE_DESCRIPTION("hooks a function of KVM, for the selftests of hv_postmsg");
MODULE_LICENSE("GPL");
