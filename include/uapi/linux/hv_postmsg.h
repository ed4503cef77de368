/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * hv_postmsg: HvCallPostMessage answered inside KVM
 *
 * Every ioctl takes a pointer to its struct.  The struct opens with its own
 * size and a flags word; fields named reserved must be zero.  A larger struct
 * than the kernel knows is accepted when the part the kernel does not know is
 * zero (else -E2BIG); a smaller one than first published is -EINVAL.
 */
#ifndef _UAPI_LINUX_HV_POSTMSG_H
#define _UAPI_LINUX_HV_POSTMSG_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HV_POSTMSG_API_VERSION		1

/* The type byte shared by all ioctls. */
#define HV_POSTMSG_IOC			0xB9

/* Bytes of payload one message can carry: HV_MESSAGE_PAYLOAD_BYTE_COUNT. */
#define HV_POSTMSG_PAYLOAD_MAX		240

/* A port with this target VP may post to any available VP: HV_ANY_VP. */
#define HV_POSTMSG_ANY_VP		0xffffffffU

/* Largest port ID and connection ID: 24 bits. */
#define HV_POSTMSG_ID_MAX		0x00ffffffU

/**
 * struct hv_postmsg_message - a message as an endpoint's read() returns it
 *
 * @type: message type chosen by the sender, never 0, top bit clear
 * @payload_size: bytes of @payload that carry data, 0 to 240
 * @flags: message flags, 0 today
 * @reserved: 0
 * @port_id: ID of the port that accepted the message
 * @payload: the sender's bytes, zero beyond @payload_size
 *
 * 256 bytes, laid out as HV_MESSAGE in the specification's "SynIC Message
 * Format".
 */
struct hv_postmsg_message {
	__u32 type;
	__u8 payload_size;
	__u8 flags;
	__u16 reserved;
	__u64 port_id;
	__u8 payload[HV_POSTMSG_PAYLOAD_MAX];
};

/* --- ioctls of /dev/hv_postmsg --- */

#define HV_POSTMSG_INFO			_IO(HV_POSTMSG_IOC, 0x00)
#define HV_POSTMSG_CREATE_PARTITION	_IO(HV_POSTMSG_IOC, 0x01)

/* Bits of &struct hv_postmsg_info.features. */
#define HV_POSTMSG_FEATURE_KVM		(1ULL << 0)
#define HV_POSTMSG_FEATURE_ANY_VP	(1ULL << 1)

/**
 * struct hv_postmsg_info - HV_POSTMSG_INFO: version, features and limits
 *
 * @size: sizeof(struct hv_postmsg_info)
 * @flags: must be zero
 * @api_version: out: HV_POSTMSG_API_VERSION of the module
 * @default_buffers: out: message buffers of a port created with 0
 * @features: out: HV_POSTMSG_FEATURE_*
 * @max_buffers: out: most message buffers a port can have
 * @max_ports: out: most ports a partition can have
 * @max_connections: out: most connections a partition can have
 * @max_endpoints: out: most endpoints a partition can have
 * @default_depth: out: depth of an endpoint created with 0
 * @max_depth: out: greatest depth of an endpoint
 *
 * Errors: EINVAL, E2BIG, EFAULT.
 */
struct hv_postmsg_info {
	__u32 size;
	__u32 flags;
	__u32 api_version;
	__u32 default_buffers;
	__u64 features;
	__u32 max_buffers;
	__u32 max_ports;
	__u32 max_connections;
	__u32 max_endpoints;
	__u32 default_depth;
	__u32 max_depth;
};

/* Flags of &struct hv_postmsg_create_partition. */
#define HV_POSTMSG_PARTITION_HOST		(1U << 0)
#define HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE	(1U << 1)
#define HV_POSTMSG_PARTITION_STRICT_RESERVED	(1U << 2)
#define HV_POSTMSG_PARTITION_PASS_UNKNOWN	(1U << 3)

/**
 * struct hv_postmsg_create_partition - HV_POSTMSG_CREATE_PARTITION
 *
 * @size: sizeof(struct hv_postmsg_create_partition)
 * @flags: HV_POSTMSG_PARTITION_*
 * @vm_fd: file descriptor of a KVM VM with an in-kernel local APIC; -1 with
 *	HV_POSTMSG_PARTITION_HOST
 * @reserved: must be zero
 *
 * %HV_POSTMSG_PARTITION_HOST makes a partition of the calling process instead
 * of a VM: ports with endpoints and connections, no VPs; none of the other
 * flags goes with it.  %HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE refuses a post
 * with HV_STATUS_ACCESS_DENIED unless the caller's CPUID grants PostMessages,
 * even where the VMM did not enable KVM_CAP_HYPERV_ENFORCE_CPUID.
 * %HV_POSTMSG_PARTITION_STRICT_RESERVED refuses a post whose word at offset 4
 * is not zero.  %HV_POSTMSG_PARTITION_PASS_UNKNOWN hands a well-formed post to
 * an unknown connection to the VMM, as without this module.
 *
 * Returns a partition file descriptor.  The partition lives until that file
 * is closed or the address space behind it is gone: the VM's, or for a host
 * partition the one that created it.  After that every call on the file
 * answers ESHUTDOWN.
 *
 * Errors: EINVAL, E2BIG, EFAULT; EBADF @vm_fd is no open file; EBADFD it is
 * not a KVM VM; EOPNOTSUPP the VM has no in-kernel local APIC, or its memory
 * or state is encrypted; EBUSY the VM is attached already; ESHUTDOWN the VM's
 * address space is gone; EINTR a signal came; EMFILE, ENFILE, ENOMEM.
 */
struct hv_postmsg_create_partition {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 reserved;
};

/* --- ioctls of a partition file --- */

#define HV_POSTMSG_SET_STATE		_IO(HV_POSTMSG_IOC, 0x10)
#define HV_POSTMSG_CREATE_PORT		_IO(HV_POSTMSG_IOC, 0x11)
#define HV_POSTMSG_DELETE_PORT		_IO(HV_POSTMSG_IOC, 0x12)
#define HV_POSTMSG_PORT_FD		_IO(HV_POSTMSG_IOC, 0x13)
#define HV_POSTMSG_CONNECT		_IO(HV_POSTMSG_IOC, 0x14)
#define HV_POSTMSG_DISCONNECT		_IO(HV_POSTMSG_IOC, 0x15)
#define HV_POSTMSG_GET_PORT_PROPERTY	_IO(HV_POSTMSG_IOC, 0x16)
#define HV_POSTMSG_SET_PORT_PROPERTY	_IO(HV_POSTMSG_IOC, 0x17)
#define HV_POSTMSG_RESET_VP		_IO(HV_POSTMSG_IOC, 0x18)
#define HV_POSTMSG_POST			_IO(HV_POSTMSG_IOC, 0x19)
#define HV_POSTMSG_CREATE_ENDPOINT	_IO(HV_POSTMSG_IOC, 0x1a)
#define HV_POSTMSG_PORT_STATS		_IO(HV_POSTMSG_IOC, 0x1b)
#define HV_POSTMSG_PARTITION_STATS	_IO(HV_POSTMSG_IOC, 0x1c)

/* Values of &struct hv_postmsg_set_state.state. */
#define HV_POSTMSG_STATE_INACTIVE	0
#define HV_POSTMSG_STATE_ACTIVE		1

/**
 * struct hv_postmsg_set_state - HV_POSTMSG_SET_STATE
 *
 * @size: sizeof(struct hv_postmsg_set_state)
 * @flags: must be zero
 * @state: HV_POSTMSG_STATE_ACTIVE (a new partition's state) or _INACTIVE
 * @reserved: must be zero
 *
 * Posts to the ports of an inactive partition are refused with
 * HV_STATUS_INVALID_PORT_ID; what is queued stays queued and is delivered.
 *
 * Errors: EINVAL, E2BIG, EFAULT, ESHUTDOWN.
 */
struct hv_postmsg_set_state {
	__u32 size;
	__u32 flags;
	__u32 state;
	__u32 reserved;
};

/* Values of &struct hv_postmsg_create_port.type: HV_PORT_TYPE. */
#define HV_POSTMSG_PORT_MESSAGE		1
#define HV_POSTMSG_PORT_EVENT		2

/* Flags of &struct hv_postmsg_create_port. */
#define HV_POSTMSG_PORT_ENDPOINT	(1U << 0)
#define HV_POSTMSG_PORT_SHARED		(1U << 1)

/**
 * struct hv_postmsg_create_port - HV_POSTMSG_CREATE_PORT
 *
 * @size: sizeof(struct hv_postmsg_create_port)
 * @flags: HV_POSTMSG_PORT_*
 * @port_id: ID of the port, unique in this partition, 24 bits
 * @type: HV_POSTMSG_PORT_MESSAGE, or _EVENT: a port that refuses messages
 * @sint: target SINT, 1 to 15; zero with HV_POSTMSG_PORT_ENDPOINT
 * @vp: index of the target VP, or HV_POSTMSG_ANY_VP; zero with
 *	HV_POSTMSG_PORT_ENDPOINT
 * @endpoint_fd: endpoint of this partition with HV_POSTMSG_PORT_ENDPOINT,
 *	else -1
 * @buffers: message buffers, 1 to 64, or 0 for 16; zero for an event port
 * @reserved: must be zero
 *
 * %HV_POSTMSG_PORT_ENDPOINT: messages go to a host endpoint instead of a VP.
 * %HV_POSTMSG_PORT_SHARED: more than one connection to this port is allowed.
 * The target VP need not exist yet: a post then answers
 * HV_STATUS_INVALID_VP_INDEX.
 *
 * Errors: EINVAL, E2BIG, EFAULT; EEXIST @port_id is in use; ENOSPC the
 * partition has its most ports, or its ports to VPs have their most buffers;
 * EBADF, EBADFD @endpoint_fd is no open file, no endpoint; EXDEV it is another
 * partition's; EOPNOTSUPP a port with a target VP on a host partition; ENOMEM,
 * ESHUTDOWN.
 */
struct hv_postmsg_create_port {
	__u32 size;
	__u32 flags;
	__u32 port_id;
	__u32 type;
	__u32 sint;
	__u32 vp;
	__s32 endpoint_fd;
	__u32 buffers;
	__u64 reserved;
};

/**
 * struct hv_postmsg_port - HV_POSTMSG_DELETE_PORT and HV_POSTMSG_PORT_FD
 *
 * @size: sizeof(struct hv_postmsg_port)
 * @flags: must be zero
 * @port_id: the port
 * @reserved: must be zero
 *
 * HV_POSTMSG_DELETE_PORT frees the port's queued messages; one that is in a
 * message slot already stays there.  HV_POSTMSG_PORT_FD returns a file
 * descriptor that is the right to connect to the port, and nothing else.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOENT no such port; ESHUTDOWN; EMFILE,
 * ENFILE, ENOMEM (HV_POSTMSG_PORT_FD).
 */
struct hv_postmsg_port {
	__u32 size;
	__u32 flags;
	__u32 port_id;
	__u32 reserved;
};

/* Flags of &struct hv_postmsg_connect. */
#define HV_POSTMSG_CONNECT_SELF		(1U << 0)

/**
 * struct hv_postmsg_connect - HV_POSTMSG_CONNECT
 *
 * @size: sizeof(struct hv_postmsg_connect)
 * @flags: HV_POSTMSG_CONNECT_*
 * @connection_id: ID of the connection, unique in this partition, 24 bits
 * @port_fd: port to connect to, from HV_POSTMSG_PORT_FD
 *
 * %HV_POSTMSG_CONNECT_SELF allows a port of this very partition, which the
 * specification forbids.
 *
 * Errors: EINVAL, E2BIG, EFAULT; EBADF, EBADFD @port_fd is no open file, no
 * port; EEXIST @connection_id is in use; EBUSY the port is connected and not
 * HV_POSTMSG_PORT_SHARED; ELOOP it is a port of this partition; ENXIO it was
 * deleted; ENOSPC the partition has its most connections, or the port's
 * partition as many to its ports; ENOMEM, ESHUTDOWN.
 */
struct hv_postmsg_connect {
	__u32 size;
	__u32 flags;
	__u32 connection_id;
	__s32 port_fd;
};

/**
 * struct hv_postmsg_disconnect - HV_POSTMSG_DISCONNECT
 *
 * @size: sizeof(struct hv_postmsg_disconnect)
 * @flags: must be zero
 * @connection_id: the connection
 * @reserved: must be zero
 *
 * Messages it posted stay queued.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOENT no such connection; ESHUTDOWN.
 */
struct hv_postmsg_disconnect {
	__u32 size;
	__u32 flags;
	__u32 connection_id;
	__u32 reserved;
};

/* Values of &struct hv_postmsg_port_property.property: HV_PORT_PROPERTY_CODE. */
#define HV_POSTMSG_PROPERTY_POST_COUNT		0
#define HV_POSTMSG_PROPERTY_PREFERRED_VP	1

/**
 * struct hv_postmsg_port_property - HV_POSTMSG_GET_PORT_PROPERTY, _SET_
 *
 * @size: sizeof(struct hv_postmsg_port_property)
 * @flags: must be zero
 * @port_id: the port
 * @property: HV_POSTMSG_PROPERTY_*
 * @value: in or out: the value
 *
 * %HV_POSTMSG_PROPERTY_POST_COUNT: messages accepted since creation; cannot
 * be set.  %HV_POSTMSG_PROPERTY_PREFERRED_VP: the VP an HV_POSTMSG_ANY_VP port
 * tries first, HV_POSTMSG_ANY_VP for none; on another port EINVAL.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOENT no such port; ESHUTDOWN.
 */
struct hv_postmsg_port_property {
	__u32 size;
	__u32 flags;
	__u32 port_id;
	__u32 property;
	__u64 value;
};

/**
 * struct hv_postmsg_reset_vp - HV_POSTMSG_RESET_VP
 *
 * @size: sizeof(struct hv_postmsg_reset_vp)
 * @flags: must be zero
 * @vp: index of the VP
 * @reserved: must be zero
 *
 * Empties the VP's queues and returns the buffers to their ports, as INIT
 * does.  A VMM calls it when it resets a vCPU.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOENT no such VP; EOPNOTSUPP a host
 * partition; ESHUTDOWN.
 */
struct hv_postmsg_reset_vp {
	__u32 size;
	__u32 flags;
	__u32 vp;
	__u32 reserved;
};

/* Flags of &struct hv_postmsg_post. */
#define HV_POSTMSG_POST_NONBLOCK	(1U << 0)

/**
 * struct hv_postmsg_post - HV_POSTMSG_POST: post as this partition
 *
 * @size: sizeof(struct hv_postmsg_post)
 * @flags: HV_POSTMSG_POST_*
 * @connection_id: a connection of this partition
 * @message_type: type of the message: not zero, top bit clear
 * @payload_size: bytes of @payload to send, 0 to 240
 * @status: out: the call's HV_STATUS
 * @payload: the message
 *
 * Passes the same checks as a guest's HvCallPostMessage from the message type
 * on; the ioctl itself returns 0 when @status was written, be it a success or
 * a refusal.  Where a guest would see HV_STATUS_INSUFFICIENT_BUFFERS the call
 * waits for a buffer, unless %HV_POSTMSG_POST_NONBLOCK or the file's O_NONBLOCK
 * is set: then it returns that status, and POLLOUT of the partition file tells
 * when to try again.
 *
 * Errors: EINVAL, E2BIG, EFAULT, ESHUTDOWN; EINTR a signal came while waiting,
 * nothing was posted (a handler with SA_RESTART makes it wait again).
 */
struct hv_postmsg_post {
	__u32 size;
	__u32 flags;
	__u32 connection_id;
	__u32 message_type;
	__u32 payload_size;
	__u32 status;
	__u8 payload[HV_POSTMSG_PAYLOAD_MAX];
};

/**
 * struct hv_postmsg_create_endpoint - HV_POSTMSG_CREATE_ENDPOINT
 *
 * @size: sizeof(struct hv_postmsg_create_endpoint)
 * @flags: must be zero
 * @depth: most messages it holds, 1 to 4096, or 0 for 256
 * @reserved: must be zero
 *
 * Returns a file descriptor.  Its read(), or a readv() of more than nothing,
 * returns as many whole messages as there are and as fit, each a
 * &struct hv_postmsg_message; it waits for the first unless O_NONBLOCK is set
 * (EAGAIN, also while another thread reads, after which poll() tells of what is
 * left), a buffer smaller than one message is EINVAL, and 0 tells that the last
 * port feeding the endpoint is gone, as POLLHUP does.  Once the file is closed
 * its ports refuse posts with HV_STATUS_INVALID_PORT_ID.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOSPC the partition has its most endpoints;
 * EMFILE, ENFILE, ENOMEM, ESHUTDOWN.
 */
struct hv_postmsg_create_endpoint {
	__u32 size;
	__u32 flags;
	__u32 depth;
	__u32 reserved;
};

/**
 * struct hv_postmsg_port_stats - HV_POSTMSG_PORT_STATS
 *
 * @size: sizeof(struct hv_postmsg_port_stats)
 * @flags: must be zero
 * @port_id: in: the port
 * @buffers: out: message buffers the port has
 * @free: out: buffers free now
 * @high_water: out: most buffers in use at once
 * @posted: out: messages accepted
 * @delivered: out: messages written to a message slot or read by an endpoint
 * @freed: out: messages freed by a VP reset or a closed endpoint
 * @queued: out: messages queued now: @posted - @delivered - @freed
 * @refused_port: out: posts refused with HV_STATUS_INVALID_PORT_ID
 * @refused_vp: out: posts refused with HV_STATUS_INVALID_VP_INDEX
 * @refused_synic: out: posts refused with HV_STATUS_INVALID_SYNIC_STATE
 * @refused_buffers: out: posts refused with HV_STATUS_INSUFFICIENT_BUFFERS
 *
 * At any quiet moment @free + @queued = @buffers.
 *
 * Errors: EINVAL, E2BIG, EFAULT; ENOENT no such port; ESHUTDOWN.
 */
struct hv_postmsg_port_stats {
	__u32 size;
	__u32 flags;
	__u32 port_id;
	__u32 buffers;
	__u32 free;
	__u32 high_water;
	__u64 posted;
	__u64 delivered;
	__u64 freed;
	__u64 queued;
	__u64 refused_port;
	__u64 refused_vp;
	__u64 refused_synic;
	__u64 refused_buffers;
};

/* Entries of &struct hv_postmsg_partition_stats.status. */
#define HV_POSTMSG_STATUS_COUNT		32

/**
 * struct hv_postmsg_partition_stats - HV_POSTMSG_PARTITION_STATS
 *
 * @size: sizeof(struct hv_postmsg_partition_stats)
 * @flags: must be zero
 * @ports: out: ports the partition has
 * @connections: out: connections it has
 * @endpoints: out: endpoints it has
 * @high_water: out: most buffers any of its ports had in use at once
 * @posted: out: messages its ports accepted
 * @delivered: out: messages its ports delivered
 * @freed: out: messages freed by port deletion, VP reset or a closed endpoint
 * @queued: out: messages queued now
 * @faults: out: slot accesses that failed, each tried again on the next trigger
 * @passed: out: posts of this partition passed to the VMM
 * @status: out: posts made by this partition, by the HV_STATUS they got
 *
 * The first group counts what this partition's ports received, deleted ports
 * included; @passed and @status count what the partition sent.
 *
 * Errors: EINVAL, E2BIG, EFAULT, ESHUTDOWN.
 */
struct hv_postmsg_partition_stats {
	__u32 size;
	__u32 flags;
	__u32 ports;
	__u32 connections;
	__u32 endpoints;
	__u32 high_water;
	__u64 posted;
	__u64 delivered;
	__u64 freed;
	__u64 queued;
	__u64 faults;
	__u64 passed;
	__u64 status[HV_POSTMSG_STATUS_COUNT];
};

#endif /* _UAPI_LINUX_HV_POSTMSG_H */
