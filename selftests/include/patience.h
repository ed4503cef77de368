/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patience: where the environment says that the kernel is a slow one, the harness waits
 * longer for a case, and a case does less often what it does very often. To be included
 * before the harness.
 */
#ifndef SELFTESTS_PATIENCE_H
#define SELFTESTS_PATIENCE_H

#include <stdlib.h>
#include <unistd.h>

static inline unsigned int factor_of(const char *name)
{
	const char *factor = getenv(name);

	return factor && atoi(factor) > 0 ? atoi(factor) : 1;
}

static inline unsigned int patience(unsigned int seconds)
{
	return seconds * factor_of("PATIENCE");
}

/* For rounds that are many so that something small adds up. */
static inline unsigned int fewer(unsigned int rounds)
{
	unsigned int result = rounds / factor_of("FEWER");

	return result ? result : 1;
}

#define alarm(seconds)	alarm(patience(seconds))

#endif /* SELFTESTS_PATIENCE_H */
