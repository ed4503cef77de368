/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bench_scaling says to the plugin that counts it: by instructions that do
 * nothing, "nopl BENCH_MARK + x(%rax)", in the guest and in the host
 */
#ifndef SELFTESTS_BENCH_SCALING_H
#define SELFTESTS_BENCH_SCALING_H

/* The lowest byte says which one it is. */
#define BENCH_MARK	0x4d534700

enum {
	/* From here this CPU is watched; it stops at one of the next four. */
	BENCH_BEGIN = 1,
	BENCH_END_NULL,
	BENCH_END_ACCEPTED,
	BENCH_END_REFUSED,
	BENCH_END_TAKEN,
	/* A phase has ended, and no CPU is watched. */
	BENCH_END_PHASE,
};

#endif /* SELFTESTS_BENCH_SCALING_H */
