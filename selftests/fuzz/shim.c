// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel in user space, as far as the module calls it and no header of the
 * kernel's own will do.
 *
 * There is one thread.  What others do meanwhile happens where it may happen at
 * the earliest (a grace period), or where the program says so (workers, whoever
 * wakes a sleeper).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "core.h"
#include "shim.h"

unsigned int shim_spinlocks;
unsigned int shim_mutexes;
unsigned int shim_rcu_readers;
bool shim_signal;
struct task_struct shim_task;
bool (*core_on_sleep)(bool first);

int shim_module_init(void);
void shim_module_exit(void);

void shim_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

/* --- memory --- */

static unsigned long blocks;
static unsigned long allocs;
static unsigned long allocs_failed;
static unsigned int fail_nth;
static bool alloc_failed;

void *shim_alloc(size_t size)
{
	void *memory;

	might_sleep();
	allocs++;
	if (fail_nth && !--fail_nth) {
		alloc_failed = true;
		allocs_failed++;
		return NULL;
	}
	memory = calloc(1, size);
	shim_check(memory);
	blocks++;
	return memory;
}

void kfree(const void *memory)
{
	if (!memory)
		return;
	shim_check(blocks);
	blocks--;
	free((void *)memory);
}

void core_fail_alloc(unsigned int nth)
{
	fail_nth = nth;
	alloc_failed = false;
}

bool core_alloc_failed(void)
{
	return alloc_failed;
}

unsigned long core_allocs(void)
{
	return allocs;
}

unsigned long core_allocs_failed(void)
{
	return allocs_failed;
}

/* --- RCU, workers --- */

static struct rcu_head *callbacks;
static struct work_struct *works;

void might_sleep(void)
{
	shim_check(!shim_spinlocks && !shim_rcu_readers);
}

/* The callbacks' grace period is over. */
static void run_callbacks(void)
{
	struct rcu_head *head;

	while (!shim_spinlocks && !shim_rcu_readers && (head = callbacks)) {
		callbacks = head->next;
		head->func(head);
	}
}

void rcu_read_lock(void)
{
	shim_rcu_readers++;
}

void rcu_read_unlock(void)
{
	shim_check(shim_rcu_readers);
	shim_rcu_readers--;
	run_callbacks();
}

void synchronize_rcu(void)
{
	might_sleep();
	run_callbacks();
}

void rcu_barrier(void)
{
	synchronize_rcu();
	shim_check(!callbacks);
}

void call_rcu(struct rcu_head *head, rcu_callback_t func)
{
	head->func = func;
	head->next = callbacks;
	callbacks = head;
	run_callbacks();
}

/* A head within the memory knows where that begins. */
struct free_head {
	struct rcu_head head;
	void *memory;
};

static void free_memory(struct rcu_head *head)
{
	struct free_head *later = (struct free_head *)head;

	kfree(later->memory);
	free(later);
}

void shim_kfree_rcu(struct rcu_head *head, void *memory)
{
	struct free_head *later = malloc(sizeof(*later));

	shim_check(later);
	later->memory = memory;
	call_rcu(&later->head, free_memory);
}

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags,
					 int max_active)
{
	return shim_alloc(1);
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	shim_check(!works);
	kfree(queue);
}

bool queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	struct work_struct **at = &works;

	shim_check(work->func);
	if (work->queued)
		return false;
	while (*at)
		at = &(*at)->next;
	work->next = NULL;
	work->queued = true;
	*at = work;
	return true;
}

static void queue_behind_rcu(struct rcu_head *head)
{
	struct rcu_work *work = container_of(head, struct rcu_work, rcu);

	queue_work(NULL, &work->work);
}

bool queue_rcu_work(struct workqueue_struct *queue, struct rcu_work *work)
{
	call_rcu(&work->rcu, queue_behind_rcu);
	return true;
}

unsigned int core_works(void)
{
	struct work_struct *work;
	unsigned int count = 0;

	for (work = works; work; work = work->next)
		count++;
	return count;
}

bool core_run_work(void)
{
	struct work_struct *work = works;

	if (!work)
		return false;
	shim_check(!shim_mutexes);
	might_sleep();
	works = work->next;
	work->queued = false;
	work->func(work);
	return true;
}

/* One after the other is enough: nobody is a reader where workers run. */
struct srcu_callback {
	struct work_struct work;
	struct srcu_struct *srcu;
	struct rcu_head *head;
};

static void run_srcu_callback(struct work_struct *work)
{
	struct srcu_callback *callback =
		container_of(work, struct srcu_callback, work);

	shim_check(!callback->srcu->readers);
	callback->head->func(callback->head);
	free(callback);
}

void call_srcu(struct srcu_struct *srcu, struct rcu_head *head,
	       rcu_callback_t func)
{
	struct srcu_callback *callback = calloc(1, sizeof(*callback));

	shim_check(callback);
	head->func = func;
	callback->srcu = srcu;
	callback->head = head;
	INIT_WORK(&callback->work, run_srcu_callback);
	queue_work(NULL, &callback->work);
}

/* --- sleeping --- */

void add_wait_queue(wait_queue_head_t *head, struct wait_queue_entry *entry)
{
	entry->next = head->first;
	head->first = entry;
}

void remove_wait_queue(wait_queue_head_t *head, struct wait_queue_entry *entry)
{
	struct wait_queue_entry **at = &head->first;

	while (*at != entry) {
		shim_check(*at);
		at = &(*at)->next;
	}
	*at = entry->next;
	/* The sleeper is awake: its signal was for this sleep. */
	shim_signal = false;
}

void shim_wake_up(wait_queue_head_t *head)
{
	struct wait_queue_entry *entry;

	for (entry = head->first; entry; entry = entry->next)
		entry->woken = true;
}

/* As long as the program does something it may be woken. */
void wait_woken(struct wait_queue_entry *entry, unsigned int mode, long timeout)
{
	bool first = true;

	might_sleep();
	shim_check(!shim_mutexes);
	for (; !entry->woken; first = false) {
		if (!core_on_sleep(first)) {
			shim_signal = true;
			break;
		}
	}
	entry->woken = false;
}

/* --- address spaces --- */

static struct mm_struct process_mm;

bool mmget_not_zero(struct mm_struct *mm)
{
	if (mm->ended)
		return false;
	mm->users++;
	return true;
}

void mmput(struct mm_struct *mm)
{
	shim_check(mm->users);
	mm->users--;
}

int mmu_notifier_register(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	void *memory;

	shim_check(mm->users);
	/* It has memory of its own. */
	memory = shim_alloc(1);
	if (!memory)
		return -ENOMEM;
	kfree(memory);
	notifier->mm = mm;
	notifier->released = false;
	notifier->next = mm->notifiers;
	mm->notifiers = notifier;
	return 0;
}

static void free_notifier(struct work_struct *work)
{
	struct mmu_notifier *notifier =
		container_of(work, struct mmu_notifier, work);

	notifier->ops->free_notifier(notifier);
}

void mmu_notifier_put(struct mmu_notifier *notifier)
{
	struct mmu_notifier **at = &notifier->mm->notifiers;

	while (*at != notifier) {
		shim_check(*at);
		at = &(*at)->next;
	}
	*at = notifier->next;
	/* Behind a grace period of its own. */
	INIT_WORK(&notifier->work, free_notifier);
	queue_work(NULL, &notifier->work);
}

void shim_end_mm(struct mm_struct *mm)
{
	struct mmu_notifier *notifier;

	mm->ended = true;
	for (notifier = mm->notifiers; notifier; notifier = notifier->next) {
		if (notifier->released)
			continue;
		notifier->released = true;
		notifier->ops->release(notifier, mm);
	}
}

/* The calling process ends, and a new one goes on with its files. */
void shim_end_process(void)
{
	shim_end_mm(&process_mm);
	process_mm.ended = false;
}

/* --- user memory --- */

static struct {
	u8 *start;
	size_t size;
	bool writable;
} user_range;

void core_user_range(void *start, size_t size, bool writable)
{
	user_range.start = start;
	user_range.size = size;
	user_range.writable = writable;
}

/* Bytes from @address on that can be accessed. */
static size_t accessible(const void *address, bool write)
{
	const u8 *at = address;

	if (at < user_range.start || at >= user_range.start + user_range.size)
		return shim_guest_accessible(at, write);
	if (write && !user_range.writable)
		return 0;
	return user_range.start + user_range.size - at;
}

/* A block of a guest that changes it as soon as it can. */
static struct {
	u8 *start;
	size_t size;
	u8 before[CORE_BLOCK_BYTES];
	u8 copied[CORE_BLOCK_BYTES];
	bool copies;
} changing;

void core_change_when_read(void *start, size_t size)
{
	shim_check(size && size <= sizeof(changing.before) && !changing.size);
	changing.start = start;
	changing.size = size;
	changing.copies = false;
	memcpy(changing.before, start, size);
}

/* The first copy is the one that counts. */
void shim_copies_block(void)
{
	if (!changing.size || changing.copies)
		return;
	changing.copies = true;
	memcpy(changing.copied, changing.start, changing.size);
}

const uint8_t *core_change_no_more(void)
{
	if (!changing.size)
		return NULL;
	memcpy(changing.start, changing.before, changing.size);
	changing.size = 0;
	return changing.copies ? changing.copied : NULL;
}

/* The only way in which user memory is read. */
static void read_user(void *to, const void *from, size_t size)
{
	const u8 *at = from;
	size_t i;

	memcpy(to, from, size);
	for (i = 0; i < changing.size; i++)
		if (changing.start + i >= at && changing.start + i < at + size)
			changing.start[i] = ~changing.before[i];
}

unsigned long copy_to_user(void __user *to, const void *from, size_t size)
{
	size_t can = accessible(to, true);

	might_sleep();
	can = can < size ? can : size;
	memcpy(to, from, can);
	return size - can;
}

unsigned long copy_from_user(void *to, const void __user *from, size_t size)
{
	size_t can = accessible(from, false);

	might_sleep();
	can = can < size ? can : size;
	read_user(to, from, can);
	memset((u8 *)to + can, 0, size - can);
	return size - can;
}

static unsigned int pagefaults_off;
static int user_accesses = -1;

void core_user_accesses(int count)
{
	user_accesses = count;
}

static bool user_open;

void pagefault_disable(void)
{
	pagefaults_off++;
}

void pagefault_enable(void)
{
	shim_check(pagefaults_off && !user_open);
	pagefaults_off--;
}

void __uaccess_begin(void)
{
	shim_check(!user_open);
	user_open = true;
}

void __uaccess_end(void)
{
	shim_check(user_open);
	user_open = false;
}

/* All or nothing, and that only where a fault does not sleep. */
static unsigned long copy_unsafe(void *to, const void *from, size_t size, size_t can)
{
	shim_check(pagefaults_off);
	if (!user_accesses || can < size)
		return size;
	if (user_accesses > 0)
		user_accesses--;
	read_user(to, from, size);
	return 0;
}

unsigned long shim_get_unsafe(void *to, const void __user *from, size_t size)
{
	shim_check(user_open);
	return copy_unsafe(to, from, size, accessible(from, false));
}

unsigned long shim_put_unsafe(void __user *to, const void *from, size_t size)
{
	shim_check(user_open);
	return copy_unsafe(to, from, size, accessible(to, true));
}

unsigned long __copy_from_user_inatomic(void *to, const void __user *from,
					unsigned long size)
{
	shim_check(!user_open);
	return copy_unsafe(to, from, size, accessible(from, false));
}

unsigned long copy_user_generic(void *to, const void *from, unsigned long size)
{
	size_t can = accessible(to, true), reads = accessible(from, false);

	shim_check(!user_open);
	return copy_unsafe(to, from, size, can < reads ? can : reads);
}

int copy_struct_from_user(void *to, size_t size, const void __user *from,
			  size_t user_size)
{
	const u8 __user *rest = (const u8 __user *)from + size;
	size_t i;
	u8 byte;

	shim_check(user_size >= size);
	for (i = size; i < user_size; i++, rest++) {
		if (copy_from_user(&byte, rest, 1))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	return copy_from_user(to, from, size) ? -EFAULT : 0;
}

/* --- files --- */

#define FILES	240

static struct file *files[FILES];
static unsigned long open_files;
static bool fail_file;
static struct miscdevice *device;

void core_fail_file(bool fail)
{
	fail_file = fail;
}

/* Holds the place of a number that has no file yet. */
static struct file reserved;

int get_unused_fd_flags(unsigned int flags)
{
	int fd;

	for (fd = CORE_DEVICE + 1; fd < FILES && files[fd]; fd++)
		;
	if (fail_file || fd == FILES)
		return -EMFILE;
	files[fd] = &reserved;
	return fd;
}

void put_unused_fd(unsigned int fd)
{
	shim_check(files[fd] == &reserved);
	files[fd] = NULL;
}

void fd_install(unsigned int fd, struct file *file)
{
	shim_check(files[fd] == &reserved);
	files[fd] = file;
}

struct file *anon_inode_getfile(const char *name, const struct file_operations *ops,
				void *data, int flags)
{
	struct file *file = calloc(1, sizeof(*file));

	shim_check(file);
	file->f_op = ops;
	file->private_data = data;
	file->f_flags = flags & O_NONBLOCK;
	file->count = 1;
	open_files++;
	return file;
}

int shim_open(const struct file_operations *ops, void *data, int flags)
{
	const int fd = get_unused_fd_flags(0);

	if (fd >= 0)
		fd_install(fd, anon_inode_getfile(NULL, ops, data, flags));
	return fd;
}

int anon_inode_getfd(const char *name, const struct file_operations *ops,
		     void *data, int flags)
{
	might_sleep();
	return shim_open(ops, data, flags);
}

struct file *fget(unsigned int fd)
{
	if (fd >= FILES || !files[fd] || files[fd] == &reserved)
		return NULL;
	return get_file(files[fd]);
}

void fput(struct file *file)
{
	shim_check(file->count);
	if (--file->count)
		return;
	might_sleep();
	open_files--;
	if (file->f_op->release)
		file->f_op->release(NULL, file);
	free(file);
}

static const struct file_operations other_fops;

int core_open_other(void)
{
	return shim_open(&other_fops, NULL, 0);
}

int core_close(int fd)
{
	struct file *file = files[fd];

	shim_check(file);
	files[fd] = NULL;
	fput(file);
	return 0;
}

/* What the kernel does for a file's methods. */
long core_ioctl(int fd, unsigned int cmd, void *arg)
{
	struct file device_file = { .f_op = device->fops };
	struct file *file;
	long ret;

	if (fd == CORE_DEVICE)
		return device->fops->unlocked_ioctl(&device_file, cmd,
						    (unsigned long)arg);
	file = fget(fd);
	shim_check(file && file->f_op->unlocked_ioctl);
	ret = file->f_op->unlocked_ioctl(file, cmd, (unsigned long)arg);
	fput(file);
	return ret;
}

long core_read(int fd, void *to, size_t count)
{
	struct file *file = fget(fd);
	struct kiocb iocb = { .ki_filp = file };
	struct iov_iter iter = { .to = to, .count = count };
	long ret;

	shim_check(file && file->f_op->read_iter);
	ret = file->f_op->read_iter(&iocb, &iter);
	shim_check(iter.count == count - (ret < 0 ? 0 : ret));
	fput(file);
	return ret;
}

unsigned int core_poll(int fd)
{
	struct file *file = fget(fd);
	unsigned int mask;

	shim_check(file && file->f_op->poll);
	mask = file->f_op->poll(file, NULL);
	fput(file);
	return mask;
}

void core_set_nonblock(int fd, bool nonblock)
{
	if (nonblock)
		files[fd]->f_flags |= O_NONBLOCK;
	else
		files[fd]->f_flags &= ~O_NONBLOCK;
}

long compat_ptr_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return file->f_op->unlocked_ioctl(file, cmd, (u32)arg);
}

loff_t noop_llseek(struct file *file, loff_t offset, int whence)
{
	return 0;
}

int misc_register(struct miscdevice *misc)
{
	device = misc;
	return 0;
}

void misc_deregister(struct miscdevice *misc)
{
	shim_check(device == misc);
	device = NULL;
}

/* --- load and unload --- */

void core_reset(void)
{
	shim_task.mm = &process_mm;
	core_fail_alloc(0);
	core_fail_file(false);
	core_user_range(NULL, 0, false);
	shim_signal = false;
}

int core_load(void)
{
	return shim_module_init();
}

void core_unload(void)
{
	shim_check(!open_files);
	shim_module_exit();
	shim_check(!callbacks && !works && !blocks);
	shim_check(!shim_mutexes && !shim_spinlocks && !shim_rcu_readers);
	shim_check(!pagefaults_off);
	shim_check(!process_mm.notifiers && !process_mm.users);
	shim_check(!device);
	shim_check_kvm();
}
