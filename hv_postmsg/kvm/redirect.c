// SPDX-License-Identifier: GPL-2.0-only
/*
 * Redirect: find the call site, hook it, unhook it.
 *
 * Modelled on livepatch: the ftrace callback decides, and either points the saved
 * instruction pointer at our function or leaves it alone.  Where our function
 * needs KVM's too, it calls the code behind the site, as a BPF trampoline does,
 * by a static call: a direct call instruction, which indirect branch tracking
 * does not check, and which does not pass the site a second time.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/printk.h>

#include "redirect.h"

/* A kprobe that is never armed tells where the name is, behind any ENDBR. */
static int find_site(const char *name, unsigned long *site)
{
	struct kprobe probe = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int ret;

	ret = register_kprobe(&probe);
	if (ret)
		return ret;
	*site = (unsigned long)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

/**
 * hvpm_redirect_install - hook a function
 * @redirect: the hook
 *
 * Says in the log why it failed.
 *
 * Context: may sleep.
 * Return: 0; -ENOENT this kernel has no such function; -EINVAL it cannot be
 *	hooked; -EBUSY another one has hooked it, or kernel.ftrace_enabled is 0.
 */
int hvpm_redirect_install(struct hvpm_redirect *redirect)
{
	int ret;

	ret = find_site(redirect->name, &redirect->site);
	if (ret) {
		pr_err("this kernel has no %s to hook: %d\n", redirect->name,
		       ret);
		return ret;
	}

	/* Fails unless the address is a call site of ftrace's. */
	ret = ftrace_set_filter_ip(&redirect->ops, redirect->site, 0, 0);
	if (ret) {
		pr_err("cannot hook %s: %d\n", redirect->name, ret);
		return ret;
	}
	if (redirect->set_body)
		redirect->set_body((void *)(redirect->site +
					    MCOUNT_INSN_SIZE));

	if (redirect->direct)
		ret = register_ftrace_direct(&redirect->ops,
					     (unsigned long)redirect->direct);
	else
		ret = register_ftrace_function(&redirect->ops);
	if (ret) {
		pr_err("cannot hook %s: %d%s\n", redirect->name, ret,
		       ret == -EBUSY ?
		       " (already hooked by another, or kernel.ftrace_enabled is 0)" :
		       "");
		ftrace_free_filter(&redirect->ops);
	}
	return ret;
}

/**
 * hvpm_redirect_remove - unhook a function
 * @redirect: an installed hook
 *
 * On return the callback does not run any more, or the call site does not call; a
 * task may still be in the function it was sent to.
 *
 * Context: may sleep.
 */
void hvpm_redirect_remove(struct hvpm_redirect *redirect)
{
	if (redirect->direct)
		WARN_ON(unregister_ftrace_direct(&redirect->ops,
						 (unsigned long)redirect->direct,
						 false));
	else
		WARN_ON(unregister_ftrace_function(&redirect->ops));
	/* Taking the address out of the filter instead would need memory. */
	ftrace_free_filter(&redirect->ops);
}
