// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: bench MODULE [CASE...]
 *
 * Count what the cases cost, all of them or those named, and print a line for each:
 *
 *	case NAME INSTRUCTIONS CALLS
 *
 * Run by selftests/bench/run in a lab that counts instructions.  The cases without
 * the module come first; then MODULE, a file, is loaded.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static const char *module;
static char **wanted;

static bool is_wanted(const char *name)
{
	unsigned int i;

	for (i = 0; wanted[i]; i++)
		if (!strcmp(wanted[i], name))
			return true;
	return !i;
}

bool bench_wanted(const char *name, ...)
{
	bool found = false;
	va_list names;

	va_start(names, name);
	for (; name && !found; name = va_arg(names, const char *))
		found = is_wanted(name);
	va_end(names);
	return found;
}

void bench_add(struct bench_samples *samples, uint64_t cost)
{
	TEST_ASSERT(samples->count < BENCH_ROUNDS, "too many samples");
	samples->cost[samples->count++] = cost;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t bench_median(struct bench_samples *samples)
{
	uint64_t *cost = &samples->cost[BENCH_WARM_UP];

	TEST_ASSERT_EQ(samples->count, BENCH_ROUNDS);
	qsort(cost, BENCH_CALLS, sizeof(*cost), compare);
	return cost[BENCH_CALLS / 2];
}

void bench_report(const char *name, uint64_t instructions)
{
	if (!is_wanted(name))
		return;
	printf("case %s %lu %u\n", name, instructions, BENCH_CALLS);
	fflush(stdout);
}

void bench_load_module(void)
{
	int fd = open(module, O_RDONLY | O_CLOEXEC);

	TEST_ASSERT(fd >= 0, "%s: %s", module, strerror(errno));
	TEST_ASSERT(!syscall(SYS_finit_module, fd, "", 0), "%s does not load: %s",
		    module, strerror(errno));
	close(fd);
}

/* KVM polls for a while before a halted vCPU sleeps: time, which is no cost. */
static void stop_halt_polling(void)
{
	int fd = open("/sys/module/kvm/parameters/halt_poll_ns", O_WRONLY | O_CLOEXEC);

	TEST_ASSERT(fd >= 0 && write(fd, "0", 1) == 1, "halt_poll_ns: %s",
		    strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s MODULE [CASE...]\n", argv[0]);
		return 2;
	}
	module = argv[1];
	wanted = argv + 2;

	stop_halt_polling();
	bench_single();
	bench_pair();
	bench_refused();
	bench_many();
	return 0;
}
