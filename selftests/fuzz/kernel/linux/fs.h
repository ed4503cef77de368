/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_FS_H
#define _FUZZ_LINUX_FS_H

#include <fcntl.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/types.h>

#define ENOIOCTLCMD	515

struct poll_table_struct;
struct inode;
struct module;

struct file {
	const struct file_operations *f_op;
	void *private_data;
	unsigned int f_flags;
	unsigned int count;
};

#define IOCB_NOWAIT	0x8

struct kiocb {
	struct file *ki_filp;
	int ki_flags;
};

struct iov_iter;

struct file_operations {
	struct module *owner;
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd,
			       unsigned long arg);
	long (*compat_ioctl)(struct file *file, unsigned int cmd,
			     unsigned long arg);
	__poll_t (*poll)(struct file *file, struct poll_table_struct *wait);
	int (*release)(struct inode *inode, struct file *file);
	loff_t (*llseek)(struct file *file, loff_t offset, int whence);
};

long compat_ptr_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
loff_t noop_llseek(struct file *file, loff_t offset, int whence);

#endif /* _FUZZ_LINUX_FS_H */
