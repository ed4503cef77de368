// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tracer_test.sh: a live patch of one of KVM's functions. What it puts there
 * counts, and calls the old one, so that it serves for any of them.
 */
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/static_call.h>

static char *function = "kvm_hv_hypercall";
module_param(function, charp, 0444);
static uint calls;
module_param(calls, uint, 0444);

/* No function that is patched takes more, or returns more than one register. */
typedef unsigned long (old_t)(unsigned long a, unsigned long b, unsigned long c,
			      unsigned long d);

DEFINE_STATIC_CALL_RET0(old, old_t);

static unsigned long new(unsigned long a, unsigned long b, unsigned long c,
			 unsigned long d)
{
	WRITE_ONCE(calls, calls + 1);
	return static_call(old)(a, b, c, d);
}

static struct klp_func funcs[] = { { .new_func = new }, { } };
static struct klp_object objects[] = { { .name = "kvm", .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init patch_owner_init(void)
{
	struct kprobe probe = {
		.symbol_name = function,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int ret = register_kprobe(&probe);

	if (ret)
		return ret;
	/* Behind the call of ftrace, by which the old one would come here again. */
	static_call_update(old, (old_t *)(probe.addr + MCOUNT_INSN_SIZE));
	unregister_kprobe(&probe);

	funcs[0].old_name = function;
	return klp_enable_patch(&patch);
}

static void __exit patch_owner_exit(void)
{
}

module_init(patch_owner_init);
module_exit(patch_owner_exit);

MODULE_DESCRIPTION("patches a function of KVM, for the selftests of hv_postmsg");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
