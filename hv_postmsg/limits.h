/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Limits: how much one partition may ask for.
 */
#ifndef _HV_POSTMSG_LIMITS_H
#define _HV_POSTMSG_LIMITS_H

#include <linux/bits.h>

/* One atomic word names the free buffers of a port. */
#define HVPM_MAX_BUFFERS		BITS_PER_LONG
/* HV_PORT_MESSAGE_BUFFER_COUNT of the specification. */
#define HVPM_DEFAULT_BUFFERS		16
#define HVPM_MAX_PORTS			65536
/*
 * Of all of a partition's ports whose target is a VP: all that they have can be
 * queued for one VP, and is sorted, searched and removed there under a spinlock.
 */
#define HVPM_MAX_VP_BUFFERS		65536
/*
 * Of a partition to ports, and to all ports of a partition: who makes room may have
 * to wake all of these.
 */
#define HVPM_MAX_CONNECTIONS		65536
#define HVPM_MAX_ENDPOINTS		64
#define HVPM_MAX_DEPTH			4096
#define HVPM_DEFAULT_DEPTH		256

/* SINTs of a VP; SINT 0 belongs to the hypervisor. */
#define HVPM_SINT_COUNT			16

#endif /* _HV_POSTMSG_LIMITS_H */
