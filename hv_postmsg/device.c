// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/hv_postmsg, partition files and port files: copy in, validate, call the
 * core, copy out.
 */
#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include <uapi/linux/hv_postmsg.h>

#include "connection.h"
#include "device.h"
#include "endpoint.h"
#include "host.h"
#include "kvm/vm.h"
#include "limits.h"
#include "partition.h"
#include "port.h"
#include "post.h"

/* The ABI: one layout for 32-bit and 64-bit callers, without holes. */
static_assert(sizeof(struct hv_postmsg_message) == 256);
static_assert(sizeof(struct hv_postmsg_info) == 48);
static_assert(sizeof(struct hv_postmsg_create_partition) == 16);
static_assert(sizeof(struct hv_postmsg_set_state) == 16);
static_assert(sizeof(struct hv_postmsg_create_port) == 40);
static_assert(sizeof(struct hv_postmsg_port) == 16);
static_assert(sizeof(struct hv_postmsg_connect) == 16);
static_assert(sizeof(struct hv_postmsg_disconnect) == 16);
static_assert(sizeof(struct hv_postmsg_port_property) == 24);
static_assert(sizeof(struct hv_postmsg_reset_vp) == 16);
static_assert(sizeof(struct hv_postmsg_post) == 264);
static_assert(sizeof(struct hv_postmsg_create_endpoint) == 16);
static_assert(sizeof(struct hv_postmsg_port_stats) == 88);
static_assert(sizeof(struct hv_postmsg_partition_stats) == 328);
static_assert(sizeof(struct hvpm_post_input) == 256);

/* Every struct opens with these two. */
struct arg_head {
	u32 size;
	u32 flags;
};

/*
 * Copy an ioctl's struct in.  All are as first published, so the least size
 * that is accepted is the size of today.
 */
static int copy_arg(void *arg, size_t size, const void __user *from,
		    u32 valid_flags)
{
	struct arg_head *head = arg;
	u32 user_size;
	int ret;

	if (get_user(user_size, (const u32 __user *)from))
		return -EFAULT;
	if (user_size < size)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(arg, size, from, user_size);
	if (ret)
		return ret;
	/* User space may have changed it between the two reads. */
	head->size = user_size;
	return head->flags & ~valid_flags ? -EINVAL : 0;
}

/* Copy an ioctl's struct back out; what lies behind the kernel's was zero. */
static int copy_back(void __user *to, void *arg, size_t size)
{
	return copy_to_user(to, arg, size) ? -EFAULT : 0;
}

static long partition_set_state(struct hvpm_partition *partition,
				void __user *user)
{
	struct hv_postmsg_set_state arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved || arg.state > HV_POSTMSG_STATE_ACTIVE)
		return -EINVAL;
	return hvpm_partition_set_state(partition,
					arg.state == HV_POSTMSG_STATE_ACTIVE);
}

static long partition_create_port(struct hvpm_partition *partition,
				  void __user *user)
{
	struct hv_postmsg_create_port arg;
	struct hvpm_port_spec spec = {};
	struct file *file = NULL;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user,
		       HV_POSTMSG_PORT_ENDPOINT | HV_POSTMSG_PORT_SHARED);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;

	spec.id = arg.port_id;
	spec.type = arg.type;
	spec.sint = arg.sint;
	spec.target_vp = arg.vp;
	spec.buffers = arg.buffers;
	spec.shared = arg.flags & HV_POSTMSG_PORT_SHARED;
	if (arg.flags & HV_POSTMSG_PORT_ENDPOINT) {
		file = fget(arg.endpoint_fd);
		if (!file)
			return -EBADF;
		spec.endpoint = hvpm_endpoint_from_file(file);
		if (!spec.endpoint) {
			fput(file);
			return -EBADFD;
		}
	} else if (arg.endpoint_fd != -1) {
		return -EINVAL;
	}

	ret = hvpm_port_create(partition, &spec);
	if (file)
		fput(file);
	return ret;
}

static long partition_delete_port(struct hvpm_partition *partition,
				  void __user *user)
{
	struct hv_postmsg_port arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;
	return hvpm_port_delete(partition, arg.port_id);
}

static int port_release(struct inode *inode, struct file *file)
{
	hvpm_port_put(file->private_data);
	return 0;
}

/* A port file can only be passed to HV_POSTMSG_CONNECT. */
static const struct file_operations port_fops = {
	.owner = THIS_MODULE,
	.release = port_release,
	.llseek = noop_llseek,
};

static long partition_port_fd(struct hvpm_partition *partition,
			      void __user *user)
{
	struct hv_postmsg_port arg;
	struct hvpm_port *port;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;

	mutex_lock(&partition->lock);
	port = hvpm_port_find(partition, arg.port_id);
	if (partition->dead)
		ret = -ESHUTDOWN;
	else if (!port)
		ret = -ENOENT;
	else
		hvpm_port_get(port);
	mutex_unlock(&partition->lock);
	if (ret)
		return ret;

	ret = anon_inode_getfd("[hv_postmsg-port]", &port_fops, port,
			       O_RDONLY | O_CLOEXEC);
	if (ret < 0)
		hvpm_port_put(port);
	return ret;
}

static long partition_connect(struct hvpm_partition *partition,
			      void __user *user)
{
	struct hv_postmsg_connect arg;
	struct file *file;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, HV_POSTMSG_CONNECT_SELF);
	if (ret)
		return ret;

	file = fget(arg.port_fd);
	if (!file)
		return -EBADF;
	if (file->f_op == &port_fops)
		ret = hvpm_connection_create(partition, arg.connection_id,
					     file->private_data,
					     arg.flags & HV_POSTMSG_CONNECT_SELF);
	else
		ret = -EBADFD;
	fput(file);
	return ret;
}

static long partition_disconnect(struct hvpm_partition *partition,
				 void __user *user)
{
	struct hv_postmsg_disconnect arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;
	return hvpm_connection_delete(partition, arg.connection_id);
}

/* Find the port of a call that works on it under the partition's lock. */
static struct hvpm_port *find_port_locked(struct hvpm_partition *partition,
					  u32 id)
{
	struct hvpm_port *port;

	if (partition->dead)
		return ERR_PTR(-ESHUTDOWN);
	port = hvpm_port_find(partition, id);
	return port ?: ERR_PTR(-ENOENT);
}

static long partition_get_property(struct hvpm_partition *partition,
				   void __user *user)
{
	struct hv_postmsg_port_property arg;
	struct hvpm_port *port;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;

	mutex_lock(&partition->lock);
	port = find_port_locked(partition, arg.port_id);
	if (IS_ERR(port))
		ret = PTR_ERR(port);
	else if (arg.property == HV_POSTMSG_PROPERTY_POST_COUNT)
		arg.value = atomic64_read(&port->posted);
	else if (arg.property == HV_POSTMSG_PROPERTY_PREFERRED_VP &&
		 hvpm_port_any_vp(port))
		arg.value = port->preferred_vp;
	else
		ret = -EINVAL;
	mutex_unlock(&partition->lock);
	return ret ?: copy_back(user, &arg, sizeof(arg));
}

static long partition_set_property(struct hvpm_partition *partition,
				   void __user *user)
{
	struct hv_postmsg_port_property arg;
	struct hvpm_port *port;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.property != HV_POSTMSG_PROPERTY_PREFERRED_VP ||
	    arg.value > U32_MAX)
		return -EINVAL;

	mutex_lock(&partition->lock);
	port = find_port_locked(partition, arg.port_id);
	if (IS_ERR(port))
		ret = PTR_ERR(port);
	else if (!hvpm_port_any_vp(port))
		ret = -EINVAL;
	else
		WRITE_ONCE(port->preferred_vp, arg.value);
	mutex_unlock(&partition->lock);
	return ret;
}

static long partition_reset_vp(struct hvpm_partition *partition,
			       void __user *user)
{
	struct hv_postmsg_reset_vp arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;
	return hvpm_partition_reset_vp(partition, arg.vp);
}

static long partition_post(struct hvpm_partition *partition,
			   void __user *user, bool nonblock)
{
	u32 __user *user_status = &((struct hv_postmsg_post __user *)user)->status;
	struct hvpm_post_input input = {};
	struct hv_postmsg_post arg;
	enum hvpm_status status;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, HV_POSTMSG_POST_NONBLOCK);
	if (ret)
		return ret;
	/* Once posted it is too late to find out that nobody can be told. */
	if (put_user(arg.status, user_status))
		return -EFAULT;

	input.connection_id = arg.connection_id;
	input.message_type = arg.message_type;
	input.payload_size = arg.payload_size;
	memcpy(input.payload, arg.payload, sizeof(input.payload));
	if (arg.flags & HV_POSTMSG_POST_NONBLOCK)
		nonblock = true;
	ret = hvpm_post_wait(partition, &input, nonblock, &status);
	if (ret)
		return ret;
	return put_user(status, user_status);
}

static long partition_create_endpoint(struct hvpm_partition *partition,
				      void __user *user)
{
	struct hv_postmsg_create_endpoint arg;
	struct hvpm_endpoint *endpoint;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;

	endpoint = hvpm_endpoint_create(partition, arg.depth);
	if (IS_ERR(endpoint))
		return PTR_ERR(endpoint);
	return hvpm_endpoint_open_fd(endpoint);
}

static long partition_port_stats(struct hvpm_partition *partition,
				 void __user *user)
{
	struct hv_postmsg_port_stats arg;
	struct hvpm_port *port;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;

	mutex_lock(&partition->lock);
	port = find_port_locked(partition, arg.port_id);
	if (IS_ERR(port)) {
		ret = PTR_ERR(port);
	} else {
		arg.buffers = port->buffers.count;
		arg.free = hvpm_buffers_free(&port->buffers);
		arg.high_water = atomic_read(&port->buffers.high_water);
		arg.delivered = atomic64_read(&port->delivered);
		arg.freed = atomic64_read(&port->freed);
		/*
		 * Posted last, so that it is never less than the other two.
		 * Pairs with hvpm_queue_push(), as in sum_counters().
		 */
		smp_rmb();
		arg.posted = atomic64_read(&port->posted);
		arg.queued = arg.posted - arg.delivered - arg.freed;
		arg.refused_port = atomic64_read(&port->refused_port);
		arg.refused_vp = atomic64_read(&port->refused_vp);
		arg.refused_synic = atomic64_read(&port->refused_synic);
		arg.refused_buffers = atomic64_read(&port->refused_buffers);
	}
	mutex_unlock(&partition->lock);
	return ret ?: copy_back(user, &arg, sizeof(arg));
}

static long partition_stats(struct hvpm_partition *partition,
			    void __user *user)
{
	struct hv_postmsg_partition_stats arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;
	ret = hvpm_partition_stats(partition, &arg);
	return ret ?: copy_back(user, &arg, sizeof(arg));
}

static long partition_ioctl(struct file *file, unsigned int cmd,
			    unsigned long ioctl_param)
{
	struct hvpm_partition *partition = file->private_data;
	void __user *user = (void __user *)ioctl_param;

	/* Each call looks again, under the lock, where it matters. */
	if (READ_ONCE(partition->dead))
		return -ESHUTDOWN;

	switch (cmd) {
	case HV_POSTMSG_SET_STATE:
		return partition_set_state(partition, user);
	case HV_POSTMSG_CREATE_PORT:
		return partition_create_port(partition, user);
	case HV_POSTMSG_DELETE_PORT:
		return partition_delete_port(partition, user);
	case HV_POSTMSG_PORT_FD:
		return partition_port_fd(partition, user);
	case HV_POSTMSG_CONNECT:
		return partition_connect(partition, user);
	case HV_POSTMSG_DISCONNECT:
		return partition_disconnect(partition, user);
	case HV_POSTMSG_GET_PORT_PROPERTY:
		return partition_get_property(partition, user);
	case HV_POSTMSG_SET_PORT_PROPERTY:
		return partition_set_property(partition, user);
	case HV_POSTMSG_RESET_VP:
		return partition_reset_vp(partition, user);
	case HV_POSTMSG_POST:
		return partition_post(partition, user,
				      READ_ONCE(file->f_flags) & O_NONBLOCK);
	case HV_POSTMSG_CREATE_ENDPOINT:
		return partition_create_endpoint(partition, user);
	case HV_POSTMSG_PORT_STATS:
		return partition_port_stats(partition, user);
	case HV_POSTMSG_PARTITION_STATS:
		return partition_stats(partition, user);
	default:
		return -ENOIOCTLCMD;
	}
}

static __poll_t partition_poll(struct file *file, poll_table *wait)
{
	struct hvpm_partition *partition = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &partition->post_wait, wait);
	if (READ_ONCE(partition->dead))
		mask |= EPOLLERR | EPOLLHUP;
	else if (!READ_ONCE(partition->starved))
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
}

static int partition_release(struct inode *inode, struct file *file)
{
	struct hvpm_partition *partition = file->private_data;

	/* The file was made, and the partition could not be. */
	if (!partition)
		return 0;
	hvpm_partition_shutdown(partition);
	/* So that its peers' ports can be connected to anew behind close(). */
	hvpm_connection_delete_all(partition);
	hvpm_partition_put(partition);
	return 0;
}

static const struct file_operations partition_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = partition_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = partition_poll,
	.release = partition_release,
	.llseek = noop_llseek,
};

static long device_info(void __user *user)
{
	struct hv_postmsg_info arg;
	int ret;

	ret = copy_arg(&arg, sizeof(arg), user, 0);
	if (ret)
		return ret;

	arg.api_version = HV_POSTMSG_API_VERSION;
	arg.features = HV_POSTMSG_FEATURE_ANY_VP;
	if (IS_ENABLED(CONFIG_KVM))
		arg.features |= HV_POSTMSG_FEATURE_KVM;
	arg.default_buffers = HVPM_DEFAULT_BUFFERS;
	arg.max_buffers = HVPM_MAX_BUFFERS;
	arg.max_ports = HVPM_MAX_PORTS;
	arg.max_connections = HVPM_MAX_CONNECTIONS;
	arg.max_endpoints = HVPM_MAX_ENDPOINTS;
	arg.default_depth = HVPM_DEFAULT_DEPTH;
	arg.max_depth = HVPM_MAX_DEPTH;
	return copy_back(user, &arg, sizeof(arg));
}

static struct hvpm_partition *
make_partition(const struct hv_postmsg_create_partition *arg)
{
	if (arg->flags & HV_POSTMSG_PARTITION_HOST)
		return hvpm_host_create();
	return hvpm_vm_attach(arg->vm_fd, arg->flags);
}

static long device_create_partition(void __user *user)
{
	const u32 vm_flags = HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE |
			     HV_POSTMSG_PARTITION_STRICT_RESERVED |
			     HV_POSTMSG_PARTITION_PASS_UNKNOWN;
	struct hv_postmsg_create_partition arg;
	struct hvpm_partition *partition;
	struct file *file;
	int fd, ret;

	ret = copy_arg(&arg, sizeof(arg), user,
		       HV_POSTMSG_PARTITION_HOST | vm_flags);
	if (ret)
		return ret;
	if (arg.reserved)
		return -EINVAL;
	if (arg.flags & HV_POSTMSG_PARTITION_HOST &&
	    (arg.flags & vm_flags || arg.vm_fd != -1))
		return -EINVAL;

	/* First: a VM's guest is answered as soon as there is a partition. */
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_getfile("[hv_postmsg-partition]", &partition_fops,
				  NULL, O_RDWR);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto out_fd;
	}
	partition = make_partition(&arg);
	if (IS_ERR(partition)) {
		ret = PTR_ERR(partition);
		goto out_file;
	}
	/* Nobody has the file before that. */
	file->private_data = partition;
	fd_install(fd, file);
	return fd;

out_file:
	fput(file);
out_fd:
	put_unused_fd(fd);
	return ret;
}

static long device_ioctl(struct file *file, unsigned int cmd,
			 unsigned long ioctl_param)
{
	void __user *user = (void __user *)ioctl_param;

	switch (cmd) {
	case HV_POSTMSG_INFO:
		return device_info(user);
	case HV_POSTMSG_CREATE_PARTITION:
		return device_create_partition(user);
	default:
		return -ENOIOCTLCMD;
	}
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice hv_postmsg_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hv_postmsg",
	.fops = &device_fops,
	.mode = 0660,
};

/**
 * hvpm_device_register - offer /dev/hv_postmsg
 *
 * Return: 0 or a negative errno.
 */
int hvpm_device_register(void)
{
	return misc_register(&hv_postmsg_device);
}

/**
 * hvpm_device_unregister - withdraw /dev/hv_postmsg
 */
void hvpm_device_unregister(void)
{
	misc_deregister(&hv_postmsg_device);
}
