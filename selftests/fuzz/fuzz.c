// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer's side: inputs, their mutation, counts, and when it is enough.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "world.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size,
				 const uint8_t *other, size_t other_size,
				 uint8_t *out, size_t max_size,
				 unsigned int seed);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define RECORD	sizeof(struct step)

/* --- counts --- */

#define MAX_RESULTS	256

static unsigned long calls, ioctls, inputs, created_vms;
static unsigned long statuses[CORE_EXIT + 1];

static struct result {
	const char *name;
	long value;
	unsigned long count;
} results[MAX_RESULTS];

void world_count_call(unsigned int status)
{
	calls++;
	statuses[status]++;
}

void world_count_ioctl(const char *name, long value)
{
	struct result *result = results;

	ioctls++;
	if (value > 0)
		value = 0;
	while (result->name && (result->name != name || result->value != value))
		result++;
	result->name = name;
	result->value = value;
	result->count++;
}

void world_count_vm(void)
{
	created_vms++;
}

static const char *result_name(long value)
{
	/* Not for user space to see, the kernel knows it as a signal. */
	if (value == -512)
		return "ERESTARTSYS";
	return value ? strerrorname_np(-value) : "ok";
}

/* A line for all results of an ioctl, from its first on. */
static void print_results(struct result *result)
{
	const char *name = result->name;

	printf("fuzz: %s:   %s:", target.name, name);
	for (; result->name; result++) {
		if (result->name != name || !result->count)
			continue;
		printf(" %s %lu", result_name(result->value), result->count);
		result->count = 0;
	}
	printf("\n");
}

static void print_counts(void)
{
	struct result *result;
	unsigned int i;

	printf("fuzz: %s: %lu inputs, %lu hypercalls, %lu ioctls and reads\n",
	       target.name, inputs, calls, ioctls);
	printf("fuzz: %s: %lu VMs, %lu allocations failed\n", target.name,
	       created_vms, core_allocs_failed());
	for (i = 0; i < CORE_EXIT; i++)
		if (statuses[i])
			printf("fuzz: %s:   status 0x%02x %10lu\n", target.name,
			       i, statuses[i]);
	printf("fuzz: %s:   to the VMM  %10lu\n", target.name,
	       statuses[CORE_EXIT]);
	for (result = results; result->name; result++)
		if (result->count)
			print_results(result);
	fflush(stdout);
}

/* --- inputs --- */

/* Calls, or ioctls, after which it is enough; 0 for no end. */
static unsigned long goal;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *text = getenv("FUZZ_GOAL");

	goal = text ? strtoul(text, NULL, 0) : 0;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned long *count = target.counts_calls ? &calls : &ioctls;

	inputs++;
	world_run(data, size);
	if (goal && *count >= goal) {
		print_counts();
		_exit(0);
	}
	return 0;
}

/* --- mutation: records stay where records are --- */

static uint64_t random_state;

/* The high bits, as only those of such a generator are random. */
static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (random_state >> 33) % below;
}

static void draw_record(uint8_t *record)
{
	unsigned int i;

	for (i = 0; i < RECORD; i++)
		record[i] = draw(256);
	/* Most steps should work. */
	if (draw(8)) {
		struct step *step = (struct step *)record;

		step->mode = draw(0xf0);
		step->fail = 0;
		step->a = draw(8);
	}
}

static size_t insert_record(uint8_t *data, size_t records, size_t max,
			    const uint8_t *record)
{
	size_t at = 1 + draw(records);

	if (records + 1 > max || at > records)
		return records;
	memmove(data + (at + 1) * RECORD, data + at * RECORD,
		(records - at) * RECORD);
	memcpy(data + at * RECORD, record, RECORD);
	return records + 1;
}

static size_t mutate_records(uint8_t *data, size_t records, size_t max)
{
	size_t at = draw(records), from = draw(records), i;
	uint8_t record[RECORD];

	switch (draw(8)) {
	case 0:
		memcpy(record, data + from * RECORD, RECORD);
		for (i = draw(4) + 1; i; i--)
			records = insert_record(data, records, max, record);
		break;
	case 1:
		if (records > 1 && at) {
			memmove(data + at * RECORD, data + (at + 1) * RECORD,
				(records - at - 1) * RECORD);
			records--;
		}
		break;
	case 2:
		memcpy(record, data + at * RECORD, RECORD);
		memcpy(data + at * RECORD, data + from * RECORD, RECORD);
		memcpy(data + from * RECORD, record, RECORD);
		break;
	case 3:
		draw_record(data + at * RECORD);
		break;
	case 4:
		data[at * RECORD + draw(RECORD)] = draw(256);
		break;
	case 5:
		data[at * RECORD + draw(4)] += 1 + draw(3);
		break;
	default:
		for (i = draw(6) + 1; i; i--) {
			draw_record(record);
			records = insert_record(data, records, max, record);
		}
	}
	return records;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	size_t records = size / RECORD, max = max_size / RECORD;

	random_state = seed;
	if (!max)
		return LLVMFuzzerMutate(data, size, max_size);
	if (!records) {
		draw_record(data);
		records = 1;
	}
	if (!draw(4)) {
		/* In place, within a record: the rest stays as it is. */
		uint8_t *record = data + draw(records) * RECORD;
		uint8_t copy[RECORD];

		memcpy(copy, record, RECORD);
		LLVMFuzzerMutate(copy, RECORD, RECORD);
		memcpy(record, copy, RECORD);
		return records * RECORD;
	}
	return mutate_records(data, records, max) * RECORD;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size,
				 const uint8_t *other, size_t other_size,
				 uint8_t *out, size_t max_size,
				 unsigned int seed)
{
	size_t head, tail;

	random_state = seed;
	head = draw(size / RECORD + 1) * RECORD;
	tail = draw(other_size / RECORD + 1) * RECORD;
	if (tail > max_size - head)
		tail = (max_size - head) / RECORD * RECORD;
	memcpy(out, data, head);
	memcpy(out + head, other + other_size / RECORD * RECORD - tail, tail);
	return head + tail;
}
