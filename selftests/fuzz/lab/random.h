/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random numbers that a printed seed brings back.
 */
#ifndef SELFTESTS_FUZZ_RANDOM_H
#define SELFTESTS_FUZZ_RANDOM_H

#include <stdint.h>

/* The next number of the series that @state began with (SplitMix64). */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15ULL;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ULL;
	word = (word ^ word >> 27) * 0x94d049bb133111ebULL;
	return word ^ word >> 31;
}

/* A number below @limit. */
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (random_next(state) >> 32) * limit >> 32;
}

#endif /* SELFTESTS_FUZZ_RANDOM_H */
