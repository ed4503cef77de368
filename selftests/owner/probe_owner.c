// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tracer_test.sh: a module that probes some of KVM's functions, as "how" says,
 * and counts the calls of each in the order in which they are given.
 *
 *   kprobe          at the entry
 *   kprobe_post     the same, with a second handler behind the first instruction:
 *                   such a probe may redirect, so it wants the entry for itself
 *   kretprobe       at the return
 *   fprobe          at the entry, by ftrace
 *   fprobe_return   at the entry and the return; only returns are counted
 *   hook            at the entry, by a hook such as that of a live patch: it may
 *                   redirect, so it wants the entry for itself. It changes nothing
 */
#include <linux/fprobe.h>
#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>

#define MAX_FUNCTIONS	8

static char *how = "kprobe";
module_param(how, charp, 0444);
static char *functions[MAX_FUNCTIONS];
static uint count;
module_param_array(functions, charp, &count, 0444);
static uint calls[MAX_FUNCTIONS];
static uint nr_calls = MAX_FUNCTIONS;
module_param_array(calls, uint, &nr_calls, 0444);

static void seen(unsigned int i)
{
	WRITE_ONCE(calls[i], calls[i] + 1);
}

static struct kprobe kprobes[MAX_FUNCTIONS];
static struct kretprobe kretprobes[MAX_FUNCTIONS];

static int at_entry(struct kprobe *probe, struct pt_regs *regs)
{
	seen(probe - kprobes);
	return 0;
}

static void behind_entry(struct kprobe *probe, struct pt_regs *regs,
			 unsigned long flags)
{
}

static int at_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	seen(get_kretprobe(instance) - kretprobes);
	return 0;
}

#ifdef CONFIG_FPROBE
static struct fprobe fprobes[MAX_FUNCTIONS];

/* As 6.12 has it; Debian's 6.1 is built without. */
static int at_fprobe(struct fprobe *fprobe, unsigned long entry,
		     unsigned long caller, struct pt_regs *regs, void *data)
{
	seen(fprobe - fprobes);
	return 0;
}

static void at_fprobe_return(struct fprobe *fprobe, unsigned long entry,
			     unsigned long caller, struct pt_regs *regs, void *data)
{
	seen(fprobe - fprobes);
}

static int add_fprobe(unsigned int i, bool at_return)
{
	if (at_return)
		fprobes[i].exit_handler = at_fprobe_return;
	else
		fprobes[i].entry_handler = at_fprobe;
	return register_fprobe_syms(&fprobes[i], (const char **)&functions[i], 1);
}

static void remove_fprobe(unsigned int i)
{
	unregister_fprobe(&fprobes[i]);
}
#else
static int add_fprobe(unsigned int i, bool at_return)
{
	return -EOPNOTSUPP;
}

static void remove_fprobe(unsigned int i)
{
}
#endif

static struct ftrace_ops hooks[MAX_FUNCTIONS];

static void at_hook(unsigned long ip, unsigned long parent_ip,
		    struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	seen(ops - hooks);
}

static int add_hook(unsigned int i)
{
	int ret = ftrace_set_filter(&hooks[i], functions[i], strlen(functions[i]), 0);

	hooks[i].func = at_hook;
	hooks[i].flags |= FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY;
	if (!ret)
		ret = register_ftrace_function(&hooks[i]);
	/* What the filter takes stays otherwise. */
	if (ret)
		ftrace_free_filter(&hooks[i]);
	return ret;
}

static void remove_hook(unsigned int i)
{
	unregister_ftrace_function(&hooks[i]);
	ftrace_free_filter(&hooks[i]);
}

static int add(unsigned int i)
{
	if (!strncmp(how, "fprobe", 6))
		return add_fprobe(i, how[6]);
	if (!strcmp(how, "hook"))
		return add_hook(i);
	if (!strcmp(how, "kretprobe")) {
		kretprobes[i].kp.symbol_name = functions[i];
		kretprobes[i].handler = at_return;
		return register_kretprobe(&kretprobes[i]);
	}
	kprobes[i].symbol_name = functions[i];
	kprobes[i].pre_handler = at_entry;
	if (!strcmp(how, "kprobe_post"))
		kprobes[i].post_handler = behind_entry;
	return register_kprobe(&kprobes[i]);
}

static void remove(unsigned int i)
{
	if (!strncmp(how, "fprobe", 6))
		remove_fprobe(i);
	else if (!strcmp(how, "hook"))
		remove_hook(i);
	else if (!strcmp(how, "kretprobe"))
		unregister_kretprobe(&kretprobes[i]);
	else
		unregister_kprobe(&kprobes[i]);
}

static void probe_owner_exit(void)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		remove(i);
}

static int __init probe_owner_init(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++) {
		ret = add(i);
		if (!ret)
			continue;
		while (i--)
			remove(i);
		return ret;
	}
	return 0;
}

module_init(probe_owner_init);
module_exit(probe_owner_exit);

MODULE_DESCRIPTION("probes functions of KVM, for the selftests of hv_postmsg");
MODULE_LICENSE("GPL");
