/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Redirect: run a function of ours where KVM calls one of its own.
 */
#ifndef _HV_POSTMSG_KVM_REDIRECT_H
#define _HV_POSTMSG_KVM_REDIRECT_H

#include "../compat/ftrace.h"

/**
 * struct hvpm_redirect - a hooked function of KVM
 *
 * @name: the function, as "kvm:function"
 * @ops: the hook; its callback decides for each call.  Without
 *	FTRACE_OPS_FL_IPMODIFY it only observes
 * @direct: what the function's call site calls instead, nothing saved; NULL: @ops
 * @set_body: tell the static call that runs KVM's function behind its call site
 *	where that is; NULL where none does
 * @site: address of the function's ftrace call site, valid while hooked
 */
struct hvpm_redirect {
	const char *name;
	struct ftrace_ops ops;
	void (*direct)(void);
	void (*set_body)(void *body);
	unsigned long site;
};

int hvpm_redirect_install(struct hvpm_redirect *redirect);
void hvpm_redirect_remove(struct hvpm_redirect *redirect);

#endif /* _HV_POSTMSG_KVM_REDIRECT_H */
