// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sequences of ioctls for a given time, led by coverage where the kernel has KCOV
 *
 * Usage: fuzz_ioctl [SECONDS [SEED]] | fuzz_ioctl --input HEX
 *
 * An input that reaches code of the module that none before it has reached is
 * kept, and printed as a line "keep HEX": fuzz/lab/run makes a file of it.  With
 * --input, run that one alone and print each call.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/kcov.h>

#include "fuzz/lab/ioctl.h"
#include "fuzz/lab/random.h"

#define MAX_INPUTS	4096
/* What one sequence may leave in KCOV's memory; the rest is not looked at. */
#define MAX_TRACE	0x100000UL
/* Far more than the module has basic blocks. */
#define MAX_PLACES	0x10000U

struct input {
	uint8_t bytes[FUZZ_INPUT_MAX];
	size_t size;
};

static struct input inputs[MAX_INPUTS];
static unsigned int nr_inputs;

static int kcov = -1;
static uint64_t *covered;

/* Code that was reached: a hash table of addresses. */
static uint64_t places[MAX_PLACES];
static unsigned int nr_places;

static void open_kcov(void)
{
	kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (kcov < 0) {
		printf("# no KCOV: not led by coverage\n");
		return;
	}
	if (ioctl(kcov, KCOV_INIT_TRACE, MAX_TRACE))
		err(1, "KCOV_INIT_TRACE");
	covered = mmap(NULL, MAX_TRACE * sizeof(*covered), PROT_READ | PROT_WRITE,
		       MAP_SHARED, kcov, 0);
	if (covered == MAP_FAILED)
		err(1, "mmap of KCOV");
	if (ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC))
		err(1, "KCOV_ENABLE");
}

static bool run_input(const struct input *input)
{
	if (covered)
		__atomic_store_n(&covered[0], 0, __ATOMIC_RELAXED);
	return fuzz_try(input->bytes, input->size);
}

static uint64_t *find_place(uint64_t address)
{
	unsigned int at = address * 0x9e3779b97f4a7c15ULL >> 48;

	while (places[at] && places[at] != address)
		at = (at + 1) % MAX_PLACES;
	return &places[at];
}

static uint64_t trace_length(void)
{
	return covered ? __atomic_load_n(&covered[0], __ATOMIC_RELAXED) : 0;
}

/* How many places of the last run were not known; now they are, if @keep. */
static unsigned int new_places(bool keep)
{
	uint64_t count = trace_length(), i, *place;
	unsigned int new = 0;

	for (i = 1; i <= count; i++) {
		place = find_place(covered[i]);
		if (*place)
			continue;
		new++;
		if (!keep)
			return new;
		if (nr_places == MAX_PLACES / 2)
			errx(1, "too many places: is all of the kernel built for KCOV?");
		*place = covered[i];
		nr_places++;
	}
	return new;
}

/* Its end is cut off as long as it still reaches something new. */
static bool trim(struct input *input)
{
	struct input shorter = *input;
	size_t cut;

	for (cut = input->size / 2; cut >= 4; cut /= 2) {
		while (input->size > cut + 1) {
			shorter.size = input->size - cut;
			if (!run_input(&shorter))
				return false;
			if (!new_places(false))
				break;
			input->size = shorter.size;
		}
	}
	return run_input(input);
}

static void keep(const struct input *input)
{
	size_t i;

	if (nr_inputs == MAX_INPUTS)
		errx(1, "more inputs than there is room for");
	inputs[nr_inputs++] = *input;
	printf("keep ");
	for (i = 0; i < input->size; i++)
		printf("%02x", input->bytes[i]);
	printf("\n");
	fflush(stdout);
}

/* --- changing inputs --- */

static void insert(struct input *input, size_t at, const uint8_t *bytes, size_t size)
{
	if (size > sizeof(input->bytes) - input->size)
		size = sizeof(input->bytes) - input->size;
	memmove(input->bytes + at + size, input->bytes + at, input->size - at);
	memmove(input->bytes + at, bytes, size);
	input->size += size;
}

static void change_once(struct input *input, uint64_t *random)
{
	const struct input *other = &inputs[random_below(random, nr_inputs)];
	size_t at = random_below(random, input->size), other_at, size;
	uint8_t fresh[16];
	unsigned int i;

	size = 1 + random_below(random, 16);
	switch (random_below(random, 6)) {
	case 0:
		input->bytes[at] ^= 1 << random_below(random, 8);
		break;
	case 1:
		input->bytes[at] = random_next(random) >> 32;
		break;
	case 2:
		if (size > input->size - at)
			size = input->size - at;
		memmove(input->bytes + at, input->bytes + at + size,
			input->size - at - size);
		input->size -= size;
		break;
	case 3:
		for (i = 0; i < sizeof(fresh); i++)
			fresh[i] = random_next(random) >> 32;
		insert(input, at, fresh, size);
		break;
	case 4:
		if (size > input->size - at)
			size = input->size - at;
		memcpy(fresh, input->bytes + at, size);
		insert(input, at, fresh, size);
		break;
	case 5:
		other_at = random_below(random, other->size);
		size = random_below(random, other->size - other_at + 1);
		insert(input, at, other->bytes + other_at, size);
		break;
	}
	if (!input->size)
		input->size = 1;
}

static void make_input(struct input *input, uint64_t *random)
{
	unsigned int times = 1 + random_below(random, 8);

	if (!nr_inputs || !random_below(random, 5)) {
		input->size = fuzz_random_input(random, input->bytes);
		return;
	}
	*input = inputs[random_below(random, nr_inputs)];
	while (times--)
		change_once(input, random);
}

/* --- */

static bool replay_corpus(void)
{
	struct input input;
	size_t i;

	for (i = 0; i < fuzz_corpus_size; i++) {
		input.size = fuzz_corpus[i].size;
		if (!input.size || input.size > sizeof(input.bytes))
			errx(1, "input %zu of the corpus has %zu bytes", i, input.size);
		memcpy(input.bytes, fuzz_corpus[i].bytes, input.size);
		if (!run_input(&input))
			return false;
		new_places(true);
		if (nr_inputs < MAX_INPUTS)
			inputs[nr_inputs++] = input;
	}
	printf("# the corpus: %zu inputs, %u places\n", fuzz_corpus_size, nr_places);
	return true;
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static bool fuzz(unsigned int seconds, uint64_t random)
{
	time_t end = now() + seconds;
	struct input input;

	if (!replay_corpus())
		return false;
	while (now() < end) {
		make_input(&input, &random);
		if (!run_input(&input))
			return false;
		if (!new_places(false))
			continue;
		if (!trim(&input))
			return false;
		if (new_places(true))
			keep(&input);
	}
	return true;
}

static bool run_one(const char *hex)
{
	struct input input = { .size = strlen(hex) / 2 };
	unsigned int i, byte;

	if (input.size > sizeof(input.bytes))
		errx(2, "the input is too long");
	for (i = 0; i < input.size; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			errx(2, "no hexadecimal digits: %s", hex + 2 * i);
		input.bytes[i] = byte;
	}
	return fuzz_run(input.bytes, input.size, true);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? atoi(argv[1]) : 60;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	bool good;

	if (!fuzz_open())
		return 1;
	if (argc == 3 && !strcmp(argv[1], "--input")) {
		good = run_one(argv[2]);
	} else {
		printf("# seed %llu, %u seconds\n", (unsigned long long)seed, seconds);
		open_kcov();
		good = fuzz(seconds, seed);
		printf("# %u inputs, %u places of the module reached\n", nr_inputs,
		       nr_places);
	}
	fuzz_print_counts();
	fuzz_close();
	return good ? 0 : 1;
}
