// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random calls, and what a model says of each: hypercalls of a guest, and system
 * calls on the files of the module
 *
 * FUZZ_SEED in the environment is where the random numbers begin.
 */
#include "hvpm_test.h"

#include "fuzz/lab/hypercall.h"
#include "fuzz/lab/ioctl.h"
#include "fuzz/lab/random.h"

/* Sequences beyond those that are kept. */
#define SEQUENCES	1000

/* Enough to see what is wrong. */
#define MISMATCHES	4

static uint64_t seed(void)
{
	const char *text = getenv("FUZZ_SEED");

	return text && *text ? strtoull(text, NULL, 0) : 1;
}

/* --- hypercalls --- */

FIXTURE(hypercall) {
};

FIXTURE_VARIANT(hypercall) {
	struct fuzz_caller caller;
	uint64_t calls;
};

FIXTURE_VARIANT_ADD(hypercall, plain) {
	.caller = { .privileged = true, .synic = true },
	.calls = 50000,
};

FIXTURE_VARIANT_ADD(hypercall, strict) {
	.caller = {
		.flags = HV_POSTMSG_PARTITION_STRICT_RESERVED |
			 HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE,
		.privileged = true,
		.kvm_enforces = true,
		.synic = true,
	},
	.calls = 25000,
};

FIXTURE_VARIANT_ADD(hypercall, pass_unknown) {
	.caller = {
		.flags = HV_POSTMSG_PARTITION_PASS_UNKNOWN,
		.privileged = true,
		.synic = true,
	},
	.calls = 20000,
};

FIXTURE_VARIANT_ADD(hypercall, denied_by_flag) {
	.caller = {
		.flags = HV_POSTMSG_PARTITION_ENFORCE_PRIVILEGE,
		.synic = true,
	},
	.calls = 5000,
};

FIXTURE_VARIANT_ADD(hypercall, denied_by_kvm) {
	.caller = { .kvm_enforces = true, .synic = true },
	.calls = 5000,
};

FIXTURE_VARIANT_ADD(hypercall, no_synic) {
	.caller = { .privileged = true },
	.calls = 5000,
};

FIXTURE_SETUP(hypercall)
{
	fuzz_expedite(true);
}

FIXTURE_TEARDOWN(hypercall)
{
	fuzz_expedite(false);
}

static void print_hypercalls(const struct fuzz_hypercalls *counts)
{
	unsigned int i;

	printf("# %lu calls, %lu messages compared, %lu changes in between\n",
	       counts->calls, counts->messages, counts->changes);
	printf("# passed %lu, other codes %lu, by status:", counts->passed, counts->other);
	for (i = 0; i < ARRAY_SIZE(counts->status); i++)
		if (counts->status[i])
			printf(" 0x%02x %lu", i, counts->status[i]);
	printf("\n");
	fflush(stdout);
}

TEST_F(hypercall, predicted)
{
	struct fuzz_hypercalls counts;

	printf("# FUZZ_SEED=%lu\n", seed());
	EXPECT_TRUE(fuzz_hypercalls(&variant->caller, seed(), fewer(variant->calls), &counts));
	print_hypercalls(&counts);
}

/* --- ioctls --- */

TEST(ioctl_corpus)
{
	size_t i;

	ASSERT_TRUE(fuzz_open());
	for (i = 0; i < fuzz_corpus_size; i++)
		EXPECT_TRUE(fuzz_try(fuzz_corpus[i].bytes, fuzz_corpus[i].size))
			TH_LOG("input %zu of the corpus", i);
	fuzz_print_counts();
	fuzz_close();
}

TEST(ioctl_random)
{
	uint8_t bytes[FUZZ_INPUT_MAX];
	uint64_t random = seed();
	unsigned int i, bad = 0;

	printf("# FUZZ_SEED=%lu\n", random);
	ASSERT_TRUE(fuzz_open());
	for (i = 0; i < fewer(SEQUENCES) && bad < MISMATCHES; i++)
		bad += !fuzz_try(bytes, fuzz_random_input(&random, bytes));
	EXPECT_EQ(0, bad);
	fuzz_print_counts();
	fuzz_close();
}

TEST_HARNESS_MAIN
