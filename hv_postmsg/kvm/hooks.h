/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks: where this module meets KVM.
 */
#ifndef _HV_POSTMSG_KVM_HOOKS_H
#define _HV_POSTMSG_KVM_HOOKS_H

#include <linux/kconfig.h>

#if IS_ENABLED(CONFIG_KVM)
int hvpm_hooks_install(void);
void hvpm_hooks_remove(void);
#else
static inline int hvpm_hooks_install(void)
{
	return 0;
}

static inline void hvpm_hooks_remove(void)
{
}
#endif

#endif /* _HV_POSTMSG_KVM_HOOKS_H */
