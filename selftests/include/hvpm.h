/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's side: VMs with a SynIC, and what /dev/hv_postmsg does for them
 *
 * A function named hvpm_x() asserts that it succeeds; its twin __hvpm_x()
 * returns what the system call did, and sets errno.
 */
#ifndef SELFTESTS_HVPM_H
#define SELFTESTS_HVPM_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "hvpm_guest.h"

#define HVPM_DEVICE	"/dev/hv_postmsg"

/* Control word of a well-formed HvCallPostMessage. */
#define HVPM_POST	((uint64_t)HVCALL_POST_MESSAGE)

/* --- ioctls --- */

/* The device, opened once a process; hvpm_device() skips the test without it. */
int __hvpm_device(void);
int hvpm_device(void);

int __hvpm_ioctl(int fd, unsigned long command, void *argument);
int hvpm_ioctl_named(int fd, unsigned long command, void *argument,
		     const char *name, const char *file, unsigned int line);
#define hvpm_ioctl(fd, command, argument) \
	hvpm_ioctl_named(fd, command, argument, #command, __FILE__, __LINE__)

int __hvpm_create_partition(int vm_fd, uint32_t flags);
int hvpm_create_partition(int vm_fd, uint32_t flags);
int hvpm_create_host_partition(void);

/* Close it, when each of its ports has all of its buffers free or queued. */
void hvpm_close_partition(int partition);

int __hvpm_set_state(int partition, uint32_t state);
void hvpm_set_state(int partition, uint32_t state);

/* Message port with a target VP; @buffers 0 is the default. */
int __hvpm_create_port(int partition, uint32_t port_id, uint32_t vp,
		       uint32_t sint, uint32_t flags, uint32_t buffers);
void hvpm_create_port(int partition, uint32_t port_id, uint32_t vp,
		      uint32_t sint, uint32_t flags, uint32_t buffers);
void hvpm_create_event_port(int partition, uint32_t port_id, uint32_t vp,
			    uint32_t sint, uint32_t flags);
/* Message port that feeds an endpoint. */
void hvpm_create_endpoint_port(int partition, uint32_t port_id, int endpoint,
			       uint32_t flags, uint32_t buffers);
int hvpm_create_endpoint(int partition, uint32_t depth);

int __hvpm_delete_port(int partition, uint32_t port_id);
void hvpm_delete_port(int partition, uint32_t port_id);
int __hvpm_port_fd(int partition, uint32_t port_id);
int hvpm_port_fd(int partition, uint32_t port_id);

int __hvpm_connect(int partition, uint32_t connection_id, int port_fd,
		   uint32_t flags);
void hvpm_connect(int partition, uint32_t connection_id, int port_fd,
		  uint32_t flags);
int __hvpm_disconnect(int partition, uint32_t connection_id);
void hvpm_disconnect(int partition, uint32_t connection_id);

/*
 * Connect @sender to a port of @receiver, both partitions of this process.  The
 * same partition twice gets HV_POSTMSG_CONNECT_SELF.
 */
void hvpm_join(int sender, uint32_t connection_id, int receiver, uint32_t port_id);

int __hvpm_reset_vp(int partition, uint32_t vp);
void hvpm_reset_vp(int partition, uint32_t vp);

/* Post as a partition; the second form seals the payload.  Return HV_STATUS. */
int __hvpm_post(int partition, uint32_t connection_id, uint32_t type,
		const void *payload, uint32_t size, uint32_t flags,
		uint32_t *status);
uint32_t hvpm_post(int partition, uint32_t connection_id, uint32_t type,
		   uint32_t size, uint32_t flags, uint32_t sender,
		   uint64_t sequence);

void hvpm_port_stats(int partition, uint32_t port_id,
		     struct hv_postmsg_port_stats *stats);
void hvpm_partition_stats(int partition, struct hv_postmsg_partition_stats *stats);

/* Every buffer of the port is either free or holds a queued message. */
void hvpm_check_port(int partition, uint32_t port_id);

/*
 * Fork; the child dies with its parent.  Returns true in the child.  @sockets
 * is a pair: the parent's end first.
 */
bool hvpm_spawn(pid_t *child, int sockets[2]);

/* Send an open file to another process, and receive one. */
void hvpm_send_fd(int socket, int fd);
int hvpm_receive_fd(int socket);

/* --- VMs --- */

struct hvpm_vm;

/**
 * struct hvpm_vp - a virtual processor of a VM
 *
 * @vm: the VM
 * @vcpu: the vCPU behind it
 * @index: its VP index when created
 * @guest: what host and guest share, as the host addresses it
 * @slots: the SIM page, as the host addresses it
 * @input: the pages for hypercall input, as the host addresses them
 * @thread: thread that runs it, between hvpm_vp_start() and hvpm_vp_join()
 * @exits: hypercalls that KVM handed to hvpm_vp_run()
 * @done: the guest has said GUEST_DONE()
 */
struct hvpm_vp {
	struct hvpm_vm *vm;
	struct kvm_vcpu *vcpu;
	uint32_t index;
	struct hvpm_guest *guest;
	volatile struct hv_postmsg_message *slots;
	uint8_t *input;
	pthread_t thread;
	uint64_t exits;
	volatile bool done;
};

/**
 * struct hvpm_vm - a VM whose VPs have a SynIC
 *
 * @vm: the VM as the KVM selftests library has it
 * @partition: partition it is attached to, or -1
 * @nr_vps: VPs it has
 * @max_vps: VPs it has room for
 * @vps: the VPs
 */
struct hvpm_vm {
	struct kvm_vm *vm;
	int partition;
	unsigned int nr_vps;
	unsigned int max_vps;
	struct hvpm_vp vps[];
};

/*
 * A VM with @nr_vps VPs: Hyper-V CPUID, SynIC activated, a SIM page each.
 * Each runs @code, or hvpm_guest_main() if that is NULL.  Not attached yet.
 */
struct hvpm_vm *hvpm_vm_create(unsigned int nr_vps, void (*code)(struct hvpm_guest *));

/*
 * The same in steps, for what must happen between them: a VM that has room for
 * @max_vps, then a VP at a time, with or without a SynIC.
 */
struct hvpm_vm *hvpm_vm_create_empty(unsigned int max_vps);
struct hvpm_vp *hvpm_vm_add_vp(struct hvpm_vm *vm, void (*code)(struct hvpm_guest *),
			       bool synic);

/* Attach: make a partition of it.  Returns the partition. */
int hvpm_vm_attach(struct hvpm_vm *vm, uint32_t flags);

/* Close the partition, if any, then the VM. */
void hvpm_vm_free(struct hvpm_vm *vm);

/*
 * Run a VP until its guest makes a ucall; returns UCALL_SYNC or UCALL_DONE, or
 * UCALL_NONE for an exit that is no ucall: see vcpu->run.  A failed assertion
 * of the guest fails the test.
 */
uint64_t hvpm_vp_run(struct hvpm_vp *vp, struct ucall *uc);

/* Run a VP in a thread until it says GUEST_DONE(). */
void hvpm_vp_start(struct hvpm_vp *vp);
void hvpm_vp_join(struct hvpm_vp *vp);

/* --- VPs that run hvpm_guest_main(): one command, then back --- */

/* Execute @command with what is in guest->argument. */
void hvpm_vp_command(struct hvpm_vp *vp, enum hvpm_command command);

/* The same in two steps: what is between happens while the VP is in the guest. */
void hvpm_vp_command_start(struct hvpm_vp *vp, enum hvpm_command command);
void hvpm_vp_command_join(struct hvpm_vp *vp);

/* Enter the guest and leave it: what is queued can be delivered. */
void hvpm_vp_poke(struct hvpm_vp *vp);

/*
 * Initialise and enable the SynIC with SINT @sint unmasked; polling, if this VP
 * has no vectors of its own.
 */
void hvpm_vp_enable_synic(struct hvpm_vp *vp, unsigned int sint);

/* A hypercall; returns the HV_STATUS, asserts that the rest of RAX is 0. */
uint16_t hvpm_vp_hypercall(struct hvpm_vp *vp, uint64_t control,
			   uint64_t input_gpa, uint64_t output_gpa);

/* Fill the input block at @offset of the input pages. */
struct hvpm_input *hvpm_vp_fill(struct hvpm_vp *vp, uint32_t offset,
				uint32_t connection_id, uint32_t type,
				uint32_t size);

/* Post a sealed payload (a patterned one below HVPM_PAYLOAD_MIN). */
uint16_t hvpm_vp_post(struct hvpm_vp *vp, uint32_t connection_id, uint32_t type,
		      uint32_t size, uint32_t sender, uint64_t sequence);

void hvpm_vp_wrmsr(struct hvpm_vp *vp, uint32_t msr, uint64_t value);
/* Returns the vector of the exception, or 0. */
uint8_t __hvpm_vp_wrmsr(struct hvpm_vp *vp, uint32_t msr, uint64_t value);
uint64_t hvpm_vp_rdmsr(struct hvpm_vp *vp, uint32_t msr);

/* Take a message out of a slot by the protocol; false if the slot is empty. */
bool hvpm_vp_take(struct hvpm_vp *vp, unsigned int sint,
		  struct hv_postmsg_message *message);

/* Have the guest call @function(guest, @argument); returns what it returns. */
uint64_t hvpm_vp_call(struct hvpm_vp *vp,
		      uint64_t (*function)(struct hvpm_guest *, uint64_t),
		      uint64_t argument);

/* Guest physical address of the input page. */
static inline uint64_t hvpm_vp_input_gpa(struct hvpm_vp *vp)
{
	return vp->guest->input_gpa;
}

#endif /* SELFTESTS_HVPM_H */
