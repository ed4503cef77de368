// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: load_module FILE [PARAMETERS]
 *
 * Not a test: insmod for module_test.sh. That of busybox tries twice, and then a
 * module that is refused says so twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc >= 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0) {
		fprintf(stderr, "usage: load_module FILE [PARAMETERS]\n");
		return 2;
	}
	if (syscall(SYS_finit_module, fd, argc > 2 ? argv[2] : "", 0)) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	return 0;
}
