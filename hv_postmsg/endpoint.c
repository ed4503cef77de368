// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoint: queue, read, poll.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "endpoint.h"
#include "limits.h"
#include "partition.h"
#include "port.h"

/* All messages of an endpoint share one FIFO. */
#define ENDPOINT_FIFO	0

/**
 * hvpm_endpoint_put - drop a reference
 * @endpoint: the endpoint
 *
 * Context: any; does not sleep.
 */
void hvpm_endpoint_put(struct hvpm_endpoint *endpoint)
{
	struct hvpm_partition *partition = endpoint->partition;

	if (!refcount_dec_and_test(&endpoint->usage))
		return;
	kfree_rcu(endpoint, rcu);
	hvpm_partition_put(partition);
}

/* Take messages, of one port or all, out of the queue and free them. */
static void free_messages(struct hvpm_endpoint *endpoint,
			  struct hvpm_port *port)
{
	struct hvpm_buffer *buffer;
	LIST_HEAD(removed);

	spin_lock(&endpoint->queue.lock);
	hvpm_queue_remove(&endpoint->queue, port, &removed);
	spin_unlock(&endpoint->queue.lock);
	list_for_each_entry(buffer, &removed, fifo)
		atomic_dec(&endpoint->held);
	hvpm_port_free_list(&removed);
}

/* Frees what came behind hvpm_endpoint_close(). */
static void drain(struct work_struct *work)
{
	struct hvpm_endpoint *endpoint =
		container_of(work, struct hvpm_endpoint, drain_work);

	free_messages(endpoint, NULL);
	hvpm_endpoint_put(endpoint);
}

/**
 * hvpm_endpoint_create - create an endpoint
 * @partition: the owner
 * @depth: most messages it holds, 0 for the default
 *
 * Context: may sleep; takes the partition's lock.
 * Return: the endpoint, for hvpm_endpoint_open_fd() or hvpm_endpoint_close();
 *	-EINVAL @depth is too great; -ENOSPC, -ENOMEM, -ESHUTDOWN.
 */
struct hvpm_endpoint *hvpm_endpoint_create(struct hvpm_partition *partition,
					   u32 depth)
{
	struct hvpm_endpoint *endpoint;
	int ret = 0;

	if (depth > HVPM_MAX_DEPTH)
		return ERR_PTR(-EINVAL);

	endpoint = kzalloc(sizeof(*endpoint), GFP_KERNEL_ACCOUNT);
	if (!endpoint)
		return ERR_PTR(-ENOMEM);
	refcount_set(&endpoint->usage, 1);
	endpoint->depth = depth ?: HVPM_DEFAULT_DEPTH;
	INIT_LIST_HEAD(&endpoint->ports);
	INIT_WORK(&endpoint->drain_work, drain);
	mutex_init(&endpoint->read_lock);
	hvpm_queue_init(&endpoint->queue);
	init_waitqueue_head(&endpoint->wait);

	mutex_lock(&partition->lock);
	if (partition->dead) {
		ret = -ESHUTDOWN;
	} else if (partition->endpoint_count >= HVPM_MAX_ENDPOINTS) {
		ret = -ENOSPC;
	} else {
		endpoint->partition = hvpm_partition_get(partition);
		list_add_tail(&endpoint->node, &partition->endpoints);
		partition->endpoint_count++;
	}
	mutex_unlock(&partition->lock);

	if (ret) {
		kfree(endpoint);
		return ERR_PTR(ret);
	}
	return endpoint;
}

/* The endpoint has room: other ports' posters may have been refused for it. */
static void wake_posters(struct hvpm_endpoint *endpoint)
{
	struct hvpm_port *port;

	rcu_read_lock();
	list_for_each_entry_rcu(port, &endpoint->ports, feeder)
		hvpm_port_wake_posters(port);
	rcu_read_unlock();
}

static void wake_readers(struct hvpm_endpoint *endpoint)
{
	wake_up_interruptible_poll(&endpoint->wait, EPOLLIN | EPOLLRDNORM);
}

/**
 * hvpm_endpoint_close - close an endpoint
 * @endpoint: the endpoint; the file's reference is dropped
 *
 * What is queued is freed, and the ports feeding it refuse posts from now on.  A post
 * that is under way may still be accepted: its message is freed by a worker.  So this
 * does not wait for posters: the last to hold the file may be anybody whom it was sent
 * to, or a thread that closes the files of all.
 *
 * Context: may sleep for the partition's lock; takes queue.lock.
 */
void hvpm_endpoint_close(struct hvpm_endpoint *endpoint)
{
	struct hvpm_partition *partition = endpoint->partition;

	might_sleep();

	mutex_lock(&partition->lock);
	WRITE_ONCE(endpoint->closed, true);
	list_del(&endpoint->node);
	partition->endpoint_count--;
	mutex_unlock(&partition->lock);

	/* Who pushes behind the look at the queue sees it; pairs with the push. */
	smp_mb();
	free_messages(endpoint, NULL);
	/* A host poster that waits for room learns that there is none. */
	wake_posters(endpoint);
	hvpm_endpoint_put(endpoint);
}

/**
 * hvpm_endpoint_hang_up - tell all who wait that no message will come
 * @endpoint: the endpoint, whose last port has gone or whose owner is dead
 *
 * Also each of those of whom a message would wake only one (EPOLLEXCLUSIVE).
 *
 * Context: any; does not sleep.
 */
void hvpm_endpoint_hang_up(struct hvpm_endpoint *endpoint)
{
	wake_up_interruptible_all(&endpoint->wait);
}

/**
 * hvpm_endpoint_add_port - let a port feed the endpoint
 * @endpoint: the endpoint
 * @port: a port whose target it is
 *
 * Context: the owner's lock held.
 */
void hvpm_endpoint_add_port(struct hvpm_endpoint *endpoint,
			    struct hvpm_port *port)
{
	lockdep_assert_held(&endpoint->partition->lock);

	list_add_tail_rcu(&port->feeder, &endpoint->ports);
	WRITE_ONCE(endpoint->fed, true);
}

/**
 * hvpm_endpoint_remove_port - a port stops feeding the endpoint
 * @endpoint: the endpoint
 * @port: a port whose target it is
 *
 * Context: the owner's lock held.
 */
void hvpm_endpoint_remove_port(struct hvpm_endpoint *endpoint,
			       struct hvpm_port *port)
{
	lockdep_assert_held(&endpoint->partition->lock);

	list_del_rcu(&port->feeder);
	if (list_empty(&endpoint->ports))
		hvpm_endpoint_hang_up(endpoint);
}

/**
 * hvpm_endpoint_remove_messages - free the queued messages of a dead port
 * @endpoint: the endpoint
 * @port: the port; nobody is pushing a message of it any more
 *
 * Context: may sleep; takes queue.lock.
 */
void hvpm_endpoint_remove_messages(struct hvpm_endpoint *endpoint,
				   struct hvpm_port *port)
{
	free_messages(endpoint, port);
	wake_posters(endpoint);
}

/**
 * hvpm_endpoint_reserve - reserve room for one message
 * @endpoint: the endpoint
 *
 * Context: under RCU, any thread; takes no lock.
 * Return: HV_STATUS_SUCCESS: hvpm_endpoint_post() or hvpm_endpoint_cancel()
 *	follows under the same RCU read-side section;
 *	HV_STATUS_INVALID_PORT_ID: closed; HV_STATUS_INSUFFICIENT_BUFFERS: full.
 */
enum hvpm_status hvpm_endpoint_reserve(struct hvpm_endpoint *endpoint)
{
	if (READ_ONCE(endpoint->closed))
		return HVPM_STATUS_INVALID_PORT_ID;
	if (!atomic_add_unless(&endpoint->held, 1, endpoint->depth))
		return HVPM_STATUS_INSUFFICIENT_BUFFERS;
	return HVPM_STATUS_SUCCESS;
}

/**
 * hvpm_endpoint_cancel - give reserved room back
 * @endpoint: the endpoint
 *
 * Context: under RCU; does not sleep.
 */
void hvpm_endpoint_cancel(struct hvpm_endpoint *endpoint)
{
	atomic_dec(&endpoint->held);
	/* Whoever was refused because of the reservation. */
	wake_posters(endpoint);
}

/* A message was pushed that nobody will read. */
static void drain_later(struct hvpm_endpoint *endpoint)
{
	/* Unless it has been freed already, and the endpoint with it. */
	if (!refcount_inc_not_zero(&endpoint->usage))
		return;
	if (!hvpm_partition_defer(&endpoint->drain_work))
		hvpm_endpoint_put(endpoint);
}

/**
 * hvpm_endpoint_post - queue a message where room was reserved
 * @endpoint: the endpoint
 * @buffer: the message
 *
 * Context: under RCU, any thread; takes the wait queue's lock only when a reader
 *	is waiting, and a worker pool's only if the endpoint is closed meanwhile.
 */
void hvpm_endpoint_post(struct hvpm_endpoint *endpoint,
			struct hvpm_buffer *buffer)
{
	hvpm_queue_push(&endpoint->queue, buffer);
	/* The push is a full barrier; pairs with smp_mb() in hvpm_endpoint_close(). */
	if (unlikely(READ_ONCE(endpoint->closed)))
		drain_later(endpoint);
	/* Orders the push before the look at the waiters, as waiters do. */
	if (wq_has_sleeper(&endpoint->wait))
		wake_readers(endpoint);
}

/* No message will come until another port is created to feed the endpoint. */
static bool hung_up(struct hvpm_endpoint *endpoint)
{
	return READ_ONCE(endpoint->partition->dead) ||
	       (READ_ONCE(endpoint->fed) && list_empty(&endpoint->ports));
}

static struct hvpm_buffer *next_message(struct hvpm_endpoint *endpoint)
{
	struct hvpm_buffer *buffer;

	lockdep_assert_held(&endpoint->read_lock);

	spin_lock(&endpoint->queue.lock);
	hvpm_queue_sort(&endpoint->queue);
	buffer = hvpm_queue_pop(&endpoint->queue, ENDPOINT_FIFO);
	spin_unlock(&endpoint->queue.lock);
	return buffer;
}

/* Put a message back that could not be copied out. */
static void return_message(struct hvpm_endpoint *endpoint,
			   struct hvpm_buffer *buffer)
{
	bool keep;

	spin_lock(&endpoint->queue.lock);
	/* The port's burial may have emptied the queue meanwhile. */
	keep = READ_ONCE(buffer->port->alive);
	if (keep)
		hvpm_queue_unpop(&endpoint->queue, buffer);
	spin_unlock(&endpoint->queue.lock);
	if (keep) {
		/* Others may have found the queue empty meanwhile. */
		wake_readers(endpoint);
		return;
	}
	atomic_dec(&endpoint->held);
	hvpm_port_free_buffer(buffer);
	wake_posters(endpoint);
}

/* Messages read in one go before others are told that there is room. */
#define WAKE_EVERY	64

static ssize_t read_messages(struct hvpm_endpoint *endpoint,
			     struct iov_iter *to)
{
	const size_t size = sizeof(struct hv_postmsg_message);
	struct hvpm_buffer *buffer;
	unsigned int taken = 0;
	ssize_t done = 0;
	size_t copied;

	while (iov_iter_count(to) >= size) {
		buffer = next_message(endpoint);
		if (!buffer)
			break;
		copied = copy_to_iter(&buffer->message, size, to);
		if (copied != size) {
			iov_iter_revert(to, copied);
			return_message(endpoint, buffer);
			if (!done)
				done = -EFAULT;
			break;
		}
		done += size;
		this_cpu_inc(endpoint->partition->counters->delivered);
		atomic64_inc(&buffer->port->delivered);
		atomic_dec(&endpoint->held);
		hvpm_port_give_buffer(buffer);
		/* While messages come as fast as they are read. */
		if (++taken % WAKE_EVERY == 0) {
			wake_posters(endpoint);
			cond_resched();
			if (signal_pending(current))
				return done;
		}
	}
	if (taken)
		wake_posters(endpoint);
	return done;
}

/* Another reader may be asleep in a page fault. */
static int lock_reader(struct hvpm_endpoint *endpoint, bool nonblock)
{
	if (!nonblock)
		return mutex_lock_interruptible(&endpoint->read_lock) ?
			       -ERESTARTSYS : 0;
	if (mutex_trylock(&endpoint->read_lock))
		return 0;
	/* Either this try succeeds or the other reader sees it: unlock_reader(). */
	smp_store_mb(endpoint->sent_away, true);
	return mutex_trylock(&endpoint->read_lock) ? 0 : -EAGAIN;
}

/* Who was sent away waits for a message, or the last one's end, that may be there. */
static void unlock_reader(struct hvpm_endpoint *endpoint)
{
	mutex_unlock(&endpoint->read_lock);
	/* Pairs with the barrier in lock_reader(). */
	smp_mb();
	if (!READ_ONCE(endpoint->sent_away))
		return;
	/* Before the look: who is sent away meanwhile is told by this or by a push. */
	smp_store_mb(endpoint->sent_away, false);
	if (hung_up(endpoint))
		hvpm_endpoint_hang_up(endpoint);
	else if (!hvpm_queue_empty(&endpoint->queue))
		wake_readers(endpoint);
}

/* For a readv() as well: what it has taken already must not wait for more. */
static ssize_t endpoint_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	struct hvpm_endpoint *endpoint = file->private_data;
	bool nonblock = READ_ONCE(file->f_flags) & O_NONBLOCK ||
			iocb->ki_flags & IOCB_NOWAIT;
	ssize_t done;
	int ret;

	if (iov_iter_count(to) < sizeof(struct hv_postmsg_message))
		return -EINVAL;

	for (;;) {
		bool last = hung_up(endpoint);

		ret = lock_reader(endpoint, nonblock);
		if (ret)
			return ret;
		done = read_messages(endpoint, to);
		unlock_reader(endpoint);
		if (done)
			return done;
		/* Hung up before the queue was found empty. */
		if (last)
			return 0;
		if (nonblock)
			return -EAGAIN;

		ret = wait_event_interruptible(endpoint->wait,
					       !hvpm_queue_empty(&endpoint->queue) ||
					       hung_up(endpoint));
		if (ret)
			return ret;
	}
}

static __poll_t endpoint_poll(struct file *file, poll_table *wait)
{
	struct hvpm_endpoint *endpoint = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &endpoint->wait, wait);
	/*
	 * The waiter before the look; pairs with wq_has_sleeper() in
	 * hvpm_endpoint_post().  Not every 6.1 has it in poll_wait().
	 */
	smp_mb();
	if (!hvpm_queue_empty(&endpoint->queue))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (hung_up(endpoint))
		mask |= EPOLLHUP;
	return mask;
}

static int endpoint_release(struct inode *inode, struct file *file)
{
	hvpm_endpoint_close(file->private_data);
	return 0;
}

static const struct file_operations endpoint_fops = {
	.owner = THIS_MODULE,
	.read_iter = endpoint_read,
	.poll = endpoint_poll,
	.release = endpoint_release,
	.llseek = noop_llseek,
};

/**
 * hvpm_endpoint_from_file - the endpoint behind a file
 * @file: any file
 *
 * Context: any.
 * Return: the endpoint, valid as long as @file is held; NULL for another file.
 */
struct hvpm_endpoint *hvpm_endpoint_from_file(struct file *file)
{
	return file->f_op == &endpoint_fops ? file->private_data : NULL;
}

/**
 * hvpm_endpoint_open_fd - make a file descriptor of a new endpoint
 * @endpoint: what hvpm_endpoint_create() returned; closed on failure
 *
 * Context: may sleep.
 * Return: the file descriptor; -EMFILE, -ENFILE, -ENOMEM.
 */
int hvpm_endpoint_open_fd(struct hvpm_endpoint *endpoint)
{
	int fd;

	fd = anon_inode_getfd("[hv_postmsg-endpoint]", &endpoint_fops, endpoint,
			      O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		hvpm_endpoint_close(endpoint);
	return fd;
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/endpoint_kunit.c"
#endif
