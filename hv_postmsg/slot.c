// SPDX-License-Identifier: GPL-2.0-only
/*
 * Message slot: is it empty, and whom to tell when it is filled.
 *
 * A slot is empty while its message type is zero.  The guest empties it, then
 * looks at MessagePending and writes EOM if it is set ("SynIC Message Flags").
 * Only the VP's own thread writes slots: this module and KVM's timers never meet
 * in one, so the guest is the only other side.
 */
#include <asm/barrier.h>
#include <linux/bits.h>

#include "slot.h"
#include "vp.h"

/* Message type and flags within the first 8 bytes of a slot, little endian. */
#define HEADER_TYPE(header)	((u32)(header))
#define HEADER_FLAGS(header)	((u8)((header) >> 40))

/**
 * hvpm_slot_claim - find out whether a slot can take a message
 * @vp: the VP, on whose thread the call is made
 * @sint: the slot
 * @type: where the type of the message in it goes
 *
 * A full slot is left with MessagePending set.
 *
 * Context: the VP's thread; may sleep.
 * Return: 1 empty; 0 full, the guest will write EOM when it has emptied it;
 *	negative errno: the slot could not be accessed.
 */
int hvpm_slot_claim(struct hvpm_vp *vp, unsigned int sint, u32 *type)
{
	u64 header;
	int ret;

	ret = vp->ops->read_header(vp, sint, &header);
	if (ret)
		return ret;
	*type = HEADER_TYPE(header);
	if (!*type)
		return 1;
	if (HEADER_FLAGS(header) & HVPM_MESSAGE_PENDING)
		return 0;

	ret = vp->ops->set_pending(vp, sint);
	if (ret)
		return ret;

	/*
	 * Order the flag before the second look at the type.  Pairs with the
	 * guest's barrier between zeroing the type and reading the flags: either
	 * it sees the flag and writes EOM, or the zero is seen here.
	 */
	smp_mb();

	ret = vp->ops->read_header(vp, sint, &header);
	if (ret)
		return ret;
	*type = HEADER_TYPE(header);
	return !*type;
}

/**
 * hvpm_slot_interrupt - raise the SINT's interrupt for a message in its slot
 * @vp: the VP, on whose thread the call is made
 * @sint: the slot
 *
 * If it has one: hvpm_sint_vector().
 *
 * Context: the VP's thread.
 */
void hvpm_slot_interrupt(struct hvpm_vp *vp, unsigned int sint)
{
	u8 vector = hvpm_sint_vector(vp->ops->sint(vp, sint));

	if (vector)
		vp->ops->interrupt(vp, vector);
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/slot_kunit.c"
#endif
