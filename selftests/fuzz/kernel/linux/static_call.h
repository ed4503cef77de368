/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_STATIC_CALL_H
#define _FUZZ_LINUX_STATIC_CALL_H

/* A static call is a pointer here. */
#define DEFINE_STATIC_CALL_RET0(name, type)	static type *name
#define DEFINE_STATIC_CALL_NULL(name, type)	static type *name
#define static_call_update(name, func)		((name) = (func))
#define static_call(name)			name
#define static_call_cond(name)			name

#endif /* _FUZZ_LINUX_STATIC_CALL_H */
