/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_FILE_H
#define _FUZZ_LINUX_FILE_H

#include <linux/fs.h>

struct file *fget(unsigned int fd);
void fput(struct file *file);

static inline struct file *get_file(struct file *file)
{
	file->count++;
	return file;
}

#endif /* _FUZZ_LINUX_FILE_H */
