/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites share: partitions with fake VPs, a guest that consumes at
 * chosen moments, and interrupts for concurrency.
 *
 * Every suite has fake_init() and fake_exit() as its init and exit: partitions
 * made by fake_partition() are shut down behind the case, and the case fails
 * unless each is then withdrawn, detached and freed exactly once, which it is
 * only when nothing refers to it any more, no port, endpoint or buffer.
 */
#ifndef _HV_POSTMSG_KUNIT_FAKE_H
#define _HV_POSTMSG_KUNIT_FAKE_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "../hv_postmsg/buffer.h"
#include "../hv_postmsg/connection.h"
#include "../hv_postmsg/endpoint.h"
#include "../hv_postmsg/limits.h"
#include "../hv_postmsg/partition.h"
#include "../hv_postmsg/port.h"
#include "../hv_postmsg/post.h"
#include "../hv_postmsg/slot.h"
#include "../hv_postmsg/vp.h"

#define FAKE_VPS		4
/* The index of VP 0: index and slot of a VP are not the same number. */
#define FAKE_INDEX		40
/* An index that only a VP without SynIC has. */
#define FAKE_BARE_INDEX		77
#define FAKE_VECTOR		0x50
#define FAKE_MAX_PARTITIONS	3
/* Longer than anything takes on a busy machine; what waits for interrupts. */
#define FAKE_TIMEOUT		(10 * HZ)
#define FAKE_LONG_TIMEOUT	(60 * HZ)

/* Callbacks that run on the VP's thread. */
enum fake_op {
	FAKE_READ,
	FAKE_SET_PENDING,
	FAKE_TIMER_WAITS,
	FAKE_WRITE,
	FAKE_SINT,
	FAKE_INTERRUPT,
	FAKE_OPS,
};

/**
 * struct fake_vp - a VP without a guest
 *
 * @vp: what the core sees
 * @state: what the state callback answers
 * @slot: the SIM page
 * @sint: the SINT registers
 * @timers: bitmap of the SINTs that a synthetic timer waits for
 * @payload: payload of what the VP is just posting; NULL: out of reach
 * @error: per callback, the errno it fails with
 * @error_from: per callback, the number of calls that succeed before that
 * @calls: per callback, how often it was called
 * @moment: called at the beginning of each callback: what other threads and the
 *	guest do between two steps of the VP's thread
 * @moment_arg: for @moment
 * @kicks: calls of the kick callback
 * @interrupts: calls of the interrupt callback
 * @vector: vector of the last
 */
struct fake_vp {
	struct hvpm_vp vp;
	enum hvpm_status state;
	struct hv_postmsg_message slot[HVPM_SINT_COUNT];
	u64 sint[HVPM_SINT_COUNT];
	unsigned long timers;
	const u8 *payload;
	int error[FAKE_OPS];
	unsigned int error_from[FAKE_OPS];
	unsigned int calls[FAKE_OPS];
	void (*moment)(struct fake_vp *fake, enum fake_op op);
	void *moment_arg;
	atomic_t kicks;
	unsigned int interrupts;
	u8 vector;
};

/**
 * struct fake_partition - a partition without a VM
 *
 * @partition: what the core sees
 * @vp_count: VPs in @vp
 * @bare: there is a VP FAKE_BARE_INDEX whose SynIC was never set up
 * @withdrawn: calls of the withdraw callback
 * @detached: calls of the detach callback
 * @freed: calls of the free callback
 * @end: completed by the free callback
 * @ended: fake_end() was called
 * @vp: the VPs
 */
struct fake_partition {
	struct hvpm_partition partition;
	unsigned int vp_count;
	bool bare;
	atomic_t withdrawn;
	atomic_t detached;
	atomic_t freed;
	struct completion end;
	bool ended;
	struct fake_vp vp[FAKE_VPS];
};

/* What test->priv points to. */
struct fake_world {
	struct rnd_state rnd;
	unsigned int count;
	struct fake_partition *partitions[FAKE_MAX_PARTITIONS];
};

#define to_fake_vp(ptr)	container_of((ptr), struct fake_vp, vp)
#define to_fake(ptr)	container_of((ptr), struct fake_partition, partition)

/* hv_postmsg.kunit_seed on the kernel's command line, buffer_kunit.c. */
extern unsigned int hvpm_kunit_seed;

/* --- VPs --- */

static int fake_step(struct fake_vp *fake, enum fake_op op)
{
	unsigned int call = fake->calls[op]++;

	/* These may sleep: say so to who calls them with a lock held. */
	if (op == FAKE_READ || op == FAKE_SET_PENDING || op == FAKE_WRITE)
		might_sleep();
	if (fake->moment)
		fake->moment(fake, op);
	return call >= fake->error_from[op] ? fake->error[op] : 0;
}

static enum hvpm_status fake_state(struct hvpm_vp *vp)
{
	return READ_ONCE(to_fake_vp(vp)->state);
}

static void fake_kick(struct hvpm_vp *vp)
{
	atomic_inc(&to_fake_vp(vp)->kicks);
}

static int fake_read_header(struct hvpm_vp *vp, unsigned int sint, u64 *header)
{
	struct fake_vp *fake = to_fake_vp(vp);
	int ret = fake_step(fake, FAKE_READ);

	if (!ret)
		memcpy(header, &fake->slot[sint], sizeof(*header));
	return ret;
}

static int fake_set_pending(struct hvpm_vp *vp, unsigned int sint)
{
	struct fake_vp *fake = to_fake_vp(vp);
	int ret = fake_step(fake, FAKE_SET_PENDING);

	if (!ret)
		fake->slot[sint].flags |= HVPM_MESSAGE_PENDING;
	return ret;
}

static int fake_write_message(struct hvpm_vp *vp, unsigned int sint,
			      const struct hv_postmsg_message *message)
{
	struct fake_vp *fake = to_fake_vp(vp);
	int ret = fake_step(fake, FAKE_WRITE);

	if (!ret)
		memcpy(&fake->slot[sint], message,
		       offsetof(struct hv_postmsg_message, payload) +
		       message->payload_size);
	return ret;
}

static bool fake_write_own(struct hvpm_vp *vp, const struct hvpm_port *port,
			   const struct hvpm_post_head *head)
{
	struct fake_vp *fake = to_fake_vp(vp);
	struct hv_postmsg_message *slot = &fake->slot[port->sint];

	if (port->target_vp != FAKE_INDEX + vp->slot || slot->type ||
	    fake->state != HVPM_STATUS_SUCCESS || !fake->payload)
		return false;
	memcpy(slot->payload, fake->payload, head->payload_size);
	slot->payload_size = head->payload_size;
	slot->flags = fake->timers & BIT(port->sint) ? HVPM_MESSAGE_PENDING : 0;
	slot->reserved = 0;
	slot->port_id = port->id;
	slot->type = head->message_type;
	hvpm_slot_interrupt(vp, port->sint);
	return true;
}

static bool fake_read_payload(struct hvpm_vp *vp, void *payload, u32 size)
{
	struct fake_vp *fake = to_fake_vp(vp);

	if (fake->payload)
		memcpy(payload, fake->payload, size);
	return fake->payload;
}

static bool fake_timer_waits(struct hvpm_vp *vp, unsigned int sint)
{
	struct fake_vp *fake = to_fake_vp(vp);

	fake_step(fake, FAKE_TIMER_WAITS);
	return fake->timers & BIT(sint);
}

static u64 fake_sint(struct hvpm_vp *vp, unsigned int sint)
{
	struct fake_vp *fake = to_fake_vp(vp);

	fake_step(fake, FAKE_SINT);
	return fake->sint[sint];
}

static void fake_interrupt(struct hvpm_vp *vp, u8 vector)
{
	struct fake_vp *fake = to_fake_vp(vp);

	fake_step(fake, FAKE_INTERRUPT);
	fake->interrupts++;
	fake->vector = vector;
}

static const struct hvpm_vp_ops fake_vp_ops = {
	.state = fake_state,
	.kick = fake_kick,
	.read_header = fake_read_header,
	.set_pending = fake_set_pending,
	.write_message = fake_write_message,
	.write_own = fake_write_own,
	.read_payload = fake_read_payload,
	.timer_waits = fake_timer_waits,
	.sint = fake_sint,
	.interrupt = fake_interrupt,
};

static inline void fake_vp_init(struct fake_vp *fake,
				struct hvpm_partition *partition,
				unsigned int slot)
{
	unsigned int sint;

	hvpm_vp_init(&fake->vp, &fake_vp_ops, partition, slot);
	fake->state = HVPM_STATUS_SUCCESS;
	for (sint = 0; sint < HVPM_SINT_COUNT; sint++)
		fake->sint[sint] = FAKE_VECTOR + sint;
}

/* --- partitions --- */

static struct hvpm_vp *fake_find_vp(struct hvpm_partition *partition, u32 index,
				    enum hvpm_status *status)
{
	struct fake_partition *fake = to_fake(partition);

	if (index == HV_POSTMSG_ANY_VP) {
		*status = fake->vp_count || fake->bare ?
			  HVPM_STATUS_INVALID_SYNIC_STATE :
			  HVPM_STATUS_INVALID_VP_INDEX;
		return NULL;
	}
	if (index >= FAKE_INDEX && index < FAKE_INDEX + fake->vp_count)
		return &fake->vp[index - FAKE_INDEX].vp;
	*status = fake->bare && index == FAKE_BARE_INDEX ?
		  HVPM_STATUS_INVALID_SYNIC_STATE : HVPM_STATUS_INVALID_VP_INDEX;
	return NULL;
}

static void fake_withdraw(struct hvpm_partition *partition)
{
	lockdep_assert_held(&partition->lock);
	atomic_inc(&to_fake(partition)->withdrawn);
}

static void fake_detach(struct hvpm_partition *partition)
{
	might_sleep();
	atomic_inc(&to_fake(partition)->detached);
}

static void fake_free(struct hvpm_partition *partition)
{
	struct fake_partition *fake = to_fake(partition);

	hvpm_partition_uninit(partition);
	atomic_inc(&fake->freed);
	complete_all(&fake->end);
}

static const struct hvpm_partition_ops fake_vm_ops = {
	.find_vp = fake_find_vp,
	.withdraw = fake_withdraw,
	.detach = fake_detach,
	.free = fake_free,
};

static const struct hvpm_partition_ops fake_host_ops = {
	.withdraw = fake_withdraw,
	.detach = fake_detach,
	.free = fake_free,
};

/* A partition with VPs FAKE_INDEX and up; none at all with a host partition. */
static inline struct fake_partition *
fake_partition_flags(struct kunit *test, unsigned int vps, u32 flags)
{
	const struct hvpm_partition_ops *ops = &fake_vm_ops;
	struct fake_world *world = test->priv;
	struct fake_partition *fake;
	unsigned int slot;

	if (flags & HV_POSTMSG_PARTITION_HOST)
		ops = &fake_host_ops;
	KUNIT_ASSERT_LE(test, vps, (unsigned int)FAKE_VPS);
	KUNIT_ASSERT_LT(test, world->count, (unsigned int)FAKE_MAX_PARTITIONS);
	/* Freed by fake_exit(), unless something still refers to it. */
	fake = kzalloc(sizeof(*fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fake);
	init_completion(&fake->end);
	KUNIT_ASSERT_EQ(test, 0, hvpm_partition_init(&fake->partition, ops,
						     flags, FAKE_VPS));
	world->partitions[world->count++] = fake;
	for (slot = 0; slot < vps; slot++) {
		fake_vp_init(&fake->vp[slot], &fake->partition, slot);
		KUNIT_ASSERT_EQ(test, 0,
				xa_err(xa_store(&fake->partition.vps, slot,
						&fake->vp[slot].vp,
						GFP_KERNEL)));
	}
	fake->vp_count = vps;
	return fake;
}

static inline struct fake_partition *fake_partition(struct kunit *test,
						    unsigned int vps)
{
	return fake_partition_flags(test, vps, 0);
}

/* Close the partition's file. */
static inline void fake_end(struct fake_partition *fake)
{
	if (fake->ended)
		return;
	fake->ended = true;
	hvpm_partition_shutdown(&fake->partition);
	hvpm_partition_put(&fake->partition);
}

/* Wait for what the end of a partition leaves to workers. */
static inline void fake_flush(struct hvpm_partition *partition)
{
	flush_rcu_work(&partition->shutdown_work);
	flush_work(&partition->finish_work);
}

/* Is the partition freed, now or in a moment? */
static inline bool fake_gone(struct fake_partition *fake)
{
	return wait_for_completion_timeout(&fake->end, FAKE_TIMEOUT);
}

/* Is it kept, although nothing but the reference in question keeps it? */
static inline bool fake_kept(struct fake_partition *fake)
{
	rcu_barrier();
	return !wait_for_completion_timeout(&fake->end, HZ / 10);
}

static inline int fake_init(struct kunit *test)
{
	unsigned int seed = hvpm_kunit_seed ?: get_random_u32();
	struct fake_world *world;

	world = kunit_kzalloc(test, sizeof(*world), GFP_KERNEL);
	if (!world)
		return -ENOMEM;
	prandom_seed_state(&world->rnd, seed);
	kunit_info(test, "seed %u\n", seed);
	test->priv = world;
	return 0;
}

static inline void fake_exit(struct kunit *test)
{
	struct fake_world *world = test->priv;
	unsigned int i;

	for (i = 0; i < world->count; i++)
		fake_end(world->partitions[i]);
	for (i = 0; i < world->count; i++) {
		struct fake_partition *fake = world->partitions[i];

		if (!fake_gone(fake)) {
			KUNIT_FAIL(test, "partition %u is never freed", i);
			continue;
		}
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&fake->withdrawn));
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&fake->detached));
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&fake->freed));
		kfree(fake);
	}
	/* Ports, connections and endpoints are on their way to RCU as well. */
	rcu_barrier();
}

/* A random number below @limit. */
static inline u32 fake_random(struct kunit *test, u32 limit)
{
	struct fake_world *world = test->priv;

	return prandom_u32_state(&world->rnd) % limit;
}

/* --- ports, connections, posts --- */

static inline struct hvpm_port *fake_port(struct fake_partition *fake, u32 id)
{
	struct hvpm_port *port;

	mutex_lock(&fake->partition.lock);
	port = hvpm_port_find(&fake->partition, id);
	mutex_unlock(&fake->partition.lock);
	return port;
}

static inline int fake_connect(struct fake_partition *from, u32 id,
			       struct fake_partition *to, u32 port_id)
{
	struct hvpm_port *port = fake_port(to, port_id);

	if (!port)
		return -ENOENT;
	return hvpm_connection_create(&from->partition, id, port, true);
}

/* A port, and a connection of @from with the same ID to it. */
static inline void fake_channel(struct kunit *test, struct fake_partition *from,
				struct fake_partition *to,
				const struct hvpm_port_spec *spec)
{
	KUNIT_ASSERT_EQ(test, 0, hvpm_port_create(&to->partition, spec));
	KUNIT_ASSERT_EQ(test, 0, fake_connect(from, spec->id, to, spec->id));
}

/* A channel to VP @slot; @buffers 0 for the default. */
static inline void fake_channel_vp(struct kunit *test,
				   struct fake_partition *from,
				   struct fake_partition *to, u32 id,
				   unsigned int slot, unsigned int sint,
				   unsigned int buffers)
{
	const struct hvpm_port_spec spec = {
		.id = id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = sint,
		.target_vp = FAKE_INDEX + slot,
		.buffers = buffers,
	};

	fake_channel(test, from, to, &spec);
}

/* Post a message of 4 bytes. */
static inline enum hvpm_status fake_post(struct fake_partition *from, u32 id,
					 u32 value)
{
	struct hvpm_post_input input = {
		.connection_id = id,
		.message_type = 1,
		.payload_size = sizeof(value),
	};
	enum hvpm_status status;

	memcpy(input.payload, &value, sizeof(value));
	status = hvpm_post(&from->partition, &input);
	hvpm_post_count(&from->partition, status);
	return status;
}

static inline u32 fake_value(const struct hv_postmsg_message *message)
{
	u32 value;

	memcpy(&value, message->payload, sizeof(value));
	return value;
}

/* The guest takes what is in a slot; 0 when it is empty. */
static inline u32 fake_take(struct fake_vp *fake, unsigned int sint)
{
	struct hv_postmsg_message *message = &fake->slot[sint];
	u32 value = message->type ? fake_value(message) : 0;

	message->type = 0;
	return value;
}

/* Free buffers of a port. */
static inline unsigned int fake_free_buffers(struct fake_partition *fake, u32 id)
{
	return hvpm_buffers_free(&fake_port(fake, id)->buffers);
}

static inline bool fake_marked(struct fake_partition *fake, unsigned int slot)
{
	return test_bit(slot, fake->partition.queued);
}

static inline u64 fake_faults(struct kunit *test, struct fake_partition *fake)
{
	struct hv_postmsg_partition_stats stats = {};

	KUNIT_EXPECT_EQ(test, 0, hvpm_partition_stats(&fake->partition, &stats));
	return stats.faults;
}

/* --- concurrency --- */

/**
 * struct fake_ticker - interrupts while something else runs
 *
 * UML has one CPU, and its threads, not preempted, meet only where one yields.  A
 * timer interrupt comes between any two instructions, and what takes no lock may
 * be called from it.
 *
 * @timer: the timer
 * @tick: what an interrupt does
 * @arg: for @tick
 * @ticks: interrupts so far
 * @rnd: when the next one comes
 */
struct fake_ticker {
	struct hrtimer timer;
	void (*tick)(void *arg);
	void *arg;
	atomic_t ticks;
	struct rnd_state rnd;
};

static inline enum hrtimer_restart fake_tick(struct hrtimer *timer)
{
	struct fake_ticker *ticker =
		container_of(timer, struct fake_ticker, timer);

	ticker->tick(ticker->arg);
	atomic_inc(&ticker->ticks);
	hrtimer_set_expires(timer,
			    ktime_add_ns(ktime_get(), 20000 +
					 prandom_u32_state(&ticker->rnd) % 50000));
	return HRTIMER_RESTART;
}

static inline void fake_ticker_start(struct kunit *test,
				     struct fake_ticker *ticker,
				     void (*tick)(void *arg), void *arg)
{
	ticker->tick = tick;
	ticker->arg = arg;
	atomic_set(&ticker->ticks, 0);
	prandom_seed_state(&ticker->rnd, fake_random(test, U32_MAX));
	hrtimer_init(&ticker->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	ticker->timer.function = fake_tick;
	hrtimer_start(&ticker->timer, ns_to_ktime(50000), HRTIMER_MODE_REL_HARD);
}

static inline void fake_ticker_stop(struct fake_ticker *ticker)
{
	hrtimer_cancel(&ticker->timer);
}

/**
 * struct fake_waiter - a thread that makes one call, which may wait
 *
 * @call: the call
 * @arg: for @call
 * @task: the thread
 * @done: completed when the call has returned
 */
struct fake_waiter {
	void (*call)(void *arg);
	void *arg;
	struct task_struct *task;
	struct completion done;
};

static inline int fake_waiter_thread(void *arg)
{
	struct fake_waiter *waiter = arg;

	allow_signal(SIGUSR1);
	waiter->call(waiter->arg);
	complete(&waiter->done);
	return 0;
}

static inline void fake_waiter_start(struct kunit *test,
				     struct fake_waiter *waiter,
				     void (*call)(void *arg), void *arg)
{
	waiter->call = call;
	waiter->arg = arg;
	init_completion(&waiter->done);
	waiter->task = kthread_create(fake_waiter_thread, waiter, "waiter");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, waiter->task);
	get_task_struct(waiter->task);
	wake_up_process(waiter->task);
}

/* Does the call wait?  Given time, it neither returns nor runs. */
static inline bool fake_waiter_waits(struct fake_waiter *waiter)
{
	unsigned long end = jiffies + FAKE_TIMEOUT;

	while (time_before(jiffies, end) && !completion_done(&waiter->done)) {
		if (READ_ONCE(waiter->task->__state) & TASK_INTERRUPTIBLE)
			return true;
		msleep(20);
	}
	return false;
}

static inline bool fake_waiter_returns(struct fake_waiter *waiter)
{
	bool returned = wait_for_completion_timeout(&waiter->done, FAKE_TIMEOUT);

	if (!returned) {
		/* It must not outlive the case. */
		send_sig(SIGUSR1, waiter->task, 1);
		wait_for_completion(&waiter->done);
	}
	put_task_struct(waiter->task);
	return returned;
}

#endif /* _HV_POSTMSG_KUNIT_FAKE_H */
