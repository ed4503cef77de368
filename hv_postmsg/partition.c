// SPDX-License-Identifier: GPL-2.0-only
/*
 * Partition: life, state, statistics.
 *
 * hvpm_partition_shutdown() ends a partition, once, whatever happens first: its
 * file is closed or its address space goes away.  What must be seen at once it
 * does itself; what has to wait for posters and VP threads it leaves to a worker,
 * so that neither close() nor an exiting process waits for a guest.  Nor does a
 * worker wait for any of it: a process can end very many partitions at once.
 */
#include <linux/bitmap.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "connection.h"
#include "endpoint.h"
#include "owner.h"
#include "partition.h"
#include "port.h"
#include "vp.h"

static struct workqueue_struct *shutdown_queue;

/* Partitions there are, those included that have ended and are not freed yet. */
static atomic_t partition_count = ATOMIC_INIT(0);

static void free_partition(struct work_struct *work)
{
	struct hvpm_partition *partition =
		container_of(to_rcu_work(work), struct hvpm_partition,
			     free_work);

	partition->ops->free(partition);
}

/* Neither posters nor VP threads come near the queues any more. */
static void finish_shutdown(struct work_struct *work)
{
	struct hvpm_partition *partition =
		container_of(work, struct hvpm_partition, finish_work);
	struct rb_node *node, *next;
	struct rb_root ports;
	struct hvpm_vp *vp;
	unsigned long slot;

	if (partition->ops->detach)
		partition->ops->detach(partition);

	xa_for_each(&partition->vps, slot, vp)
		hvpm_vp_reset(vp);

	/* The dead ports were left in the tree for this. */
	mutex_lock(&partition->lock);
	ports = partition->ports;
	partition->ports = RB_ROOT;
	mutex_unlock(&partition->lock);
	for (node = rb_first_postorder(&ports); node; node = next) {
		next = rb_next_postorder(node);
		hvpm_port_bury(rb_entry(node, struct hvpm_port, node));
		cond_resched();
	}
	hvpm_partition_put(partition);
}

/**
 * hvpm_partition_unbound - the address space does not know of a partition any more
 * @partition: the partition
 *
 * Behind hvpm_owner_unbind().
 *
 * Context: any; does not sleep.
 */
void hvpm_partition_unbound(struct hvpm_partition *partition)
{
	queue_work(shutdown_queue, &partition->finish_work);
}

static void vps_quiet(struct rcu_head *head)
{
	struct hvpm_partition *partition =
		container_of(head, struct hvpm_partition, quiet);

	if (partition->owner)
		hvpm_owner_unbind(partition->owner);
	else
		hvpm_partition_unbound(partition);
}

/* Whoever waits for a buffer of one of the partition's ports tries again. */
static void wake_posters_of_ports(struct hvpm_partition *partition)
{
	struct rb_node *node;

	lockdep_assert_held(&partition->lock);

	for (node = rb_first(&partition->ports); node; node = rb_next(node)) {
		hvpm_port_wake_posters(rb_entry(node, struct hvpm_port, node));
		cond_resched();
	}
}

/*
 * Every poster that saw a port alive has finished its push.  The reference that
 * keeps the partition is dropped by finish_shutdown().
 */
static void quiesce(struct work_struct *work)
{
	struct hvpm_partition *partition =
		container_of(to_rcu_work(work), struct hvpm_partition,
			     shutdown_work);

	/* Unless whoever closed its file has been here before. */
	hvpm_connection_delete_all(partition);

	/* The rest may take long: whoever waits for a buffer waits in vain. */
	mutex_lock(&partition->lock);
	wake_posters_of_ports(partition);
	mutex_unlock(&partition->lock);

	/* It may take as long as a guest's VMM wants. */
	if (partition->ops->quiesce)
		partition->ops->quiesce(partition, &partition->quiet, vps_quiet);
	else
		vps_quiet(&partition->quiet);
}

/**
 * hvpm_partition_shutdown - end a partition
 * @partition: the partition; a second call does nothing
 *
 * On return it cannot post, its ports refuse posts, its endpoints are hung up, every
 * call on it answers -ESHUTDOWN and its VM can be attached anew.  Its connections
 * are still there, for hvpm_connection_delete_all(): in the end of an address space
 * that would hold up all others that end.
 *
 * Context: may sleep; takes the partition's lock.
 */
void hvpm_partition_shutdown(struct hvpm_partition *partition)
{
	struct hvpm_endpoint *endpoint;
	struct rb_node *node;

	might_sleep();

	mutex_lock(&partition->lock);
	if (partition->dead) {
		mutex_unlock(&partition->lock);
		return;
	}
	WRITE_ONCE(partition->dead, true);
	partition->ops->withdraw(partition);
	for (node = rb_first(&partition->ports); node; node = rb_next(node))
		hvpm_port_kill(rb_entry(node, struct hvpm_port, node));
	list_for_each_entry(endpoint, &partition->endpoints, node)
		hvpm_endpoint_hang_up(endpoint);
	/* Who polls as well as who posts. */
	wake_up_interruptible_all(&partition->post_wait);
	/*
	 * Under the lock: whoever finds the partition dead may drop the last other
	 * reference, and then even unload the module, which waits for the worker,
	 * which comes behind the notifier that this may be called from.
	 */
	hvpm_partition_get(partition);
	queue_rcu_work(shutdown_queue, &partition->shutdown_work);
	mutex_unlock(&partition->lock);
}

static void sum_counters(const struct hvpm_partition *partition,
			 struct hvpm_partition_counters *sum)
{
	unsigned int cpu, i;

	memset(sum, 0, sizeof(*sum));
	/* Posted last: a message on its way is never delivered and not posted. */
	for_each_possible_cpu(cpu) {
		struct hvpm_partition_counters *counters =
			per_cpu_ptr(partition->counters, cpu);

		sum->delivered += READ_ONCE(counters->delivered);
		sum->freed += READ_ONCE(counters->freed);
		sum->faults += READ_ONCE(counters->faults);
		sum->passed += READ_ONCE(counters->passed);
		for (i = 0; i < HV_POSTMSG_STATUS_COUNT; i++)
			sum->status[i] += READ_ONCE(counters->status[i]);
	}
	/*
	 * Pairs with hvpm_queue_push(), a full barrier between fill_buffer(),
	 * which counts a message as posted, and whoever counts it as done.
	 */
	smp_rmb();
	for_each_possible_cpu(cpu)
		sum->posted += READ_ONCE(per_cpu_ptr(partition->counters,
						     cpu)->posted);
}

/**
 * hvpm_partition_init - make an active partition with nothing in it
 * @partition: zeroed memory
 * @ops: what is behind it
 * @flags: HV_POSTMSG_PARTITION_*
 * @vp_limit: most VPs it can have
 *
 * Context: may sleep.
 * Return: 0, with one reference for the caller; -ENOMEM, nothing to undo.
 */
int hvpm_partition_init(struct hvpm_partition *partition,
			const struct hvpm_partition_ops *ops, u32 flags,
			unsigned int vp_limit)
{
	partition->counters =
		alloc_percpu_gfp(struct hvpm_partition_counters,
				 GFP_KERNEL_ACCOUNT);
	if (!partition->counters)
		return -ENOMEM;
	partition->queued = bitmap_zalloc(vp_limit, GFP_KERNEL_ACCOUNT);
	if (!partition->queued) {
		free_percpu(partition->counters);
		return -ENOMEM;
	}

	partition->ops = ops;
	refcount_set(&partition->usage, 1);
	mutex_init(&partition->lock);
	partition->flags = flags;
	partition->active = true;
	partition->ports = RB_ROOT;
	seqcount_latch_init(&partition->connections.seq);
	INIT_LIST_HEAD(&partition->endpoints);
	/* Charged to who makes a VP; a flag of xa_insert() alone does not do it. */
	xa_init_flags(&partition->vps, XA_FLAGS_ACCOUNT);
	partition->vp_limit = vp_limit;
	init_waitqueue_head(&partition->post_wait);
	INIT_RCU_WORK(&partition->shutdown_work, quiesce);
	INIT_WORK(&partition->finish_work, finish_shutdown);
	INIT_RCU_WORK(&partition->free_work, free_partition);
	atomic_inc(&partition_count);
	return 0;
}

/**
 * hvpm_partition_uninit - undo hvpm_partition_init()
 * @partition: a partition that nobody refers to
 *
 * The VPs in &hvpm_partition.vps are freed by the caller.
 *
 * Context: may sleep.
 */
void hvpm_partition_uninit(struct hvpm_partition *partition)
{
	struct hvpm_partition_counters sum;

	/* As for each of its ports: hvpm_port_put(). */
	sum_counters(partition, &sum);
	WARN_ON_ONCE(sum.posted != sum.delivered + sum.freed);

	xa_destroy(&partition->vps);
	bitmap_free(partition->queued);
	free_percpu(partition->counters);
	if (atomic_dec_and_test(&partition_count))
		wake_up_var(&partition_count);
}

/**
 * hvpm_partition_put - drop a reference
 * @partition: the partition
 *
 * Context: any; does not sleep.
 */
void hvpm_partition_put(struct hvpm_partition *partition)
{
	if (refcount_dec_and_test(&partition->usage))
		queue_rcu_work(shutdown_queue, &partition->free_work);
}

/**
 * hvpm_partition_defer - leave work to the module's workers
 * @work: holds a reference to a partition, so that the module waits for it
 *
 * Context: any; does not sleep.
 * Return: false if it is pending already.
 */
bool hvpm_partition_defer(struct work_struct *work)
{
	return queue_work(shutdown_queue, work);
}

/**
 * hvpm_partition_set_state - make a partition active or inactive
 * @partition: the partition
 * @active: the new state
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -ESHUTDOWN.
 */
int hvpm_partition_set_state(struct hvpm_partition *partition, bool active)
{
	mutex_lock(&partition->lock);
	if (partition->dead) {
		mutex_unlock(&partition->lock);
		return -ESHUTDOWN;
	}
	WRITE_ONCE(partition->active, active);
	/* A host poster that waits for a buffer is refused from now on. */
	wake_posters_of_ports(partition);
	mutex_unlock(&partition->lock);

	/* A post that is under way either saw the old state or is over. */
	synchronize_rcu();
	return 0;
}

/**
 * hvpm_partition_reset_vp - empty the queues of a VP
 * @partition: the partition
 * @index: VP index
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -ENOENT no such VP; -EOPNOTSUPP the partition has no VPs;
 *	-ESHUTDOWN.
 */
int hvpm_partition_reset_vp(struct hvpm_partition *partition, u32 index)
{
	enum hvpm_status status = HVPM_STATUS_SUCCESS;
	struct hvpm_vp *vp = NULL;
	int ret = 0;

	if (!partition->ops->find_vp)
		return -EOPNOTSUPP;
	/* The word for any VP names none. */
	if (index == HV_POSTMSG_ANY_VP)
		return -ENOENT;

	mutex_lock(&partition->lock);
	if (partition->dead) {
		ret = -ESHUTDOWN;
	} else {
		rcu_read_lock();
		vp = partition->ops->find_vp(partition, index, &status);
		rcu_read_unlock();
		/* A VP whose SynIC was never set up has nothing to empty. */
		if (!vp && status == HVPM_STATUS_INVALID_VP_INDEX)
			ret = -ENOENT;
	}
	mutex_unlock(&partition->lock);

	/* VPs are freed with the partition, which the caller's file holds. */
	if (vp)
		hvpm_vp_reset(vp);
	return ret;
}

/**
 * hvpm_partition_wake_posters - a buffer may be free for this partition
 * @partition: the posting partition
 *
 * Context: any; does not sleep.
 */
void hvpm_partition_wake_posters(struct hvpm_partition *partition)
{
	WRITE_ONCE(partition->starved, false);
	wake_up_interruptible_poll(&partition->post_wait,
				   EPOLLOUT | EPOLLWRNORM);
}

/**
 * hvpm_partition_stats - add the statistics up
 * @partition: the partition
 * @stats: all fields behind flags are written
 *
 * Context: may sleep; takes the partition's lock.
 * Return: 0; -ESHUTDOWN.
 */
int hvpm_partition_stats(struct hvpm_partition *partition,
			 struct hv_postmsg_partition_stats *stats)
{
	struct hvpm_partition_counters sum;
	unsigned int mark = 0;
	struct rb_node *node;

	sum_counters(partition, &sum);

	mutex_lock(&partition->lock);
	if (partition->dead) {
		mutex_unlock(&partition->lock);
		return -ESHUTDOWN;
	}
	stats->ports = 0;
	for (node = rb_first(&partition->ports); node; node = rb_next(node)) {
		struct hvpm_port *port = rb_entry(node, struct hvpm_port, node);

		stats->ports++;
		mark = max_t(unsigned int, mark,
			     atomic_read(&port->buffers.high_water));
	}
	stats->connections = partition->connection_count;
	stats->endpoints = partition->endpoint_count;
	stats->high_water = max(mark, partition->high_water);
	mutex_unlock(&partition->lock);

	stats->posted = sum.posted;
	stats->delivered = sum.delivered;
	stats->freed = sum.freed;
	stats->queued = sum.posted - sum.delivered - sum.freed;
	stats->faults = sum.faults;
	stats->passed = sum.passed;
	memcpy(stats->status, sum.status, sizeof(stats->status));
	return 0;
}

/**
 * hvpm_partition_setup - module init
 *
 * Return: 0 or -ENOMEM.
 */
int hvpm_partition_setup(void)
{
	shutdown_queue = alloc_workqueue("hv_postmsg", WQ_UNBOUND, 0);
	return shutdown_queue ? 0 : -ENOMEM;
}

/**
 * hvpm_partition_cleanup - module exit
 *
 * Every file is closed: waits for the partitions that are on their way out, then
 * for what is left of their callbacks, of what they leave to RCU, and of workers.
 *
 * Context: may sleep.
 */
void hvpm_partition_cleanup(void)
{
	wait_var_event(&partition_count, !atomic_read(&partition_count));
	/* vps_quiet() and hvpm_partition_unbound(): bottom halves are disabled. */
	synchronize_rcu();
	rcu_barrier();
	destroy_workqueue(shutdown_queue);
}

#if IS_ENABLED(CONFIG_HV_POSTMSG_KUNIT_TEST)
#include "../kunit/partition_kunit.c"
#endif
