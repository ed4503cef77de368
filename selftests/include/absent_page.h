/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A page that is not there until somebody provides it: who touches it sleeps meanwhile
 */
#ifndef SELFTESTS_ABSENT_PAGE_H
#define SELFTESTS_ABSENT_PAGE_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Take a page of private memory away, with what is in it.  Returns the file by which to
 * learn of faults, or -1 with errno set.  If that file is closed, the page is as any.
 */
static inline int absent_page(void *page)
{
	struct uffdio_register range = {
		.range = { .start = (unsigned long)page, .len = getpagesize() },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };
	int faults = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (faults < 0 || ioctl(faults, UFFDIO_API, &api) ||
	    ioctl(faults, UFFDIO_REGISTER, &range) ||
	    madvise(page, getpagesize(), MADV_DONTNEED))
		return -1;
	return faults;
}

/* Wait until somebody touches the page. */
static inline bool absent_page_touched(int faults)
{
	struct uffd_msg message;

	return read(faults, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

/* Provide the page: a copy of @content.  Returns 0, or -1 with errno set. */
static inline int absent_page_provide(int faults, void *page, const void *content)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)page,
		.src = (unsigned long)content,
		.len = getpagesize(),
	};

	return ioctl(faults, UFFDIO_COPY, &copy);
}

#endif /* SELFTESTS_ABSENT_PAGE_H */
