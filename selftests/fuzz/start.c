// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worlds to start from.
 */
#include "world.h"

/* VM 0 receives, VM 1 sends, a host partition does both. */
#define RECEIVER	0
#define SENDER		1

/* A VM that is attached, its first @guests vCPUs with all registers set up. */
void world_make_vm(int vm, unsigned int vcpus, unsigned int guests,
		   uint32_t flags)
{
	struct step step = { .who = vm, .b = 3 };
	unsigned int i;

	op_vm_create(&step);
	for (i = 0; i < vcpus; i++) {
		step.who = vm;
		op_vcpu_create(&step);
		step.who = vm + CORE_VMS * i;
		op_vcpu_activate(&step);
	}
	step.b = 1;
	step.a = flags;
	step.what = vm;
	op_create_partition(&step);

	for (i = 0; i < guests; i++) {
		step.who = vm + CORE_VMS * i;
		step.b = 0;
		step.what = 8;
		step.e = 4;
		op_set_msr(&step);
		step.what = 0;
		step.e = 0;
		for (step.b = 1; step.b <= 4; step.b++) {
			step.c = 0x50 + step.b;
			op_set_msr(&step);
		}
	}
}

/* Port @id of the receiver, and connections of both VMs to it. */
static void make_port(uint32_t id, uint8_t vp, uint32_t type, uint8_t flags,
		      uint16_t buffers)
{
	struct step step = {
		.a = id - 1, .what = vp, .b = type, .c = 0x100 | id, .e = flags,
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
void world_make_all(uint32_t flags)
{
	struct step step = {};

	world_make_vm(RECEIVER, 3, 2, 0);
	world_make_vm(SENDER, 1, 1, flags);
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
