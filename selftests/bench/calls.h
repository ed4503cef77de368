/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often a case of the bench is run: for all, also for what has no C library.
 */
#ifndef SELFTESTS_BENCH_CALLS_H
#define SELFTESTS_BENCH_CALLS_H

#define BENCH_CALLS	1000
#define BENCH_WARM_UP	200
#define BENCH_ROUNDS	(BENCH_WARM_UP + BENCH_CALLS)

#endif /* SELFTESTS_BENCH_CALLS_H */
