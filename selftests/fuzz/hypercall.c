// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls, well formed and not, to ports of every kind, and what happens around
 * them.  An input begins with a world that is there: its first record says how its
 * VMs are.
 */
#include "world.h"

/* VM 0 receives, VM 1 sends, a host partition does both. */
#define RECEIVER	0
#define SENDER		1

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

/* Port @id of the receiver, and connections of both VMs to it. */
static void make_port(uint32_t id, uint8_t vp, uint32_t type, uint8_t flags,
		      uint16_t buffers)
{
	struct step step = {
		.a = id - 1, .what = vp, .b = type, .c = id, .e = flags,
		.f = buffers,
	};

	op_create_port(&step);
	op_port_fd(&step);
	step.what = id - 1;
	step.e = 1;
	op_connect(&step);
	step.who = 1;
	op_connect(&step);
}

/*
 * Ports 1 and 2: a VP each; 3 and 4: any VP; 5: a VP that does not exist; 6: one
 * whose SIM page is off; 7: events; 8: a host's endpoint.
 */
static void setup(const struct step *first)
{
	struct step step = {};

	world_make_vm(RECEIVER, 3, 2, 0);
	world_make_vm(SENDER, 1, 1, first->a & 0xe);
	make_port(1, 0, 8, 1, 4);
	make_port(2, 1, 8, 1, 2);
	make_port(3, 6, 8, 1, 3);
	make_port(4, 6, 8, 1, 5);
	make_port(5, 3, 8, 1, 1);
	make_port(6, 2, 8, 1, 1);
	make_port(7, 0, 1, 1, 0);

	step.b = 4;
	op_create_partition(&step);
	step.who = 2;
	step.b = 3;
	op_create_endpoint(&step);
	step.a = 7;
	step.b = 8;
	step.e = 3;
	step.f = 3;
	op_create_port(&step);
	op_port_fd(&step);
	step.what = 7;
	step.who = 1;
	op_connect(&step);
	step.who = 0;
	op_connect(&step);
}

const struct target target = {
	.name = "hypercall",
	.counts_calls = true,
	.setup = setup,
	.operations = operations,
};
