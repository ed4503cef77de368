/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HV_STATUS: what HvCallPostMessage can answer.
 *
 * The kernel's own list (hyperv-tlfs.h) moves between versions and lacks two of
 * these, so the module spells them out under its own prefix.
 */
#ifndef _HV_POSTMSG_STATUS_H
#define _HV_POSTMSG_STATUS_H

enum hvpm_status {
	HVPM_STATUS_SUCCESS			= 0x00,
	HVPM_STATUS_INVALID_HYPERCALL_INPUT	= 0x03,
	HVPM_STATUS_INVALID_ALIGNMENT		= 0x04,
	HVPM_STATUS_INVALID_PARAMETER		= 0x05,
	HVPM_STATUS_ACCESS_DENIED		= 0x06,
	HVPM_STATUS_INVALID_VP_INDEX		= 0x0e,
	HVPM_STATUS_INVALID_PORT_ID		= 0x11,
	HVPM_STATUS_INVALID_CONNECTION_ID	= 0x12,
	HVPM_STATUS_INSUFFICIENT_BUFFERS	= 0x13,
	HVPM_STATUS_INVALID_SYNIC_STATE		= 0x18,

	/* No status, and nothing was done: memory cannot be reached at once. */
	HVPM_OUT_OF_REACH		= 0x10000,
};

#endif /* _HV_POSTMSG_STATUS_H */
