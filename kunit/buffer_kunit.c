// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: message buffers are taken once, given back, counted.
 */
#include <linux/moduleparam.h>

#include "fake.h"

/* What a suite's random choices begin with; 0: another one each time. */
unsigned int hvpm_kunit_seed;
module_param_named(kunit_seed, hvpm_kunit_seed, uint, 0);

/* Takes all of a set; a bitmap of what it got. */
static u64 take_all(struct kunit *test, struct hvpm_buffers *buffers)
{
	int mark = atomic_read(&buffers->high_water);
	unsigned int i;
	u64 taken = 0;

	for (i = 0; i < buffers->count; i++) {
		int index = hvpm_buffers_take(buffers);

		KUNIT_ASSERT_GE(test, index, 0);
		KUNIT_ASSERT_LT(test, index, (int)buffers->count);
		KUNIT_ASSERT_FALSE(test, taken & BIT_ULL(index));
		taken |= BIT_ULL(index);
		KUNIT_ASSERT_EQ(test, hvpm_buffers_free(buffers),
				buffers->count - i - 1);
		KUNIT_ASSERT_EQ(test, atomic_read(&buffers->high_water),
				max_t(int, mark, i + 1));
	}
	return taken;
}

static void every_count(struct kunit *test)
{
	struct hvpm_buffers buffers;
	unsigned int count, i;

	for (count = 1; count <= HVPM_MAX_BUFFERS; count++) {
		unsigned int order[HVPM_MAX_BUFFERS];

		hvpm_buffers_init(&buffers, count);
		KUNIT_ASSERT_EQ(test, hvpm_buffers_free(&buffers), count);
		KUNIT_ASSERT_EQ(test, atomic_read(&buffers.high_water), 0);
		KUNIT_ASSERT_EQ(test, take_all(test, &buffers),
				GENMASK_ULL(count - 1, 0));
		KUNIT_ASSERT_EQ(test, hvpm_buffers_take(&buffers), -1);

		/* Back in random order. */
		for (i = 0; i < count; i++)
			order[i] = i;
		for (i = count - 1; i; i--) {
			unsigned int other = fake_random(test, i + 1);

			swap(order[i], order[other]);
		}
		for (i = 0; i < count; i++) {
			hvpm_buffers_give(&buffers, order[i]);
			KUNIT_ASSERT_EQ(test, hvpm_buffers_free(&buffers),
					i + 1);
		}
		KUNIT_ASSERT_EQ(test, take_all(test, &buffers),
				GENMASK_ULL(count - 1, 0));
	}
}

static void none(struct kunit *test)
{
	struct hvpm_buffers buffers;

	hvpm_buffers_init(&buffers, 0);
	KUNIT_EXPECT_EQ(test, hvpm_buffers_free(&buffers), 0u);
	KUNIT_EXPECT_EQ(test, hvpm_buffers_take(&buffers), -1);
	KUNIT_EXPECT_EQ(test, atomic_read(&buffers.high_water), 0);
}

static void high_water_stays(struct kunit *test)
{
	struct hvpm_buffers buffers;
	int i, index[5];

	hvpm_buffers_init(&buffers, 16);
	for (i = 0; i < 5; i++)
		index[i] = hvpm_buffers_take(&buffers);
	for (i = 0; i < 5; i++)
		hvpm_buffers_give(&buffers, index[i]);
	KUNIT_EXPECT_EQ(test, atomic_read(&buffers.high_water), 5);
	hvpm_buffers_take(&buffers);
	KUNIT_EXPECT_EQ(test, atomic_read(&buffers.high_water), 5);
	for (i = 0; i < 5; i++)
		hvpm_buffers_take(&buffers);
	KUNIT_EXPECT_EQ(test, atomic_read(&buffers.high_water), 6);
}

static void against_model(struct kunit *test)
{
	unsigned int count = 1 + fake_random(test, HVPM_MAX_BUFFERS);
	struct hvpm_buffers buffers;
	unsigned int step, most = 0;
	u64 used = 0;

	hvpm_buffers_init(&buffers, count);
	for (step = 0; step < 20000; step++) {
		/* More of one, then more of the other, to see both ends. */
		bool take = fake_random(test, 10) < (step / 500 % 2 ? 7 : 3);

		if (take) {
			int index = hvpm_buffers_take(&buffers);

			if (hweight64(used) == count) {
				KUNIT_ASSERT_EQ(test, index, -1);
				continue;
			}
			KUNIT_ASSERT_GE(test, index, 0);
			KUNIT_ASSERT_LT(test, index, (int)count);
			KUNIT_ASSERT_FALSE(test, used & BIT_ULL(index));
			used |= BIT_ULL(index);
			most = max_t(unsigned int, most, hweight64(used));
		} else if (used) {
			unsigned int index = fake_random(test, count);

			while (!(used & BIT_ULL(index)))
				index = (index + 1) % count;
			hvpm_buffers_give(&buffers, index);
			used &= ~BIT_ULL(index);
		}
		KUNIT_ASSERT_EQ(test, hvpm_buffers_free(&buffers),
				count - (unsigned int)hweight64(used));
		KUNIT_ASSERT_EQ(test, atomic_read(&buffers.high_water),
				(int)most);
	}
}

/* Several takers of one small set: who owns which buffer. */
struct contest {
	struct hvpm_buffers buffers;
	atomic_t owner[HVPM_MAX_BUFFERS];
	atomic_t doubled;
	atomic_t taken;
	int held;
	bool stop;
};

static void contest_take(struct contest *contest, int *held)
{
	*held = hvpm_buffers_take(&contest->buffers);
	if (*held < 0)
		return;
	atomic_inc(&contest->taken);
	if (atomic_xchg(&contest->owner[*held], 1))
		atomic_inc(&contest->doubled);
}

static void contest_give(struct contest *contest, int *held)
{
	if (*held < 0)
		return;
	atomic_set(&contest->owner[*held], 0);
	hvpm_buffers_give(&contest->buffers, *held);
	*held = -1;
}

/* Hold a buffer from one interrupt to the next. */
static void contest_tick(void *arg)
{
	struct contest *contest = arg;

	if (contest->held < 0)
		contest_take(contest, &contest->held);
	else
		contest_give(contest, &contest->held);
}

static int contest_thread(void *arg)
{
	struct contest *contest = arg;
	unsigned int round = 0;
	int held[2] = { -1, -1 };

	while (!kthread_should_stop()) {
		contest_take(contest, &held[0]);
		contest_take(contest, &held[1]);
		contest_give(contest, &held[0]);
		if (!(++round % 16))
			cond_resched();
		contest_give(contest, &held[1]);
	}
	return 0;
}

static void several_takers(struct kunit *test)
{
	struct task_struct *thread[3];
	struct fake_ticker ticker;
	struct contest *contest;
	unsigned long end;
	unsigned int i;

	contest = kunit_kzalloc(test, sizeof(*contest), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, contest);
	hvpm_buffers_init(&contest->buffers, 4);
	contest->held = -1;

	for (i = 0; i < ARRAY_SIZE(thread); i++) {
		thread[i] = kthread_run(contest_thread, contest, "taker-%u", i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread[i]);
	}
	fake_ticker_start(test, &ticker, contest_tick, contest);
	end = jiffies + FAKE_LONG_TIMEOUT;
	while (atomic_read(&ticker.ticks) < 4000 && time_before(jiffies, end))
		msleep(20);
	fake_ticker_stop(&ticker);
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		kthread_stop(thread[i]);
	contest_give(contest, &contest->held);

	kunit_info(test, "note: %d taken, %d interrupts\n",
		   atomic_read(&contest->taken), atomic_read(&ticker.ticks));
	KUNIT_EXPECT_GE(test, atomic_read(&ticker.ticks), 4000);
	KUNIT_EXPECT_GT(test, atomic_read(&contest->taken), 4000);
	KUNIT_EXPECT_EQ(test, atomic_read(&contest->doubled), 0);
	KUNIT_EXPECT_EQ(test, hvpm_buffers_free(&contest->buffers), 4u);
	KUNIT_EXPECT_LE(test, atomic_read(&contest->buffers.high_water), 4);
}

static struct kunit_case buffer_cases[] = {
	KUNIT_CASE(every_count),
	KUNIT_CASE(none),
	KUNIT_CASE(high_water_stays),
	KUNIT_CASE(against_model),
	KUNIT_CASE(several_takers),
	{}
};

static struct kunit_suite buffer_suite = {
	.name = "hv_postmsg_buffer",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = buffer_cases,
};

kunit_test_suite(buffer_suite);
