// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a test: tells fault_test which calls made by hv_postmsg have failed
 *
 * By kprobes behind the calls: what the call has returned is in a register there.
 * The probes of tracefs would do, but they refuse functions that are not traced,
 * which some of the module's must not be.
 *
 * In debugfs, fault_watch/:
 *	sites	write "SYMBOL OFFSET REGISTER FAILURE" to watch a place, as fault_sites
 *		has it; the places are numbered from 0
 *	came	bitmap of the places that were come by since it was last read
 *	failed	bitmap of those at which a call failed since it was last read
 *	left	for each, what the task's fail-nth was when it last came by
 */
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#define WATCHED		"hv_postmsg"

/**
 * struct site - a place behind a call
 *
 * @probe: the probe, registered while the module is there
 * @symbol: "module:function"
 * @where: the register: "ax" or "cx"
 * @failure: "null", "some", "none" or a negative errno
 * @errno: the latter
 */
struct site {
	struct kprobe probe;
	char symbol[96];
	char where[4];
	char failure[8];
	int errno;
};

static struct site sites[64];
static unsigned int nr_sites;
static DEFINE_MUTEX(lock);

static atomic64_t came = ATOMIC64_INIT(0);
static atomic64_t failed = ATOMIC64_INIT(0);
static u32 left[ARRAY_SIZE(sites)];
static struct debugfs_u32_array left_array = {
	.array = left,
	.n_elements = ARRAY_SIZE(left),
};

static struct dentry *folder;

static bool has_failed(const struct site *site, const struct pt_regs *regs)
{
	unsigned long value = *site->where == 'c' ? regs->cx : regs->ax;

	if (site->errno)
		return (int)value == site->errno;
	return *site->failure == 'n' ? !value : value;
}

static int __kprobes on_site(struct kprobe *probe, struct pt_regs *regs)
{
	struct site *site = container_of(probe, struct site, probe);
	s64 bit = BIT_ULL(site - sites);

	WRITE_ONCE(left[site - sites], current->fail_nth);
	atomic64_or(bit, &came);
	if (has_failed(site, regs))
		atomic64_or(bit, &failed);
	return 0;
}

/* A probe with one is not optimized, which would outlast its removal. */
static void __kprobes behind_site(struct kprobe *probe, struct pt_regs *regs,
				  unsigned long flags)
{
}

static int watch(struct site *site)
{
	unsigned int offset = site->probe.offset;

	/* It keeps things of its last registration. */
	memset(&site->probe, 0, sizeof(site->probe));
	site->probe.symbol_name = site->symbol;
	site->probe.offset = offset;
	site->probe.pre_handler = on_site;
	site->probe.post_handler = behind_site;
	return register_kprobe(&site->probe);
}

/* All at once, for one grace period. */
static void unwatch(void)
{
	static struct kprobe *probes[ARRAY_SIZE(sites)];
	unsigned int i;

	for (i = 0; i < nr_sites; i++)
		probes[i] = &sites[i].probe;
	unregister_kprobes(probes, nr_sites);
}

static ssize_t sites_write(struct file *file, const char __user *from,
			   size_t count, loff_t *pos)
{
	char text[128] = "", name[80];
	struct site *site;
	int ret;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;

	mutex_lock(&lock);
	ret = -ENOSPC;
	if (nr_sites == ARRAY_SIZE(sites))
		goto out;
	site = &sites[nr_sites];
	ret = -EINVAL;
	if (sscanf(text, "%79s %i %3s %7s", name, &site->probe.offset,
		   site->where, site->failure) != 4)
		goto out;
	site->errno = 0;
	if (*site->failure == '-' && kstrtoint(site->failure, 10, &site->errno))
		goto out;
	snprintf(site->symbol, sizeof(site->symbol), WATCHED ":%s", name);
	ret = watch(site);
	if (!ret)
		nr_sites++;
out:
	mutex_unlock(&lock);
	return ret ?: count;
}

static const struct file_operations sites_fops = {
	.owner = THIS_MODULE,
	.write = sites_write,
};

static int came_get(void *data, u64 *value)
{
	*value = atomic64_xchg(&came, 0);
	return 0;
}

static int failed_get(void *data, u64 *value)
{
	*value = atomic64_xchg(&failed, 0);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(came_fops, came_get, NULL, "%llu\n");
DEFINE_DEBUGFS_ATTRIBUTE(failed_fops, failed_get, NULL, "%llu\n");

/* The module comes and goes; its probes with it. */
static int on_module(struct notifier_block *notifier, unsigned long state,
		     void *data)
{
	struct module *module = data;
	unsigned int i;

	if (strcmp(module->name, WATCHED))
		return NOTIFY_DONE;
	mutex_lock(&lock);
	if (state == MODULE_STATE_GOING)
		unwatch();
	for (i = 0; state == MODULE_STATE_COMING && i < nr_sites; i++)
		watch(&sites[i]);
	mutex_unlock(&lock);
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = {
	.notifier_call = on_module,
	/* Before kprobes' own forgets about the module. */
	.priority = 1,
};

static int __init fault_watch_init(void)
{
	int ret = register_module_notifier(&module_notifier);

	if (ret)
		return ret;
	folder = debugfs_create_dir("fault_watch", NULL);
	debugfs_create_file("sites", 0200, folder, NULL, &sites_fops);
	debugfs_create_file_unsafe("came", 0400, folder, NULL, &came_fops);
	debugfs_create_file_unsafe("failed", 0400, folder, NULL, &failed_fops);
	debugfs_create_u32_array("left", 0400, folder, &left_array);
	return 0;
}

static void __exit fault_watch_exit(void)
{
	debugfs_remove(folder);
	unregister_module_notifier(&module_notifier);
	unwatch();
}

module_init(fault_watch_init);
module_exit(fault_watch_exit);

MODULE_DESCRIPTION("Tells which calls of hv_postmsg have failed");
MODULE_LICENSE("GPL");
