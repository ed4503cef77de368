/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VP: a virtual processor that messages are queued for.
 */
#ifndef _HV_POSTMSG_VP_H
#define _HV_POSTMSG_VP_H

#include <linux/types.h>

#include <uapi/linux/hv_postmsg.h>

#include "queue.h"
#include "status.h"

struct hvpm_connection;
struct hvpm_partition;
struct hvpm_port;
struct hvpm_post_head;
struct hvpm_vp;

/* SINT registers: bits of HV_X64_MSR_SINTx ("SINTx Registers"). */
#define HVPM_SINT_VECTOR_MASK		0xffULL
#define HVPM_SINT_MASKED		BIT_ULL(16)
#define HVPM_SINT_POLLING		BIT_ULL(18)
/* Vectors below are exceptions: no interrupt can be raised with them. */
#define HVPM_FIRST_VECTOR		16

/* Type of a synthetic timer's message: HvMessageTimerExpired. */
#define HVPM_TIMER_EXPIRED		0x80000010

/**
 * hvpm_sint_vector - which interrupt does a message in a slot raise?
 * @value: the SINT register
 *
 * None for a masked or polling SINT, nor with a vector that no interrupt can
 * have, which a VMM may set ("SINTx Registers").
 *
 * Context: any.
 * Return: the vector; 0 for none.
 */
static inline u8 hvpm_sint_vector(u64 value)
{
	u8 vector = value & HVPM_SINT_VECTOR_MASK;

	if (value & (HVPM_SINT_MASKED | HVPM_SINT_POLLING))
		return 0;
	if (vector < HVPM_FIRST_VECTOR)
		return 0;
	return vector;
}

/**
 * struct hvpm_vp_ops - how the core reaches a VP
 *
 * @state: HV_STATUS_SUCCESS if the VP's SynIC and SIM page are enabled, else
 *	HV_STATUS_INVALID_SYNIC_STATE; under RCU, from any thread
 * @kick: make the VP's thread call hvpm_vp_scan() before it next enters the
 *	guest, waking it if it is halted; under RCU, from any thread.  Orders
 *	the caller's push before the scan's look at the queue
 * @read_header: read the first 8 bytes of a message slot as one access
 * @set_pending: set MessagePending in a message slot's flags
 * @write_message: write a message to a slot: the type last, by one aligned
 *	store behind all the rest
 * @write_own: write a message that the VP is just posting to the slot of a port, and
 *	raise its interrupt, if the VP has the port's index, SynIC and SIM page are
 *	enabled, the slot is empty and all can be reached at once.  As @write_message
 *	does, with MessagePending if @timer_waits; the payload comes from where the VP
 *	has it.  Returns true if it is in the slot; under RCU, page faults disabled
 * @read_payload: copy the payload of what the VP is just posting from where it has
 *	it; returns false if that cannot be reached at once.  Under RCU, page faults
 *	disabled
 * @timer_waits: true if a synthetic timer of the VP waits for the SINT's slot
 * @sint: value of a SINT register
 * @interrupt: raise an edge interrupt with a vector on the VP
 *
 * All but the first two run on the VP's thread only.  Those that return int may
 * sleep, and give 0 or a negative errno when the slot cannot be accessed.
 */
struct hvpm_vp_ops {
	enum hvpm_status (*state)(struct hvpm_vp *vp);
	void (*kick)(struct hvpm_vp *vp);
	int (*read_header)(struct hvpm_vp *vp, unsigned int sint, u64 *header);
	int (*set_pending)(struct hvpm_vp *vp, unsigned int sint);
	int (*write_message)(struct hvpm_vp *vp, unsigned int sint,
			     const struct hv_postmsg_message *message);
	bool (*write_own)(struct hvpm_vp *vp, const struct hvpm_port *port,
			  const struct hvpm_post_head *head);
	bool (*read_payload)(struct hvpm_vp *vp, void *payload, u32 size);
	bool (*timer_waits)(struct hvpm_vp *vp, unsigned int sint);
	u64 (*sint)(struct hvpm_vp *vp, unsigned int sint);
	void (*interrupt)(struct hvpm_vp *vp, u8 vector);
};

/**
 * struct hvpm_vp - a virtual processor
 *
 * @ops: how to reach it, constant
 * @partition: the partition it belongs to, constant
 * @slot: its number in &hvpm_partition.vps and &hvpm_partition.queued, constant
 * @resets: times the VP was reset, under queue.lock: a message that could not be
 *	written goes back to the queue only if there was none meanwhile
 * @behind: SINTs whose slot was last seen with a timer's message in it, before
 *	something queued: it is the queue's turn.  The VP's thread only
 * @last: connection that the VP last posted to, or NULL; under RCU, and not to be
 *	looked at unless @last_drops is what &hvpm_partition.connection_drops is: it may
 *	be gone.  The VP's thread only
 * @last_drops: what that was before it was looked up.  The VP's thread only
 * @queue: messages queued for it
 */
struct hvpm_vp {
	const struct hvpm_vp_ops *ops;
	struct hvpm_partition *partition;
	unsigned int slot;
	unsigned int resets;
	unsigned long behind;
	struct hvpm_connection *last;
	unsigned long last_drops;
	struct hvpm_queue queue;
};

void hvpm_vp_init(struct hvpm_vp *vp, const struct hvpm_vp_ops *ops,
		  struct hvpm_partition *partition, unsigned int slot);
void hvpm_vp_post(struct hvpm_vp *vp, struct hvpm_buffer *buffer);
void hvpm_vp_scan(struct hvpm_vp *vp);
void hvpm_vp_scan_behind(struct hvpm_vp *vp);
void hvpm_vp_reset(struct hvpm_vp *vp);
void hvpm_vp_kick_queued(struct hvpm_partition *partition);

#endif /* _HV_POSTMSG_VP_H */
