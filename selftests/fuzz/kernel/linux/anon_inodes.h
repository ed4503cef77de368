/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_ANON_INODES_H
#define _FUZZ_LINUX_ANON_INODES_H

#include <linux/fs.h>

int anon_inode_getfd(const char *name, const struct file_operations *ops,
		     void *data, int flags);
struct file *anon_inode_getfile(const char *name, const struct file_operations *ops,
				void *data, int flags);

#endif /* _FUZZ_LINUX_ANON_INODES_H */
