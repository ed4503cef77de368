// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sequences of everything that files and guests can do.
 */
#include "world.h"

static const struct operation operations[] = {
	OPERATION(info, 1),
	OPERATION(unknown_ioctl, 1),
	OPERATION(open_other, 1),
	OPERATION(vm_create, 1),
	OPERATION(vcpu_create, 1),
	OPERATION(vcpu_activate, 1),
	OPERATION(create_partition, 3),
	OPERATION(set_state, 1),
	OPERATION(create_endpoint, 2),
	OPERATION(create_port, 4),
	OPERATION(delete_port, 1),
	OPERATION(port_fd, 3),
	OPERATION(connect, 4),
	OPERATION(disconnect, 1),
	OPERATION(get_property, 1),
	OPERATION(set_property, 2),
	OPERATION(reset_vp, 1),
	OPERATION(post, 6),
	OPERATION(port_stats, 1),
	OPERATION(partition_stats, 1),
	OPERATION(read, 3),
	OPERATION(nonblock, 1),
	OPERATION(close, 1),
	OPERATION(end_process, 1),
	OPERATION(run_works, 2),
	OPERATION(hypercall, 3),
	OPERATION(enter, 6),
	OPERATION(consume, 4),
	OPERATION(write_slot, 1),
	OPERATION(set_msr, 4),
	OPERATION(timer, 3),
	OPERATION(halt, 1),
	OPERATION(eoi, 1),
	OPERATION(init, 1),
	OPERATION(page_access, 1),
	OPERATION(privilege, 1),
	{}
};

/* Often from something, as much takes many steps. */
static void setup(const struct step *first)
{
	const struct step host = { .b = 4 };

	if ((first->b & 0xf) >= 0xc) {
		world_make_all(first->a & 0xe);
		return;
	}
	if (first->b & 1)
		world_make_vm(0, 2, 2, first->a & 0xe);
	if (first->b & 2)
		world_make_vm(1, 1, first->b >> 4 & 1, first->c & 0xe);
	if (first->b & 4)
		op_create_partition(&host);
}

const struct target target = {
	.name = "ioctl",
	.setup = setup,
	.operations = operations,
};
