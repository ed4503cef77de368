// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: an endpoint takes what it has room for, and gives it out whole and in
 * order.
 */
#include <linux/mman.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>

#include "fake.h"

#define PORT	1

#define MESSAGE	sizeof(struct hv_postmsg_message)

/**
 * struct rig - an endpoint and who posts to it
 *
 * @to: the partition of the endpoint and its ports
 * @from: the partition that posts
 * @endpoint: the endpoint
 * @file: what stands for its file
 */
struct rig {
	struct fake_partition *to;
	struct fake_partition *from;
	struct hvpm_endpoint *endpoint;
	struct file *file;
};

static struct rig make_rig(struct kunit *test, u32 depth)
{
	struct rig rig = {
		.to = fake_partition(test, 0),
		.from = fake_partition(test, 0),
	};

	rig.endpoint = hvpm_endpoint_create(&rig.to->partition, depth);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rig.endpoint);
	rig.file = kunit_kzalloc(test, sizeof(*rig.file), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rig.file);
	rig.file->f_op = &endpoint_fops;
	rig.file->private_data = rig.endpoint;
	return rig;
}

static void feed(struct kunit *test, struct rig *rig, u32 id, u32 buffers)
{
	const struct hvpm_port_spec spec = {
		.id = id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.buffers = buffers,
		.endpoint = rig->endpoint,
	};

	fake_channel(test, rig->from, rig->to, &spec);
}

/* Give the calling thread, which dies with the case, some user memory. */
static struct hv_postmsg_message __user *user_memory(size_t size)
{
	struct mm_struct *mm = mm_alloc();
	unsigned long address;

	if (!mm)
		return NULL;
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(mm);
	address = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE,
			  MAP_ANONYMOUS | MAP_PRIVATE, 0);
	return IS_ERR_VALUE(address) ? NULL : (void __user *)address;
}

static ssize_t read_with(struct rig *rig, unsigned int flags, int call_flags,
			 void __user *to, size_t count)
{
	struct iov_iter iter;
	struct kiocb iocb;
	ssize_t ret;

	rig->file->f_flags = flags;
	init_sync_kiocb(&iocb, rig->file);
	iocb.ki_flags |= call_flags;
	iov_iter_ubuf(&iter, ITER_DEST, to, count);
	ret = endpoint_read(&iocb, &iter);
	/* No more is used up than is told as read. */
	if (iov_iter_count(&iter) != count - max_t(ssize_t, ret, 0))
		return -EIO;
	return ret;
}

static ssize_t read_nonblock(struct rig *rig, void __user *to, size_t count)
{
	return read_with(rig, O_NONBLOCK, 0, to, count);
}

/* Read one message into the kernel. */
static struct hv_postmsg_message read_one(struct kunit *test, struct rig *rig,
					  struct hv_postmsg_message __user *user)
{
	struct hv_postmsg_message message = {};

	KUNIT_EXPECT_EQ(test, read_nonblock(rig, user, MESSAGE),
			(ssize_t)MESSAGE);
	KUNIT_EXPECT_EQ(test, 0ul, copy_from_user(&message, user, MESSAGE));
	return message;
}

static void create(struct kunit *test)
{
	static const struct {
		u32 depth;
		unsigned int made;
	} table[] = {
		{ 0, 256 },
		{ 1, 1 },
		{ 4096, 4096 },
		{ 4097, 0 },
		{ 0xffffffff, 0 },
	};
	struct fake_partition *vm = fake_partition(test, 0);
	struct hvpm_endpoint *endpoint[HVPM_MAX_ENDPOINTS];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct hvpm_endpoint *one;

		one = hvpm_endpoint_create(&vm->partition, table[i].depth);
		if (!table[i].made) {
			KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(one), -EINVAL);
			continue;
		}
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, one);
		KUNIT_EXPECT_EQ(test, one->depth, table[i].made);
		hvpm_endpoint_close(one);
	}

	for (i = 0; i < HVPM_MAX_ENDPOINTS; i++) {
		endpoint[i] = hvpm_endpoint_create(&vm->partition, 1);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, endpoint[i]);
	}
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			PTR_ERR_OR_ZERO(hvpm_endpoint_create(&vm->partition, 1)));
	hvpm_endpoint_close(endpoint[7]);
	endpoint[7] = hvpm_endpoint_create(&vm->partition, 1);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, endpoint[7]);
	KUNIT_EXPECT_EQ(test, vm->partition.endpoint_count,
			(unsigned int)HVPM_MAX_ENDPOINTS);
	for (i = 0; i < HVPM_MAX_ENDPOINTS; i++)
		hvpm_endpoint_close(endpoint[i]);
	KUNIT_EXPECT_EQ(test, vm->partition.endpoint_count, 0u);
	KUNIT_EXPECT_TRUE(test, list_empty(&vm->partition.endpoints));

	fake_end(vm);
	KUNIT_EXPECT_EQ(test, -ESHUTDOWN,
			PTR_ERR_OR_ZERO(hvpm_endpoint_create(&vm->partition, 1)));
}

static void reserve(struct kunit *test)
{
	struct rig rig = make_rig(test, 3);
	struct hvpm_endpoint *endpoint = rig.endpoint;
	unsigned int i;

	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
				HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, atomic_read(&endpoint->held), 3);
	hvpm_endpoint_cancel(endpoint);
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
			HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
			HVPM_STATUS_INSUFFICIENT_BUFFERS);
	/* Closed wins over full. */
	endpoint->closed = true;
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
			HVPM_STATUS_INVALID_PORT_ID);
	for (i = 0; i < 3; i++)
		hvpm_endpoint_cancel(endpoint);
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(endpoint),
			HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, atomic_read(&endpoint->held), 0);
	hvpm_endpoint_close(endpoint);
}

/* The least of the endpoint's depth and the port's buffers counts. */
static void full(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 4);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, 1, 2);
	feed(test, &rig, 2, 16);
	for (i = 1; i <= 3; i++)
		KUNIT_EXPECT_EQ(test, fake_post(rig.from, 1, i),
				i <= 2 ? HVPM_STATUS_SUCCESS :
					 HVPM_STATUS_INSUFFICIENT_BUFFERS);
	/* The reservation of the refused one was given back. */
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 2);
	for (i = 3; i <= 5; i++)
		KUNIT_EXPECT_EQ(test, fake_post(rig.from, 2, i),
				i <= 4 ? HVPM_STATUS_SUCCESS :
					 HVPM_STATUS_INSUFFICIENT_BUFFERS);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 2), 14u);
	KUNIT_EXPECT_EQ(test,
			atomic64_read(&fake_port(rig.to, 2)->refused_buffers), 1ll);
	for (i = 1; i <= 4; i++) {
		struct hv_postmsg_message message = read_one(test, &rig, user);

		KUNIT_EXPECT_EQ(test, fake_value(&message), i);
	}
	KUNIT_EXPECT_EQ(test, fake_post(rig.from, 2, 5), HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 1);
	hvpm_endpoint_close(rig.endpoint);
}

/* Whole messages, in order, of all ports; not a byte that was not sent. */
static void contents(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 0);
	unsigned int round, size, i;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, 0, 1);
	feed(test, &rig, HV_POSTMSG_ID_MAX, 1);
	for (round = 0; round < 500; round++) {
		struct hvpm_post_input input = {
			.connection_id = round % 2 ? HV_POSTMSG_ID_MAX : 0,
			.message_type = 1 + fake_random(test, 0x7fffffff),
		};
		struct hv_postmsg_message message;

		size = fake_random(test, HV_POSTMSG_PAYLOAD_MAX + 1);
		/* Bytes beyond the size belong to the sender. */
		memset(input.payload, 0xff, sizeof(input.payload));
		for (i = 0; i < size; i++)
			input.payload[i] = fake_random(test, 256);
		input.payload_size = size;
		KUNIT_ASSERT_EQ(test, hvpm_post(&rig.from->partition, &input),
				HVPM_STATUS_SUCCESS);
		message = read_one(test, &rig, user);
		KUNIT_ASSERT_EQ(test, message.type, input.message_type);
		KUNIT_ASSERT_EQ(test, (unsigned int)message.payload_size, size);
		KUNIT_ASSERT_EQ(test, (int)message.flags, 0);
		KUNIT_ASSERT_EQ(test, (int)message.reserved, 0);
		KUNIT_ASSERT_EQ(test, message.port_id, (u64)input.connection_id);
		KUNIT_ASSERT_EQ(test, 0, memcmp(message.payload, input.payload,
						size));
		KUNIT_ASSERT_PTR_EQ(test, NULL,
				    memchr_inv(message.payload + size, 0,
					       HV_POSTMSG_PAYLOAD_MAX - size));
	}
	hvpm_endpoint_close(rig.endpoint);
}

static void read_sizes(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 0);
	struct hv_postmsg_message message[3];
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, PORT, 0);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE),
			(ssize_t)-EAGAIN);
	for (i = 1; i <= 8; i++)
		fake_post(rig.from, PORT, i);
	/* Too little for one, whatever is queued. */
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, 0), (ssize_t)-EINVAL);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE - 1),
			(ssize_t)-EINVAL);
	/* No part of a message is lost or given out. */
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, 2 * MESSAGE - 1),
			(ssize_t)MESSAGE);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, 3 * MESSAGE + 100),
			(ssize_t)(3 * MESSAGE));
	KUNIT_EXPECT_EQ(test, 0ul, copy_from_user(message, user, sizeof(message)));
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, fake_value(&message[i]), i + 2);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, PAGE_SIZE),
			(ssize_t)(4 * MESSAGE));
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, PAGE_SIZE),
			(ssize_t)-EAGAIN);
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 0);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, PORT), 16u);
	KUNIT_EXPECT_EQ(test,
			atomic64_read(&fake_port(rig.to, PORT)->delivered), 8ll);
	hvpm_endpoint_close(rig.endpoint);
}

/* One call must not sleep, though the file may, as io_uring asks. */
static void read_nowait(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 0);

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, PORT, 0);
	/* Sleep would end by that, and at once. */
	set_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, read_with(&rig, 0, IOCB_NOWAIT, user, MESSAGE),
			(ssize_t)-EAGAIN);
	clear_thread_flag(TIF_SIGPENDING);
	fake_post(rig.from, PORT, 1);
	KUNIT_EXPECT_EQ(test, read_with(&rig, 0, IOCB_NOWAIT, user, MESSAGE),
			(ssize_t)MESSAGE);
	hvpm_endpoint_close(rig.endpoint);
}

/* A message that cannot be copied out is the next one still. */
static void read_faults(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	void __user *bad = (void __user *)(-PAGE_SIZE);
	struct rig rig = make_rig(test, 0);
	struct hv_postmsg_message message;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, PORT, 0);
	for (i = 1; i <= 3; i++)
		fake_post(rig.from, PORT, i);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, bad, PAGE_SIZE),
			(ssize_t)-EFAULT);
	/* Half of the first fits. */
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, (void __user *)user +
					    PAGE_SIZE - MESSAGE / 2, MESSAGE),
			(ssize_t)-EFAULT);
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 3);
	/* The first fits in front of the page's end, the second does not. */
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, (void __user *)user +
					    PAGE_SIZE - MESSAGE, 2 * MESSAGE),
			(ssize_t)MESSAGE);
	for (i = 2; i <= 3; i++) {
		message = read_one(test, &rig, user);
		KUNIT_EXPECT_EQ(test, fake_value(&message), i);
	}
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE),
			(ssize_t)-EAGAIN);
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 0);
	hvpm_endpoint_close(rig.endpoint);
}

/* The port dies while the reader has its message in hand and cannot copy it. */
static void fault_of_a_dead_port(struct kunit *test)
{
	struct rig rig = make_rig(test, 0);
	struct hvpm_buffer *buffer;

	feed(test, &rig, PORT, 0);
	fake_post(rig.from, PORT, 1);
	fake_post(rig.from, PORT, 2);
	mutex_lock(&rig.endpoint->read_lock);
	buffer = next_message(rig.endpoint);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, buffer);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, PORT));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 1);
	if (buffer)
		return_message(rig.endpoint, buffer);
	mutex_unlock(&rig.endpoint->read_lock);
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig.endpoint->queue));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 0);
	KUNIT_EXPECT_EQ(test, 0,
			hvpm_connection_delete(&rig.from->partition, PORT));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.to->partition.port_count), 0);
	hvpm_endpoint_close(rig.endpoint);
}

static void port_deletion(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct hv_postmsg_partition_stats stats = {};
	struct rig rig = make_rig(test, 0);
	struct hv_postmsg_message message;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, 1, 0);
	feed(test, &rig, 2, 0);
	for (i = 1; i <= 10; i++)
		fake_post(rig.from, 1 + i % 2, i);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, 1));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 5);
	/* The other port's stay, in order. */
	for (i = 1; i <= 10; i += 2) {
		message = read_one(test, &rig, user);
		KUNIT_EXPECT_EQ(test, fake_value(&message), i);
		KUNIT_EXPECT_EQ(test, message.port_id, 2ull);
	}
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE),
			(ssize_t)-EAGAIN);
	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&rig.to->partition, &stats));
	KUNIT_EXPECT_EQ(test, stats.posted, 10ull);
	KUNIT_EXPECT_EQ(test, stats.delivered, 5ull);
	KUNIT_EXPECT_EQ(test, stats.freed, 5ull);
	hvpm_endpoint_close(rig.endpoint);
}

/* A post that has seen the endpoint open goes on behind its closing. */
static void closed_under_a_post(struct kunit *test)
{
	struct rig rig = make_rig(test, 0);
	struct hvpm_buffer *buffer[2];
	struct hvpm_port *port;
	unsigned int i;

	feed(test, &rig, 1, 2);
	port = fake_port(rig.to, 1);
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, hvpm_endpoint_reserve(rig.endpoint),
				HVPM_STATUS_SUCCESS);
		buffer[i] = hvpm_port_take_buffer(port);
		KUNIT_ASSERT_NOT_NULL(test, buffer[i]);
		this_cpu_inc(rig.to->partition.counters->posted);
		atomic64_inc(&port->posted);
	}
	hvpm_endpoint_close(rig.endpoint);
	/* One worker for both. */
	preempt_disable();
	for (i = 0; i < 2; i++)
		hvpm_endpoint_post(rig.endpoint, buffer[i]);
	preempt_enable();
	flush_work(&rig.endpoint->drain_work);

	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig.endpoint->queue));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 0);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 1), 2u);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->freed), 2ll);
	/* The port's is the last reference again. */
	KUNIT_EXPECT_EQ(test, refcount_read(&rig.endpoint->usage), 1u);
}

static void closing(struct kunit *test)
{
	struct rig rig = make_rig(test, 0);
	struct hvpm_port *port;
	unsigned int i;

	feed(test, &rig, 1, 0);
	feed(test, &rig, 2, 0);
	for (i = 1; i <= 10; i++)
		fake_post(rig.from, 1 + i % 2, i);
	port = fake_port(rig.to, 1);
	hvpm_endpoint_close(rig.endpoint);
	/* The ports keep the memory, and refuse. */
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 1), 16u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 2), 16u);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->freed), 5ll);
	KUNIT_EXPECT_EQ(test, atomic_read(&port->endpoint->held), 0);
	KUNIT_EXPECT_EQ(test, fake_post(rig.from, 1, 11),
			HVPM_STATUS_INVALID_PORT_ID);
	KUNIT_EXPECT_EQ(test, atomic64_read(&port->refused_port), 1ll);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, 1));
	KUNIT_EXPECT_EQ(test, rig.to->partition.endpoint_count, 0u);
}

static void hang_up(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 0);
	const __poll_t in = EPOLLIN | EPOLLRDNORM;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	/* Not before its first port. */
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), (__poll_t)0);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE),
			(ssize_t)-EAGAIN);
	feed(test, &rig, 1, 0);
	feed(test, &rig, 2, 0);
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), (__poll_t)0);
	fake_post(rig.from, 2, 2);
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), in);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, 1));
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), in);
	KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, 2));
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), (__poll_t)EPOLLHUP);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE), (ssize_t)0);
	/* A new port and it is as before. */
	feed(test, &rig, 3, 0);
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), (__poll_t)0);
	fake_post(rig.from, 3, 3);
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), in);

	hvpm_partition_shutdown(&rig.to->partition);
	KUNIT_EXPECT_TRUE(test, endpoint_poll(rig.file, NULL) & EPOLLHUP);
	fake_flush(&rig.to->partition);
	KUNIT_EXPECT_EQ(test, endpoint_poll(rig.file, NULL), (__poll_t)EPOLLHUP);
	KUNIT_EXPECT_EQ(test, read_nonblock(&rig, user, MESSAGE), (ssize_t)0);
	hvpm_endpoint_close(rig.endpoint);
}

static void from_file(struct kunit *test)
{
	static const struct file_operations other;
	struct rig rig = make_rig(test, 0);

	KUNIT_EXPECT_PTR_EQ(test, hvpm_endpoint_from_file(rig.file),
			    rig.endpoint);
	rig.file->f_op = &other;
	KUNIT_EXPECT_NULL(test, hvpm_endpoint_from_file(rig.file));
	hvpm_endpoint_close(rig.endpoint);
}

/* --- readers that wait --- */

struct reader {
	struct rig *rig;
	ssize_t ret;
	u32 value;
};

static void read_blocking(void *arg)
{
	struct reader *reader = arg;
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct hv_postmsg_message message;

	reader->ret = -ENOMEM;
	if (!user)
		return;
	reader->ret = read_with(reader->rig, 0, 0, user, MESSAGE);
	if (reader->ret > 0 && !copy_from_user(&message, user, MESSAGE))
		reader->value = fake_value(&message);
}

enum ending { POST, PORT_DELETED, SHUTDOWN, SIGNAL };

static void read_until(struct kunit *test, enum ending ending, ssize_t ret)
{
	struct rig rig = make_rig(test, 0);
	struct reader reader = { .rig = &rig };
	struct fake_waiter waiter;

	feed(test, &rig, PORT, 0);
	fake_waiter_start(test, &waiter, read_blocking, &reader);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));
	switch (ending) {
	case POST:
		KUNIT_EXPECT_EQ(test, fake_post(rig.from, PORT, 99),
				HVPM_STATUS_SUCCESS);
		break;
	case PORT_DELETED:
		KUNIT_EXPECT_EQ(test, 0,
				hvpm_port_delete(&rig.to->partition, PORT));
		break;
	case SHUTDOWN:
		hvpm_partition_shutdown(&rig.to->partition);
		break;
	case SIGNAL:
		send_sig(SIGUSR1, waiter.task, 1);
		break;
	}
	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, reader.ret, ret);
	KUNIT_EXPECT_EQ(test, reader.value, ret > 0 ? 99u : 0u);
	hvpm_endpoint_close(rig.endpoint);
}

/* A read for which there is always more ends for a signal, with what it has. */
static void read_with_a_signal(void *arg)
{
	const size_t size = 100 * MESSAGE;
	struct reader *reader = arg;
	void __user *user = user_memory(size);

	reader->ret = -ENOMEM;
	if (!user)
		return;
	send_sig(SIGUSR1, current, 1);
	reader->ret = read_nonblock(reader->rig, user, size);
}

static void a_long_read(struct kunit *test)
{
	struct rig rig = make_rig(test, 100);
	struct reader reader = { .rig = &rig };
	struct fake_waiter waiter;
	unsigned int i;

	feed(test, &rig, 1, 64);
	feed(test, &rig, 2, 64);
	for (i = 0; i < 100; i++)
		KUNIT_ASSERT_EQ(test, fake_post(rig.from, 1 + i / 64, i),
				HVPM_STATUS_SUCCESS);
	fake_waiter_start(test, &waiter, read_with_a_signal, &reader);
	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, reader.ret, (ssize_t)(WAKE_EVERY * MESSAGE));
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held), 100 - WAKE_EVERY);
	hvpm_endpoint_close(rig.endpoint);
}

static void read_until_post(struct kunit *test)
{
	read_until(test, POST, MESSAGE);
}

static void read_until_port_deleted(struct kunit *test)
{
	read_until(test, PORT_DELETED, 0);
}

static void read_until_shutdown(struct kunit *test)
{
	read_until(test, SHUTDOWN, 0);
}

static void read_until_signal(struct kunit *test)
{
	read_until(test, SIGNAL, -ERESTARTSYS);
}

/* --- posters that wait for room --- */

struct host_post {
	struct rig *rig;
	u32 id;
	int ret;
	enum hvpm_status status;
};

static void host_post(void *arg)
{
	struct host_post *post = arg;
	struct hvpm_post_input input = {
		.connection_id = post->id,
		.message_type = 1,
	};

	post->ret = hvpm_post_wait(&post->rig->from->partition, &input, false,
				   &post->status);
}

enum room { MESSAGE_READ, OTHER_PORT_DELETED, CLOSED };

/* The endpoint is full of one port's messages; another port's poster waits. */
static void room_for_another(struct kunit *test, enum room room)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 1);
	struct host_post post = { .rig = &rig, .id = 2 };
	struct fake_waiter waiter;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, 1, 0);
	feed(test, &rig, 2, 0);
	fake_post(rig.from, 1, 1);
	fake_waiter_start(test, &waiter, host_post, &post);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));
	switch (room) {
	case MESSAGE_READ:
		read_one(test, &rig, user);
		break;
	case OTHER_PORT_DELETED:
		KUNIT_EXPECT_EQ(test, 0, hvpm_port_delete(&rig.to->partition, 1));
		break;
	case CLOSED:
		hvpm_endpoint_close(rig.endpoint);
		break;
	}
	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, post.ret, 0);
	KUNIT_EXPECT_EQ(test, post.status, room == CLOSED ?
			HVPM_STATUS_INVALID_PORT_ID : HVPM_STATUS_SUCCESS);
	if (room != CLOSED)
		hvpm_endpoint_close(rig.endpoint);
}

static void room_by_read(struct kunit *test)
{
	room_for_another(test, MESSAGE_READ);
}

static void room_by_port_deletion(struct kunit *test)
{
	room_for_another(test, OTHER_PORT_DELETED);
}

static void no_room_ever(struct kunit *test)
{
	room_for_another(test, CLOSED);
}

/*
 * A post that reserves room and then finds no buffer may be what another poster
 * was refused for, with nothing else to come that would wake it: the reader gave
 * room back first, then the buffer, then woke.
 */
static void cancel_wakes(struct kunit *test)
{
	struct rig rig = make_rig(test, 1);
	struct host_post post = { .rig = &rig, .id = 2 };
	struct hvpm_buffer *buffer;
	struct fake_waiter waiter;
	struct hvpm_port *port;

	feed(test, &rig, 1, 1);
	feed(test, &rig, 2, 1);
	port = fake_port(rig.to, 1);
	fake_post(rig.from, 1, 1);
	fake_waiter_start(test, &waiter, host_post, &post);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));

	/* The reader takes the message and gives its room back. */
	mutex_lock(&rig.endpoint->read_lock);
	buffer = next_message(rig.endpoint);
	mutex_unlock(&rig.endpoint->read_lock);
	KUNIT_ASSERT_NOT_NULL(test, buffer);
	atomic_dec(&rig.endpoint->held);
	/* A guest's post to the first port takes it, and finds no buffer. */
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, hvpm_endpoint_reserve(rig.endpoint),
			HVPM_STATUS_SUCCESS);
	KUNIT_EXPECT_NULL(test, hvpm_port_take_buffer(port));
	rcu_read_unlock();
	/* The reader gives the buffer back and wakes, in vain. */
	hvpm_port_free_buffer(buffer);
	wake_posters(rig.endpoint);
	KUNIT_EXPECT_TRUE(test, fake_waiter_waits(&waiter));
	/* The guest's post is refused. */
	rcu_read_lock();
	hvpm_endpoint_cancel(rig.endpoint);
	rcu_read_unlock();

	KUNIT_EXPECT_TRUE(test, fake_waiter_returns(&waiter));
	KUNIT_EXPECT_EQ(test, post.ret, 0);
	KUNIT_EXPECT_EQ(test, post.status, HVPM_STATUS_SUCCESS);
	hvpm_endpoint_close(rig.endpoint);
}

/* --- posts by interrupt while a reader reads --- */

struct source {
	struct fake_partition *from;
	u32 sent;
};

static void source_tick(void *arg)
{
	struct source *source = arg;
	unsigned int i;

	for (i = 0; i < 3; i++)
		if (!fake_post(source->from, 1 + source->sent % 2,
			       source->sent + 1))
			source->sent++;
}

static void read_under_posts(struct kunit *test)
{
	struct hv_postmsg_message __user *user = user_memory(PAGE_SIZE);
	struct rig rig = make_rig(test, 8);
	struct source source = { .from = rig.from };
	struct hv_postmsg_message message;
	struct fake_ticker ticker;
	unsigned int wrong = 0;
	unsigned long end;
	u32 received = 0;

	KUNIT_ASSERT_NOT_NULL(test, (void __force *)user);
	feed(test, &rig, 1, 3);
	feed(test, &rig, 2, 0);
	rig.file->f_flags = 0;
	fake_ticker_start(test, &ticker, source_tick, &source);
	end = jiffies + FAKE_LONG_TIMEOUT;
	/* Blocking: a lost wake-up would show as a hang. */
	while (received < 10000 && time_before(jiffies, end)) {
		if (read_with(&rig, 0, 0, user, MESSAGE) != MESSAGE ||
		    copy_from_user(&message, user, MESSAGE))
			break;
		if (fake_value(&message) != ++received ||
		    message.port_id != 2 - received % 2)
			wrong++;
	}
	fake_ticker_stop(&ticker);
	KUNIT_EXPECT_EQ(test, received, 10000u);
	KUNIT_EXPECT_EQ(test, wrong, 0u);
	KUNIT_EXPECT_EQ(test, atomic_read(&rig.endpoint->held),
			(int)(source.sent - received));
	hvpm_endpoint_close(rig.endpoint);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 1), 3u);
	KUNIT_EXPECT_EQ(test, fake_free_buffers(rig.to, 2), 16u);
}

static struct kunit_case endpoint_cases[] = {
	KUNIT_CASE(create),
	KUNIT_CASE(reserve),
	KUNIT_CASE(full),
	KUNIT_CASE(contents),
	KUNIT_CASE(read_sizes),
	KUNIT_CASE(read_nowait),
	KUNIT_CASE(read_faults),
	KUNIT_CASE(fault_of_a_dead_port),
	KUNIT_CASE(port_deletion),
	KUNIT_CASE(closed_under_a_post),
	KUNIT_CASE(closing),
	KUNIT_CASE(hang_up),
	KUNIT_CASE(from_file),
	KUNIT_CASE(read_until_post),
	KUNIT_CASE(read_until_port_deleted),
	KUNIT_CASE(read_until_shutdown),
	KUNIT_CASE(read_until_signal),
	KUNIT_CASE(a_long_read),
	KUNIT_CASE(room_by_read),
	KUNIT_CASE(room_by_port_deletion),
	KUNIT_CASE(no_room_ever),
	KUNIT_CASE(cancel_wakes),
	KUNIT_CASE(read_under_posts),
	{}
};

static struct kunit_suite endpoint_suite = {
	.name = "hv_postmsg_endpoint",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = endpoint_cases,
};

kunit_test_suite(endpoint_suite);
