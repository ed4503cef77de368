/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_POLL_H
#define _FUZZ_LINUX_POLL_H

#include <linux/fs.h>
#include <linux/wait.h>

#define EPOLLIN		0x001u
#define EPOLLOUT	0x004u
#define EPOLLERR	0x008u
#define EPOLLHUP	0x010u
#define EPOLLRDNORM	0x040u
#define EPOLLWRNORM	0x100u

typedef struct poll_table_struct poll_table;

static inline void poll_wait(struct file *file, wait_queue_head_t *head,
			     poll_table *table)
{
}

#endif /* _FUZZ_LINUX_POLL_H */
