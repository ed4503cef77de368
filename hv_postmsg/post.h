/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HvCallPostMessage.
 */
#ifndef _HV_POSTMSG_POST_H
#define _HV_POSTMSG_POST_H

#include <linux/types.h>

#include <uapi/linux/hv_postmsg.h>

#include "status.h"

struct hvpm_partition;

/* Call code of HvCallPostMessage. */
#define HVPM_CALL_POST_MESSAGE		0x005c

/**
 * struct hvpm_post_input - the call's input block ("HvCallPostMessage")
 *
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
	u32 connection_id;
	u32 reserved;
	u32 message_type;
	u32 payload_size;
	u8 payload[HV_POSTMSG_PAYLOAD_MAX];
};

enum hvpm_status hvpm_post_check_call(u64 control, u64 gpa);
enum hvpm_status hvpm_post(struct hvpm_partition *from,
			   const struct hvpm_post_input *input);
void hvpm_post_count(struct hvpm_partition *from, enum hvpm_status status);
int hvpm_post_wait(struct hvpm_partition *from,
		   const struct hvpm_post_input *input, bool nonblock,
		   enum hvpm_status *status);

#endif /* _HV_POSTMSG_POST_H */
