/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module must do, once more: a reference model, slow and obvious.
 *
 * It knows one thread.  Everything is in plain lists that are searched from the
 * front; a number that the module keeps is counted here where it can be.  Plain C
 * and its library, so that a program in user space and one beside real guests can
 * use it.
 *
 * The functions named after an ioctl return what the ioctl must return, 0 or a
 * negative errno, for a struct that has been copied in whole; the caller looks
 * after sizes, bad addresses and file descriptors.  model_hypercall() returns the
 * status of a call.  A function that succeeds has changed the model.
 */
#ifndef _HVPM_FUZZ_MODEL_H
#define _HVPM_FUZZ_MODEL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of the interface, spelled out: the module's own might be wrong. */
#define MODEL_CALL		0x5cu
#define MODEL_PAYLOAD_MAX	240u
#define MODEL_ANY_VP		0xffffffffu
#define MODEL_ID_MAX		0xffffffu
#define MODEL_SINTS		16u
#define MODEL_MAX_VPS		64u
#define MODEL_DEFAULT_BUFFERS	16u
#define MODEL_MAX_BUFFERS	64u
#define MODEL_MAX_ENDPOINTS	64u
#define MODEL_DEFAULT_DEPTH	256u
#define MODEL_MAX_DEPTH		4096u
#define MODEL_TIMER_EXPIRED	0x80000010u
#define MODEL_PENDING		1u
#define MODEL_STATUSES		32u

/* HV_STATUS, and what the module does instead of answering. */
enum model_status {
	MODEL_SUCCESS			= 0x00,
	MODEL_INVALID_HYPERCALL_INPUT	= 0x03,
	MODEL_INVALID_ALIGNMENT		= 0x04,
	MODEL_INVALID_PARAMETER		= 0x05,
	MODEL_ACCESS_DENIED		= 0x06,
	MODEL_INVALID_VP_INDEX		= 0x0e,
	MODEL_INVALID_PORT_ID		= 0x11,
	MODEL_INVALID_CONNECTION_ID	= 0x12,
	MODEL_INSUFFICIENT_BUFFERS	= 0x13,
	MODEL_INVALID_SYNIC_STATE	= 0x18,

	/* Handed to the VMM: the exit that KVM prepared. */
	MODEL_PASSED			= 0x100,
	/* Another call code: none of the module's business. */
	MODEL_OTHER_CALL		= 0x101,
};

/* Flags of a partition. */
#define MODEL_ENFORCE_PRIVILEGE	0x2u
#define MODEL_STRICT_RESERVED	0x4u
#define MODEL_PASS_UNKNOWN	0x8u

struct model_partition;

/* The input block of the call, 256 bytes. */
struct model_block {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t message_type;
	uint32_t payload_size;
	uint8_t payload[MODEL_PAYLOAD_MAX];
};

/**
 * struct model_call - a guest's hypercall
 *
 * @control: hypercall input value
 * @gpa: address of the input block
 * @readable: there is memory at @gpa, which the VMM lets be read
 * @synic: the SynIC of the calling VP has been set up by the VMM
 * @kvm_enforces: KVM_CAP_HYPERV_ENFORCE_CPUID is enabled for the calling VP
 * @privileged: its CPUID grants PostMessages
 * @block: what is at @gpa
 */
struct model_call {
	uint64_t control;
	uint64_t gpa;
	bool readable;
	bool synic;
	bool kvm_enforces;
	bool privileged;
	struct model_block block;
};

/* A message as its receiver finds it. */
struct model_content {
	uint32_t type;
	uint8_t payload_size;
	uint8_t flags;
	uint16_t reserved;
	uint64_t port_id;
	uint8_t payload[MODEL_PAYLOAD_MAX];
};

struct model_endpoint {
	struct model_endpoint *next;
	struct model_partition *partition;
	uint32_t depth;
	bool closed;
	bool fed;
};

/* Ports stay in the model when they are deleted, not @alive and not in the way. */
struct model_port {
	struct model_port *next;
	struct model_partition *partition;
	struct model_endpoint *endpoint;
	uint32_t id;
	bool message;
	uint32_t sint;
	uint32_t target_vp;
	uint32_t preferred_vp;
	uint32_t next_vp;
	uint32_t buffers;
	bool shared;
	bool alive;
	uint32_t high_water;
	uint64_t posted;
	uint64_t delivered;
	uint64_t freed;
	uint64_t refused_port;
	uint64_t refused_vp;
	uint64_t refused_synic;
	uint64_t refused_buffers;
};

struct model_connection {
	struct model_connection *next;
	struct model_partition *partition;
	struct model_port *port;
	uint32_t id;
};

/**
 * struct model_vp - a virtual processor
 *
 * @next: the partition's VPs, in the order of their vCPUs
 * @index: VP index
 * @number: number of the vCPU
 * @synic: its SynIC has been set up: messages can be queued for it
 * @enabled: SCONTROL and SIM page are enabled
 * @reachable: the SIM page can be read and written
 * @writable: it can be written
 * @sint: the SINT registers
 * @timers: SINTs that a synthetic timer waits for
 * @behind: SINTs whose slot was last found with a timer's message in it
 * @slot: the slots of the SIM page; @page unless the caller has put them elsewhere
 * @page: room for them
 * @interrupts: interrupts that were raised, per SINT
 */
struct model_vp {
	struct model_vp *next;
	uint32_t index;
	uint32_t number;
	bool synic;
	bool enabled;
	bool reachable;
	bool writable;
	uint64_t sint[MODEL_SINTS];
	uint32_t timers;
	uint32_t behind;
	struct model_content *slot;
	struct model_content page[MODEL_SINTS];
	uint64_t interrupts[MODEL_SINTS];
};

/*
 * A message that was accepted and not yet delivered or freed.  All of them are in
 * one list, oldest first.  @seen: the receiving VP has looked at its queue since.
 */
struct model_message {
	struct model_message *next;
	struct model_port *port;
	struct model_vp *vp;
	struct model_endpoint *endpoint;
	bool seen;
	struct model_content content;
};

struct model_partition {
	struct model_partition *next;
	uint32_t flags;
	bool host;
	bool active;
	bool dead;
	struct model_vp *vps;
	uint32_t high_water;
	uint64_t posted;
	uint64_t delivered;
	uint64_t freed;
	uint64_t faults;
	uint64_t passed;
	uint64_t status[MODEL_STATUSES];
};

struct model {
	struct model_partition *partitions;
	struct model_port *ports;
	struct model_connection *connections;
	struct model_endpoint *endpoints;
	struct model_message *messages;
};

/* --- making and finding --- */

/* Append to a list, so that each is in the order of creation. */
#define model_append(list, element)					\
	do {								\
		typeof(list) *_at = &(list);				\
									\
		while (*_at)						\
			_at = &(*_at)->next;				\
		(element)->next = NULL;					\
		*_at = (element);					\
	} while (0)

#define model_remove(list, element)					\
	do {								\
		typeof(list) *_at = &(list);				\
									\
		while (*_at != (element))				\
			_at = &(*_at)->next;				\
		*_at = (element)->next;					\
	} while (0)

#define model_free_list(list)						\
	do {								\
		typeof(list) _first;					\
									\
		while ((_first = (list))) {				\
			(list) = _first->next;				\
			free(_first);					\
		}							\
	} while (0)

static inline void *model_alloc(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

static inline void model_free(struct model *model)
{
	struct model_partition *partition;

	for (partition = model->partitions; partition;
	     partition = partition->next)
		model_free_list(partition->vps);
	model_free_list(model->partitions);
	model_free_list(model->ports);
	model_free_list(model->connections);
	model_free_list(model->endpoints);
	model_free_list(model->messages);
}

/* A new partition is active; a VM's has no VPs yet. */
static inline struct model_partition *
model_new_partition(struct model *model, bool host, uint32_t flags)
{
	struct model_partition *partition = model_alloc(sizeof(*partition));

	partition->host = host;
	partition->flags = flags;
	partition->active = true;
	model_append(model->partitions, partition);
	return partition;
}

/* A new vCPU; its SynIC is not set up, its SINTs are masked. */
static inline struct model_vp *model_new_vp(struct model_partition *partition,
					    uint32_t index)
{
	struct model_vp *vp = model_alloc(sizeof(*vp));
	struct model_vp *other;
	unsigned int sint;

	vp->index = index;
	for (other = partition->vps; other; other = other->next)
		vp->number++;
	for (sint = 0; sint < MODEL_SINTS; sint++)
		vp->sint[sint] = 1 << 16;
	vp->reachable = true;
	vp->writable = true;
	vp->slot = vp->page;
	model_append(partition->vps, vp);
	return vp;
}

static inline struct model_vp *
model_find_vp(const struct model_partition *partition, uint32_t index)
{
	struct model_vp *vp;

	for (vp = partition->vps; vp; vp = vp->next)
		if (vp->index == index)
			return vp;
	return NULL;
}

static inline struct model_port *
model_find_port(const struct model *model,
		const struct model_partition *partition, uint32_t id)
{
	struct model_port *port;

	for (port = model->ports; port; port = port->next)
		if (port->alive && port->partition == partition &&
		    port->id == id)
			return port;
	return NULL;
}

static inline struct model_connection *
model_find_connection(const struct model *model,
		      const struct model_partition *partition, uint32_t id)
{
	struct model_connection *connection;

	for (connection = model->connections; connection;
	     connection = connection->next)
		if (connection->partition == partition && connection->id == id)
			return connection;
	return NULL;
}

/* --- counting --- */

static inline uint32_t model_count_ports(const struct model *model,
					 const struct model_partition *partition)
{
	struct model_port *port;
	uint32_t count = 0;

	for (port = model->ports; port; port = port->next)
		count += port->alive && port->partition == partition;
	return count;
}

static inline uint32_t
model_count_connections(const struct model *model,
			const struct model_partition *partition)
{
	struct model_connection *connection;
	uint32_t count = 0;

	for (connection = model->connections; connection;
	     connection = connection->next)
		count += connection->partition == partition;
	return count;
}

static inline uint32_t
model_count_endpoints(const struct model *model,
		      const struct model_partition *partition)
{
	struct model_endpoint *endpoint;
	uint32_t count = 0;

	for (endpoint = model->endpoints; endpoint; endpoint = endpoint->next)
		count += !endpoint->closed && endpoint->partition == partition;
	return count;
}

/* Messages that hold one of the port's buffers. */
static inline uint32_t model_used_buffers(const struct model *model,
					  const struct model_port *port)
{
	struct model_message *message;
	uint32_t count = 0;

	for (message = model->messages; message; message = message->next)
		count += message->port == port;
	return count;
}

static inline uint32_t model_held(const struct model *model,
				  const struct model_endpoint *endpoint)
{
	struct model_message *message;
	uint32_t count = 0;

	for (message = model->messages; message; message = message->next)
		count += message->endpoint == endpoint;
	return count;
}

static inline uint32_t model_queued(const struct model *model,
				    const struct model_vp *vp)
{
	struct model_message *message;
	uint32_t count = 0;

	for (message = model->messages; message; message = message->next)
		count += message->vp == vp;
	return count;
}

static inline struct model_message *
model_oldest(const struct model *model, const struct model_vp *vp,
	     unsigned int sint)
{
	struct model_message *message;

	for (message = model->messages; message; message = message->next)
		if (message->vp == vp && message->port->sint == sint)
			return message;
	return NULL;
}

static inline bool model_more_behind(const struct model_message *oldest)
{
	struct model_message *message;

	for (message = oldest->next; message; message = message->next)
		if (message->vp == oldest->vp && message->seen &&
		    message->port->sint == oldest->port->sint)
			return true;
	return false;
}

/* Somebody can still send to the endpoint, or has never been able to. */
static inline bool model_hung_up(const struct model *model,
				 const struct model_endpoint *endpoint)
{
	struct model_port *port;

	if (endpoint->partition->dead)
		return true;
	if (!endpoint->fed)
		return false;
	for (port = model->ports; port; port = port->next)
		if (port->alive && port->endpoint == endpoint)
			return false;
	return true;
}

/* --- the end of a message --- */

static inline void model_delivered(struct model *model,
				   struct model_message *message)
{
	message->port->delivered++;
	message->port->partition->delivered++;
	model_remove(model->messages, message);
	free(message);
}

static inline void model_freed(struct model *model,
			       struct model_message *message)
{
	message->port->freed++;
	message->port->partition->freed++;
	model_remove(model->messages, message);
	free(message);
}

/* Free the messages of a port, a VP, an endpoint: what is NULL is any. */
static inline void model_free_messages(struct model *model,
				       const struct model_port *port,
				       const struct model_vp *vp,
				       const struct model_endpoint *endpoint)
{
	struct model_message *message, *next;

	for (message = model->messages; message; message = next) {
		next = message->next;
		if ((!port || message->port == port) &&
		    (!vp || message->vp == vp) &&
		    (!endpoint || message->endpoint == endpoint))
			model_freed(model, message);
	}
}

/* --- posting --- */

/*
 * What the caller of the hypercall can do wrong, in the order of the checks.  KVM
 * looks at the privilege first, if the VMM told it to, and at reserved bits,
 * variable header and repetitions; the rest of the control word, which is the
 * fast bit, is the module's, and so are bits that this KVM takes for valid.
 */
static inline enum model_status
model_check_call(const struct model_partition *from,
		 const struct model_call *call)
{
	const uint64_t fast = 1 << 16;

	if ((call->control & 0xffff) != MODEL_CALL)
		return MODEL_OTHER_CALL;
	if (call->kvm_enforces && !call->privileged)
		return MODEL_ACCESS_DENIED;
	/* Bit 31 is the module's where KVM knows it; nobody can tell. */
	if (call->control & ~(0xffff | fast | 1ull << 31))
		return MODEL_INVALID_HYPERCALL_INPUT;
	if (!call->synic)
		return MODEL_INVALID_HYPERCALL_INPUT;
	if (from->flags & MODEL_ENFORCE_PRIVILEGE && !call->privileged)
		return MODEL_ACCESS_DENIED;
	if (call->control != MODEL_CALL)
		return MODEL_INVALID_HYPERCALL_INPUT;
	if (call->gpa & 7)
		return MODEL_INVALID_ALIGNMENT;
	if (call->gpa / 4096 != (call->gpa + 255) / 4096)
		return MODEL_INVALID_ALIGNMENT;
	if (!call->readable)
		return MODEL_INVALID_ALIGNMENT;
	return MODEL_SUCCESS;
}

static inline enum model_status
model_check_block(const struct model_partition *from,
		  const struct model_block *block)
{
	if (block->message_type == 0)
		return MODEL_INVALID_PARAMETER;
	if (block->message_type >= 0x80000000u)
		return MODEL_INVALID_PARAMETER;
	if (block->payload_size > MODEL_PAYLOAD_MAX)
		return MODEL_INVALID_PARAMETER;
	if (from->flags & MODEL_STRICT_RESERVED && block->reserved != 0)
		return MODEL_INVALID_PARAMETER;
	return MODEL_SUCCESS;
}

static inline bool model_available(const struct model_vp *vp)
{
	return vp && vp->synic && vp->enabled;
}

/* Is @vp a better choice than @best, which comes before it? */
static inline bool model_better(const struct model *model,
				const struct model_vp *vp,
				const struct model_vp *best)
{
	return !best || model_queued(model, vp) < model_queued(model, best);
}

/*
 * The VP that a post to a port for any VP goes to: the one with the least queued,
 * and of several the first in the order preferred VP, behind the last one chosen,
 * from the beginning.  Having chosen a preferred VP with nothing queued does not
 * count for that order.
 */
static inline struct model_vp *model_choose_vp(const struct model *model,
					       struct model_port *port)
{
	struct model_partition *partition = port->partition;
	struct model_vp *vp, *best = NULL;

	if (port->preferred_vp != MODEL_ANY_VP) {
		vp = model_find_vp(partition, port->preferred_vp);
		if (model_available(vp)) {
			if (!model_queued(model, vp))
				return vp;
			best = vp;
		}
	}
	for (vp = partition->vps; vp; vp = vp->next)
		if (vp->number >= port->next_vp && model_available(vp) &&
		    model_better(model, vp, best))
			best = vp;
	for (vp = partition->vps; vp; vp = vp->next)
		if (vp->number < port->next_vp && model_available(vp) &&
		    model_better(model, vp, best))
			best = vp;
	if (best)
		port->next_vp = best->number + 1;
	return best;
}

static inline enum model_status model_find_target(const struct model *model,
						  struct model_port *port,
						  struct model_vp **target)
{
	struct model_vp *vp;

	if (port->target_vp == MODEL_ANY_VP) {
		*target = model_choose_vp(model, port);
		if (*target)
			return MODEL_SUCCESS;
		return port->partition->vps ? MODEL_INVALID_SYNIC_STATE :
					      MODEL_INVALID_VP_INDEX;
	}

	vp = model_find_vp(port->partition, port->target_vp);
	if (!vp)
		return MODEL_INVALID_VP_INDEX;
	if (!model_available(vp))
		return MODEL_INVALID_SYNIC_STATE;
	*target = vp;
	return MODEL_SUCCESS;
}

static inline void model_accept(struct model *model, struct model_port *port,
				struct model_vp *vp,
				const struct model_block *block)
{
	struct model_message *message = model_alloc(sizeof(*message));
	struct model_content *content = &message->content;
	uint32_t used;

	message->port = port;
	message->vp = vp;
	message->endpoint = port->endpoint;
	content->type = block->message_type;
	content->payload_size = block->payload_size;
	content->port_id = port->id;
	memcpy(content->payload, block->payload, block->payload_size);
	model_append(model->messages, message);

	port->posted++;
	port->partition->posted++;
	used = model_used_buffers(model, port);
	if (used > port->high_water)
		port->high_water = used;
}

static inline enum model_status
model_post_to_port(struct model *model, struct model_port *port,
		   const struct model_block *block)
{
	struct model_vp *vp = NULL;
	enum model_status status;

	if (!port->alive || !port->partition->active || !port->message)
		return MODEL_INVALID_PORT_ID;
	if (port->endpoint) {
		if (port->endpoint->closed)
			return MODEL_INVALID_PORT_ID;
		if (model_held(model, port->endpoint) == port->endpoint->depth)
			return MODEL_INSUFFICIENT_BUFFERS;
	} else {
		status = model_find_target(model, port, &vp);
		if (status)
			return status;
	}
	if (model_used_buffers(model, port) == port->buffers)
		return MODEL_INSUFFICIENT_BUFFERS;
	model_accept(model, port, vp, block);
	return MODEL_SUCCESS;
}

static inline void model_count_refusal(struct model_port *port,
				       enum model_status status)
{
	port->refused_port += status == MODEL_INVALID_PORT_ID;
	port->refused_vp += status == MODEL_INVALID_VP_INDEX;
	port->refused_synic += status == MODEL_INVALID_SYNIC_STATE;
	port->refused_buffers += status == MODEL_INSUFFICIENT_BUFFERS;
}

/*
 * One try.  @waiting: a post that finds no buffer will be tried again, and is no
 * refusal that counts.
 */
static inline enum model_status
model_try_post(struct model *model, struct model_partition *from,
	       const struct model_block *block, bool waiting)
{
	struct model_connection *connection;
	enum model_status status;

	status = model_check_block(from, block);
	if (status)
		return status;
	connection = model_find_connection(model, from, block->connection_id);
	if (!connection || from->dead)
		return MODEL_INVALID_CONNECTION_ID;
	status = model_post_to_port(model, connection->port, block);
	if (!waiting || status != MODEL_INSUFFICIENT_BUFFERS)
		model_count_refusal(connection->port, status);
	return status;
}

/*
 * The tries behind one that found no buffer.  The second is there so that room made
 * meanwhile is seen; it may choose another VP.
 */
static inline enum model_status
model_try_again(struct model *model, struct model_partition *from,
		const struct model_block *block, bool waiting)
{
	enum model_status status = model_try_post(model, from, block, true);

	if (status == MODEL_INSUFFICIENT_BUFFERS)
		status = model_try_post(model, from, block, waiting);
	return status;
}

/* HV_POSTMSG_POST that does not wait: the status it stores. */
static inline enum model_status model_host_post(struct model *model,
						struct model_partition *from,
						const struct model_block *block)
{
	enum model_status status = model_try_post(model, from, block, true);

	if (status == MODEL_INSUFFICIENT_BUFFERS)
		status = model_try_again(model, from, block, false);
	from->status[status]++;
	return status;
}

/*
 * Has a host poster who found no buffer still no reason to try again?  That its
 * target VP is not there any more, or its SynIC is off, is none: nobody tells.
 */
static inline bool model_starved(const struct model *model,
				 const struct model_partition *from,
				 uint32_t connection_id)
{
	struct model_connection *connection =
		model_find_connection(model, from, connection_id);
	struct model_port *port;

	if (!connection || from->dead)
		return false;
	port = connection->port;
	if (!port->alive || !port->partition->active)
		return false;
	if (port->endpoint && port->endpoint->closed)
		return false;
	if (port->endpoint &&
	    model_held(model, port->endpoint) == port->endpoint->depth)
		return true;
	return model_used_buffers(model, port) == port->buffers;
}

/* HvCallPostMessage by a VP of a partition that is not dead. */
static inline enum model_status model_hypercall(struct model *model,
						struct model_partition *from,
						const struct model_call *call)
{
	enum model_status status = model_check_call(from, call);

	if (status == MODEL_OTHER_CALL)
		return status;
	/* What KVM answers the module does not see, nor count. */
	if (call->kvm_enforces && !call->privileged)
		return status;
	if (call->control & ~(0x1ffff | 1ull << 31) || !call->synic)
		return status;

	if (!status)
		status = model_try_post(model, from, &call->block, false);
	if (status == MODEL_INVALID_CONNECTION_ID &&
	    from->flags & MODEL_PASS_UNKNOWN) {
		from->passed++;
		return MODEL_PASSED;
	}
	from->status[status]++;
	return status;
}

/* --- delivering --- */

static inline void model_interrupt(struct model_vp *vp, unsigned int sint)
{
	const uint64_t masked = 1 << 16, polling = 1 << 18;

	if (!(vp->sint[sint] & (masked | polling)) &&
	    (vp->sint[sint] & 0xff) >= 16)
		vp->interrupts[sint]++;
}

static inline void model_fill_slot(struct model *model, struct model_vp *vp,
				   struct model_message *message)
{
	unsigned int sint = message->port->sint;
	struct model_content *slot = &vp->slot[sint];

	message->content.flags = 0;
	if (model_more_behind(message) || vp->timers & 1u << sint)
		message->content.flags = MODEL_PENDING;
	/* What is behind the payload stays what it was. */
	memcpy(slot, &message->content, 16 + message->content.payload_size);
	model_delivered(model, message);
	model_interrupt(vp, sint);
}

static inline void model_deliver(struct model *model, struct model_vp *vp,
				 struct model_partition *partition,
				 unsigned int sint)
{
	struct model_content *slot = &vp->slot[sint];

	if (!vp->reachable) {
		partition->faults++;
		return;
	}
	if (!slot->type) {
		if (vp->writable)
			model_fill_slot(model, vp,
					model_oldest(model, vp, sint));
		else
			partition->faults++;
		return;
	}
	if (!(slot->flags & MODEL_PENDING)) {
		if (!vp->writable) {
			partition->faults++;
			return;
		}
		/* What a guest may have put into the reserved bits is gone. */
		slot->flags = MODEL_PENDING;
	}
	if (slot->type == MODEL_TIMER_EXPIRED)
		vp->behind |= 1u << sint;
}

static inline void model_deliver_some(struct model *model, struct model_vp *vp,
				      struct model_partition *partition,
				      uint32_t sints)
{
	unsigned int sint;

	if (!vp->enabled)
		return;
	for (sint = 0; sint < MODEL_SINTS; sint++)
		if (sints & 1u << sint)
			model_deliver(model, vp, partition, sint);
}

/* SINTs for which the VP has seen something in its queue. */
static inline uint32_t model_occupied(const struct model *model,
				      const struct model_vp *vp)
{
	struct model_message *message;
	uint32_t sints = 0;

	for (message = model->messages; message; message = message->next)
		if (message->vp == vp && message->seen)
			sints |= 1u << message->port->sint;
	return sints;
}

static inline void model_see(struct model *model, const struct model_vp *vp)
{
	struct model_message *message;

	for (message = model->messages; message; message = message->next)
		if (message->vp == vp)
			message->seen = true;
}

/*
 * A VP has just posted to itself: by its number, with nothing queued before for that
 * SINT, as far as it has seen, and its slot empty, the message does not wait until it
 * next looks.  True if so.
 */
static inline bool model_deliver_at_once(struct model *model,
					 struct model_partition *partition,
					 struct model_vp *vp,
					 const struct model_message *message)
{
	const struct model_port *port = message->port;
	const struct model_message *before;

	if (message->vp != vp || port->target_vp != vp->number ||
	    vp->index != vp->number || !vp->writable || vp->slot[port->sint].type)
		return false;
	for (before = model->messages; before != message; before = before->next)
		if (before->vp == vp &&
		    (!before->seen || before->port->sint == port->sint))
			return false;
	model_deliver(model, vp, partition, port->sint);
	return true;
}

/* What comes before a run of KVM's timers on a VP's thread ... */
static inline void model_scan_behind(struct model *model,
				     struct model_partition *partition,
				     struct model_vp *vp)
{
	uint32_t sints = vp->behind & model_occupied(model, vp);

	vp->behind = 0;
	model_deliver_some(model, vp, partition, sints);
}

/* ... and what comes behind it. */
static inline void model_scan(struct model *model,
			      struct model_partition *partition,
			      struct model_vp *vp)
{
	model_see(model, vp);
	model_deliver_some(model, vp, partition, model_occupied(model, vp));
}

static inline void model_empty_vp(struct model *model, struct model_vp *vp)
{
	model_free_messages(model, NULL, vp, NULL);
}

/* --- ioctls --- */

static inline int model_set_state(struct model_partition *partition,
				  uint32_t state)
{
	if (partition->dead)
		return -ESHUTDOWN;
	if (state > 1)
		return -EINVAL;
	partition->active = state;
	return 0;
}

/**
 * struct model_port_spec - what is asked of a new port
 *
 * @id: port ID
 * @type: 1 for messages, 2 for events
 * @sint: target SINT
 * @vp: index of the target VP, or MODEL_ANY_VP
 * @endpoint: the endpoint, or NULL
 * @buffers: message buffers
 * @shared: more than one connection is allowed
 */
struct model_port_spec {
	uint32_t id;
	uint32_t type;
	uint32_t sint;
	uint32_t vp;
	struct model_endpoint *endpoint;
	uint32_t buffers;
	bool shared;
};

static inline bool model_port_valid(const struct model_port_spec *spec)
{
	if (spec->id > MODEL_ID_MAX)
		return false;
	if (spec->endpoint && (spec->sint || spec->vp))
		return false;
	if (!spec->endpoint && (spec->sint < 1 || spec->sint > 15))
		return false;
	if (spec->type == 1)
		return spec->buffers <= MODEL_MAX_BUFFERS;
	return spec->type == 2 && spec->buffers == 0;
}

static inline int model_create_port(struct model *model,
				    struct model_partition *partition,
				    const struct model_port_spec *spec)
{
	struct model_port *port;

	if (partition->dead)
		return -ESHUTDOWN;
	if (!model_port_valid(spec))
		return -EINVAL;
	if (!spec->endpoint && partition->host)
		return -EOPNOTSUPP;
	if (spec->endpoint && spec->endpoint->partition != partition)
		return -EXDEV;
	if (model_find_port(model, partition, spec->id))
		return -EEXIST;

	port = model_alloc(sizeof(*port));
	port->partition = partition;
	port->endpoint = spec->endpoint;
	port->id = spec->id;
	port->message = spec->type == 1;
	port->sint = spec->sint;
	port->target_vp = spec->vp;
	port->preferred_vp = MODEL_ANY_VP;
	if (port->message)
		port->buffers = spec->buffers ? spec->buffers :
						MODEL_DEFAULT_BUFFERS;
	port->shared = spec->shared;
	port->alive = true;
	if (port->endpoint)
		port->endpoint->fed = true;
	model_append(model->ports, port);
	return 0;
}

static inline void model_kill_port(struct model_port *port)
{
	port->alive = false;
	if (port->high_water > port->partition->high_water)
		port->partition->high_water = port->high_water;
}

static inline int model_delete_port(struct model *model,
				    struct model_partition *partition,
				    uint32_t id)
{
	struct model_port *port = model_find_port(model, partition, id);
	struct model_vp *vp;

	if (partition->dead)
		return -ESHUTDOWN;
	if (!port)
		return -ENOENT;
	model_kill_port(port);
	model_free_messages(model, port, NULL, NULL);
	/* To find them, it looked through the queues of all VPs. */
	if (!port->endpoint)
		for (vp = partition->vps; vp; vp = vp->next)
			model_see(model, vp);
	return 0;
}

static inline int model_connect(struct model *model,
				struct model_partition *partition, uint32_t id,
				struct model_port *port, bool allow_self)
{
	struct model_connection *connection;

	if (partition->dead)
		return -ESHUTDOWN;
	if (id > MODEL_ID_MAX)
		return -EINVAL;
	if (port->partition == partition && !allow_self)
		return -ELOOP;
	if (model_find_connection(model, partition, id))
		return -EEXIST;
	if (!port->alive)
		return -ENXIO;
	for (connection = model->connections; connection;
	     connection = connection->next)
		if (connection->port == port && !port->shared)
			return -EBUSY;

	connection = model_alloc(sizeof(*connection));
	connection->partition = partition;
	connection->port = port;
	connection->id = id;
	model_append(model->connections, connection);
	return 0;
}

static inline int model_disconnect(struct model *model,
				   struct model_partition *partition,
				   uint32_t id)
{
	struct model_connection *connection =
		model_find_connection(model, partition, id);

	if (partition->dead)
		return -ESHUTDOWN;
	if (!connection)
		return -ENOENT;
	model_remove(model->connections, connection);
	free(connection);
	return 0;
}

static inline int model_get_property(const struct model *model,
				     const struct model_partition *partition,
				     uint32_t id, uint32_t property,
				     uint64_t *value)
{
	struct model_port *port = model_find_port(model, partition, id);

	if (partition->dead)
		return -ESHUTDOWN;
	if (!port)
		return -ENOENT;
	if (property == 0) {
		*value = port->posted;
		return 0;
	}
	if (property != 1 || port->endpoint || port->target_vp != MODEL_ANY_VP)
		return -EINVAL;
	*value = port->preferred_vp;
	return 0;
}

static inline int model_set_property(const struct model *model,
				     const struct model_partition *partition,
				     uint32_t id, uint32_t property,
				     uint64_t value)
{
	struct model_port *port = model_find_port(model, partition, id);

	if (partition->dead)
		return -ESHUTDOWN;
	if (property != 1 || value > 0xffffffffu)
		return -EINVAL;
	if (!port)
		return -ENOENT;
	if (port->endpoint || port->target_vp != MODEL_ANY_VP)
		return -EINVAL;
	port->preferred_vp = value;
	return 0;
}

static inline int model_reset_vp(struct model *model,
				 struct model_partition *partition,
				 uint32_t index)
{
	struct model_vp *vp = model_find_vp(partition, index);

	if (partition->dead)
		return -ESHUTDOWN;
	if (partition->host)
		return -EOPNOTSUPP;
	if (!vp || index == MODEL_ANY_VP)
		return -ENOENT;
	model_empty_vp(model, vp);
	return 0;
}

static inline int model_create_endpoint(struct model *model,
					struct model_partition *partition,
					uint32_t depth,
					struct model_endpoint **result)
{
	struct model_endpoint *endpoint;

	if (partition->dead)
		return -ESHUTDOWN;
	if (depth > MODEL_MAX_DEPTH)
		return -EINVAL;
	if (model_count_endpoints(model, partition) == MODEL_MAX_ENDPOINTS)
		return -ENOSPC;

	endpoint = model_alloc(sizeof(*endpoint));
	endpoint->partition = partition;
	endpoint->depth = depth ? depth : MODEL_DEFAULT_DEPTH;
	model_append(model->endpoints, endpoint);
	*result = endpoint;
	return 0;
}

/* --- files --- */

static inline void model_close_endpoint(struct model *model,
					struct model_endpoint *endpoint)
{
	endpoint->closed = true;
	model_free_messages(model, NULL, NULL, endpoint);
}

/**
 * model_read - read an endpoint
 * @model: the model
 * @endpoint: the endpoint
 * @content: where up to @count messages go
 * @count: messages for which there is room
 *
 * Return: the number of messages read; 0 when there was none, and then
 *	model_hung_up() tells whether one can be waited for.
 */
static inline uint32_t model_read(struct model *model,
				  struct model_endpoint *endpoint,
				  struct model_content *content, uint32_t count)
{
	struct model_message *message, *next;
	uint32_t done = 0;

	for (message = model->messages; message && done < count;
	     message = next) {
		next = message->next;
		if (message->endpoint != endpoint)
			continue;
		content[done++] = message->content;
		model_delivered(model, message);
	}
	return done;
}

/*
 * A message that cannot be copied out stays the oldest; but if its port is dead, and
 * only the worker has not come yet, it goes at once.
 */
static inline void model_read_fault(struct model *model,
				    const struct model_endpoint *endpoint)
{
	struct model_message *message = model->messages;

	while (message && message->endpoint != endpoint)
		message = message->next;
	if (message && !message->port->alive)
		model_freed(model, message);
}

/* A partition's file is closed or its address space ends: what is seen at once. */
static inline void model_shutdown(struct model *model,
				  struct model_partition *partition)
{
	struct model_port *port;

	if (partition->dead)
		return;
	partition->dead = true;
	for (port = model->ports; port; port = port->next)
		if (port->alive && port->partition == partition)
			model_kill_port(port);
}

/* Its file is closed: its connections are not in the way of others any more. */
static inline void model_disconnect_all(struct model *model,
					struct model_partition *partition)
{
	struct model_connection *connection, *next;

	for (connection = model->connections; connection; connection = next) {
		next = connection->next;
		if (connection->partition == partition) {
			model_remove(model->connections, connection);
			free(connection);
		}
	}
}

/*
 * What is left to a worker of the kernel: every message of the partition goes, and
 * its connections, if its file is still open.
 */
static inline void model_finish_shutdown(struct model *model,
					 struct model_partition *partition)
{
	struct model_port *port;

	model_disconnect_all(model, partition);
	for (port = model->ports; port; port = port->next)
		if (port->partition == partition)
			model_free_messages(model, port, NULL, NULL);
}

#endif /* _HVPM_FUZZ_MODEL_H */
