/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Message slot: the protocol between hypervisor and guest.
 */
#ifndef _HV_POSTMSG_SLOT_H
#define _HV_POSTMSG_SLOT_H

#include <linux/types.h>

struct hv_postmsg_message;
struct hvpm_vp;

/* Bit of the message flags: HV_MESSAGE_FLAGS.MessagePending. */
#define HVPM_MESSAGE_PENDING		0x01

int hvpm_slot_claim(struct hvpm_vp *vp, unsigned int sint, u32 *type);
void hvpm_slot_interrupt(struct hvpm_vp *vp, unsigned int sint);

#endif /* _HV_POSTMSG_SLOT_H */
