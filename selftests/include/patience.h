/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Patience: the harness waits longer for a case where run_tests.sh says that the
 * kernel is a slow one. To be included before the harness.
 */
#ifndef SELFTESTS_PATIENCE_H
#define SELFTESTS_PATIENCE_H

#include <stdlib.h>
#include <unistd.h>

static inline unsigned int patience(unsigned int seconds)
{
	const char *factor = getenv("PATIENCE");

	return factor && atoi(factor) > 0 ? seconds * atoi(factor) : seconds;
}

#define alarm(seconds)	alarm(patience(seconds))

#endif /* SELFTESTS_PATIENCE_H */
