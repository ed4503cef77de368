/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_FILE_H
#define _FUZZ_LINUX_FILE_H

#include <linux/fs.h>

struct file *fget(unsigned int fd);
void fput(struct file *file);
int get_unused_fd_flags(unsigned int flags);
void put_unused_fd(unsigned int fd);
void fd_install(unsigned int fd, struct file *file);

static inline struct file *get_file(struct file *file)
{
	file->count++;
	return file;
}

#endif /* _FUZZ_LINUX_FILE_H */
