// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls, well formed and not, to ports of every kind, and what happens around
 * them.  An input begins with a world that is there: its first record says how its
 * VMs are.
 */
#include "world.h"

static const struct operation operations[] = {
	OPERATION(hypercall, 30),
	OPERATION(enter, 6),
	OPERATION(consume, 4),
	OPERATION(write_slot, 1),
	OPERATION(set_msr, 2),
	OPERATION(timer, 3),
	OPERATION(eoi, 1),
	OPERATION(halt, 1),
	OPERATION(init, 1),
	OPERATION(page_access, 1),
	OPERATION(privilege, 1),
	OPERATION(vcpu_create, 1),
	OPERATION(vcpu_activate, 1),
	OPERATION(set_state, 1),
	OPERATION(delete_port, 1),
	OPERATION(create_port, 1),
	OPERATION(disconnect, 1),
	OPERATION(port_fd, 1),
	OPERATION(connect, 1),
	OPERATION(reset_vp, 1),
	OPERATION(read, 1),
	OPERATION(post, 1),
	OPERATION(close, 1),
	{}
};

static void setup(const struct step *first)
{
	world_make_all(first->a & 0xe);
}

const struct target target = {
	.name = "hypercall",
	.counts_calls = true,
	.setup = setup,
	.operations = operations,
};
