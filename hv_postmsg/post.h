/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HvCallPostMessage.
 */
#ifndef _HV_POSTMSG_POST_H
#define _HV_POSTMSG_POST_H

#include <linux/stddef.h>
#include <linux/types.h>

#include <uapi/linux/hv_postmsg.h>

#include "status.h"

struct hvpm_partition;
struct hvpm_vp;

/* Hyper-V's page, whatever the kernel's is. */
#define HV_PAGE_BYTES		4096

/* Call code of HvCallPostMessage. */
#define HVPM_CALL_POST_MESSAGE		0x005c

/**
 * struct hvpm_post_input - the call's input block ("HvCallPostMessage")
 *
 * @head: all but the payload, as &struct hvpm_post_head
 * @connection_id: the connection
 * @reserved: RsvdZ
 * @message_type: type of the message
 * @payload_size: bytes of @payload
 * @payload: the message
 *
 * Little endian, 256 bytes at an 8-byte-aligned address inside one page.  The
 * guest can change the original at any time: only a private copy is looked at.
 */
struct hvpm_post_input {
	struct_group_tagged(hvpm_post_head, head, /* all that is looked at */
		u32 connection_id;
		u32 reserved;
		u32 message_type;
		u32 payload_size;
	);
	u8 payload[HV_POSTMSG_PAYLOAD_MAX];
};

/**
 * struct hvpm_post - a post under way
 *
 * @head: private copy of the input block's head
 * @own: the VP that posts, and has the payload; NULL if @payload is there
 * @payload: private copy of the payload, or NULL
 */
struct hvpm_post {
	struct hvpm_post_head head;
	struct hvpm_vp *own;
	const u8 *payload;
};

enum hvpm_status hvpm_post(struct hvpm_partition *from,
			   const struct hvpm_post_input *input);
enum hvpm_status hvpm_post_by_vp(const struct hvpm_post *post);
void hvpm_post_count(struct hvpm_partition *from, enum hvpm_status status);
int hvpm_post_wait(struct hvpm_partition *from,
		   const struct hvpm_post_input *input, bool nonblock,
		   enum hvpm_status *status);

/**
 * hvpm_post_check_call - check control word and address of the input block
 * @control: hypercall input value
 * @gpa: guest physical address of the input block
 *
 * The call is simple: in the control word nothing but the call code may be set,
 * not even the fast bit, for the block does not fit into registers.
 *
 * Context: any.
 * Return: HV_STATUS_SUCCESS, _INVALID_HYPERCALL_INPUT, _INVALID_ALIGNMENT.
 */
static inline enum hvpm_status hvpm_post_check_call(u64 control, u64 gpa)
{
	const unsigned int size = sizeof(struct hvpm_post_input);

	if (control != HVPM_CALL_POST_MESSAGE)
		return HVPM_STATUS_INVALID_HYPERCALL_INPUT;
	if (gpa % 8 || gpa % HV_PAGE_BYTES > HV_PAGE_BYTES - size)
		return HVPM_STATUS_INVALID_ALIGNMENT;
	return HVPM_STATUS_SUCCESS;
}

#endif /* _HV_POSTMSG_POST_H */
