// SPDX-License-Identifier: GPL-2.0-only
/*
 * Endpoints and posts from the host: reading, polling, waiting, flow control,
 * accounting, and the end of those who take part.
 */
#include <sys/epoll.h>
#include <sys/uio.h>

#include "patience.h"
#include "kselftest_harness.h"
#include "absent_page.h"
#include "plain.h"

static __u64 word_of(const struct hv_postmsg_message *message)
{
	__u64 word;

	memcpy(&word, message->payload, sizeof(word));
	return word;
}

/*
 * A receiver with an endpoint that port 1 feeds, and a sender with connection 1
 * to that port, all of this process.
 */
FIXTURE(endpoint)
{
	long users;
	int receiver;
	int endpoint;
	int sender;
};

static void nothing(int signal)
{
}

FIXTURE_SETUP(endpoint)
{
	struct sigaction action = { .sa_handler = nothing };

	/* No SA_RESTART: a signal ends what waits. */
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	self->users = plain_module_users();
	ASSERT_LE(0, self->users);
	self->receiver = plain_new_host();
	ASSERT_LE(0, self->receiver);
	self->sender = plain_new_host();
	ASSERT_LE(0, self->sender);
	self->endpoint = plain_endpoint(self->receiver, 0);
	ASSERT_LE(0, self->endpoint);
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 1, self->endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 1, self->receiver, 1));
}

/* What holds for any port at a quiet moment. */
static void check_port(struct __test_metadata *_metadata, int partition, __u32 port_id)
{
	struct hv_postmsg_port_stats stats;
	__u64 count = ~0ULL;

	ASSERT_EQ(0, plain_port_stats(partition, port_id, &stats));
	EXPECT_EQ(stats.buffers, stats.free + stats.queued);
	EXPECT_EQ(stats.queued, stats.posted - stats.delivered - stats.freed);
	EXPECT_LE(stats.queued, stats.high_water);
	EXPECT_LE(stats.high_water, stats.buffers);
	EXPECT_EQ(stats.posted == 0, stats.high_water == 0);
	EXPECT_EQ(0, plain_get_property(partition, port_id,
					HV_POSTMSG_PROPERTY_POST_COUNT, &count));
	EXPECT_EQ(stats.posted, count);
}

/* And for a partition, whose ports are those with IDs below @ports. */
static void check_partition(struct __test_metadata *_metadata, int partition, __u32 ports)
{
	struct hv_postmsg_partition_stats total;
	struct hv_postmsg_port_stats stats;
	__u64 posted = 0, delivered = 0, queued = 0;
	__u32 id, count = 0;

	ASSERT_EQ(0, plain_partition_stats(partition, &total));
	for (id = 0; id < ports; id++) {
		if (plain_port_stats(partition, id, &stats))
			continue;
		count++;
		check_port(_metadata, partition, id);
		EXPECT_LE(stats.high_water, total.high_water);
		posted += stats.posted;
		delivered += stats.delivered;
		queued += stats.queued;
	}
	EXPECT_EQ(count, total.ports);
	EXPECT_EQ(queued, total.queued);
	/* The partition remembers what ports did that were deleted since. */
	EXPECT_LE(posted, total.posted);
	EXPECT_LE(delivered, total.delivered);
	EXPECT_EQ(total.queued, total.posted - total.delivered - total.freed);
	EXPECT_EQ(0, total.faults);
	EXPECT_EQ(0, total.passed);
}

FIXTURE_TEARDOWN(endpoint)
{
	if (self->receiver >= 0)
		check_partition(_metadata, self->receiver, 64);
	if (self->sender >= 0)
		check_partition(_metadata, self->sender, 64);
	close(self->sender);
	close(self->endpoint);
	close(self->receiver);
	/* Nothing of the test is left that would keep the module. */
	EXPECT_EQ(self->users, plain_module_users());
}

/* The exact account of port 1. */
static void check_account(struct __test_metadata *_metadata, int partition,
			  __u64 posted, __u64 delivered, __u64 freed)
{
	struct hv_postmsg_port_stats stats;

	ASSERT_EQ(0, plain_port_stats(partition, 1, &stats));
	EXPECT_EQ(posted, stats.posted);
	EXPECT_EQ(delivered, stats.delivered);
	EXPECT_EQ(freed, stats.freed);
	EXPECT_EQ(posted - delivered - freed, stats.queued);
	EXPECT_EQ(stats.buffers - stats.queued, stats.free);
}

/* Post words @first to @last. */
static void post_words(struct __test_metadata *_metadata, int partition,
		       __u32 connection_id, __u64 first, __u64 last)
{
	__u64 word;

	for (word = first; word <= last; word++)
		ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(partition, connection_id, word));
}

static void expect_words(struct __test_metadata *_metadata, int endpoint,
			 __u64 first, __u64 last)
{
	__u64 word;

	for (word = first; word <= last; word++)
		ASSERT_EQ(word, plain_read_word(endpoint));
}

static void expect_empty(struct __test_metadata *_metadata, int endpoint)
{
	struct hv_postmsg_message message;

	plain_nonblock(endpoint, true);
	EXPECT_EQ(-EAGAIN, plain_read(endpoint, &message));
	plain_nonblock(endpoint, false);
}

/* --- read --- */

TEST_F(endpoint, read_one)
{
	struct hv_postmsg_message message;
	__u8 payload[240];
	unsigned int i;

	for (i = 0; i < sizeof(payload); i++)
		payload[i] = i ^ 0x5a;
	ASSERT_EQ(HV_STATUS_SUCCESS,
		  plain_post(self->sender, 0, 1, 0x12345678, payload, 240));
	ASSERT_EQ(256, plain_read(self->endpoint, &message));
	EXPECT_EQ(0x12345678, message.type);
	EXPECT_EQ(240, message.payload_size);
	EXPECT_EQ(0, message.flags);
	EXPECT_EQ(0, message.reserved);
	EXPECT_EQ(1, message.port_id);
	EXPECT_EQ(0, memcmp(payload, message.payload, 240));
	expect_empty(_metadata, self->endpoint);
	check_account(_metadata, self->receiver, 1, 1, 0);
}

TEST_F(endpoint, read_several)
{
	struct hv_postmsg_message messages[10];
	__u64 word;
	int i;

	post_words(_metadata, self->sender, 1, 0, 12);
	/* As many as fit, then as many as there are. */
	ASSERT_EQ(10 * 256, read(self->endpoint, messages, sizeof(messages)));
	for (i = 0; i < 10; i++) {
		memcpy(&word, messages[i].payload, sizeof(word));
		EXPECT_EQ(i, word);
	}
	memset(messages, 0xcc, sizeof(messages));
	ASSERT_EQ(3 * 256, read(self->endpoint, messages, sizeof(messages)));
	for (i = 0; i < 3; i++) {
		memcpy(&word, messages[i].payload, sizeof(word));
		EXPECT_EQ(10 + i, word);
	}
	EXPECT_EQ(0xcccccccc, messages[3].type);
	expect_empty(_metadata, self->endpoint);
	check_account(_metadata, self->receiver, 13, 13, 0);
}

TEST_F(endpoint, read_short_buffer)
{
	__u8 buffer[256];
	unsigned int i, size;

	for (i = 0; i < 2; i++) {
		for (size = 0; size < sizeof(buffer); size++) {
			memset(buffer, 0xcc, sizeof(buffer));
			ASSERT_EQ(-1, read(self->endpoint, buffer, size));
			ASSERT_EQ(EINVAL, errno);
			ASSERT_EQ(0xcc, buffer[0]);
		}
		/* The same with a message there, which is not lost. */
		if (!i)
			post_words(_metadata, self->sender, 1, 5, 5);
	}
	expect_words(_metadata, self->endpoint, 5, 5);
}

TEST_F(endpoint, read_whole_messages_only)
{
	__u8 buffer[256 + 100];
	unsigned int i;

	post_words(_metadata, self->sender, 1, 1, 2);
	memset(buffer, 0xcc, sizeof(buffer));
	ASSERT_EQ(256, read(self->endpoint, buffer, sizeof(buffer)));
	for (i = 256; i < sizeof(buffer); i++)
		EXPECT_EQ(0xcc, buffer[i]);
	check_account(_metadata, self->receiver, 2, 1, 0);
	expect_words(_metadata, self->endpoint, 2, 2);
}

/* A message may go to pieces of memory; those that are there do not wait for others. */
TEST_F(endpoint, readv)
{
	struct hv_postmsg_message first = { 0 }, second = { 0 };
	const struct iovec pieces[] = {
		{ &first, 16 }, { first.payload, 240 }, { &second, sizeof(second) },
	};

	post_words(_metadata, self->sender, 1, 1, 1);
	EXPECT_EQ(256, readv(self->endpoint, pieces, 3));
	EXPECT_EQ(1, word_of(&first));
	check_account(_metadata, self->receiver, 1, 1, 0);
	post_words(_metadata, self->sender, 1, 2, 4);
	EXPECT_EQ(512, readv(self->endpoint, pieces, 3));
	EXPECT_EQ(2, word_of(&first));
	EXPECT_EQ(3, word_of(&second));
	EXPECT_EQ(-1, readv(self->endpoint, pieces, 1));
	EXPECT_EQ(EINVAL, errno);
	expect_words(_metadata, self->endpoint, 4, 4);
}

/* A message that cannot be copied out stays, in its place. */
TEST_F(endpoint, read_bad_pointer)
{
	__u8 *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(memory != MAP_FAILED);
	ASSERT_EQ(0, mprotect(memory + 4096, 4096, PROT_NONE));
	post_words(_metadata, self->sender, 1, 1, 4);
	EXPECT_EQ(-1, read(self->endpoint, memory + 4096, 256));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, read(self->endpoint, memory + 4096 - 255, 256));
	EXPECT_EQ(EFAULT, errno);
	check_account(_metadata, self->receiver, 4, 0, 0);
	/* What did fit is told as read. */
	EXPECT_EQ(256, read(self->endpoint, memory + 4096 - 256, 1024));
	EXPECT_EQ(1, *(__u64 *)(memory + 4096 - 240));
	check_account(_metadata, self->receiver, 4, 1, 0);
	EXPECT_EQ(512, read(self->endpoint, memory + 4096 - 700, 1024));
	EXPECT_EQ(2, *(__u64 *)(memory + 4096 - 700 + 16));
	EXPECT_EQ(3, *(__u64 *)(memory + 4096 - 700 + 256 + 16));
	expect_words(_metadata, self->endpoint, 4, 4);
	check_account(_metadata, self->receiver, 4, 4, 0);
	munmap(memory, 8192);
}

/* Nothing of an earlier message shows behind a shorter one. */
TEST_F(endpoint, read_zero_tail)
{
	const __u32 sizes[] = { 0, 1, 7, 8, 100, 239 };
	struct hv_postmsg_message message;
	struct hv_postmsg_post args;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(&args, 0xaa, sizeof(args));
		args.size = sizeof(args);
		args.flags = 0;
		args.connection_id = 1;
		args.message_type = 1;
		/* Through every buffer once, whichever is taken next. */
		args.payload_size = 240;
		for (j = 0; j < PLAIN_DEFAULT_BUFFERS; j++)
			ASSERT_EQ(0, plain_ioctl(self->sender, HV_POSTMSG_POST, &args));
		for (j = 0; j < PLAIN_DEFAULT_BUFFERS; j++)
			ASSERT_EQ(256, plain_read(self->endpoint, &message));
		/* The sender's bytes behind its message do not show either. */
		args.payload_size = sizes[i];
		ASSERT_EQ(0, plain_ioctl(self->sender, HV_POSTMSG_POST, &args));
		ASSERT_EQ(256, plain_read(self->endpoint, &message));
		ASSERT_EQ(sizes[i], message.payload_size);
		for (j = 0; j < 240; j++)
			ASSERT_EQ(j < sizes[i] ? 0xaa : 0, message.payload[j]);
	}
}

TEST_F(endpoint, read_nonblock)
{
	struct hv_postmsg_message message;

	plain_nonblock(self->endpoint, true);
	EXPECT_EQ(-EAGAIN, plain_read(self->endpoint, &message));
	/* A short buffer is wrong with or without messages. */
	EXPECT_EQ(-1, read(self->endpoint, &message, 255));
	EXPECT_EQ(EINVAL, errno);
	post_words(_metadata, self->sender, 1, 1, 1);
	EXPECT_EQ(256, plain_read(self->endpoint, &message));
	EXPECT_EQ(-EAGAIN, plain_read(self->endpoint, &message));
}

/* An endpoint that nothing feeds yet waits; it has not hung up. */
TEST_F(endpoint, never_fed)
{
	const int endpoint = plain_endpoint(self->receiver, 0);

	ASSERT_LE(0, endpoint);
	EXPECT_EQ(0, plain_poll(endpoint, POLLIN, 0));
	expect_empty(_metadata, endpoint);
	close(endpoint);
}

/* --- poll --- */

TEST_F(endpoint, poll)
{
	struct hv_postmsg_message message;

	EXPECT_EQ(0, plain_poll(self->endpoint, POLLIN | POLLOUT, 0));
	post_words(_metadata, self->sender, 1, 1, 2);
	EXPECT_EQ(POLLIN, plain_poll(self->endpoint, POLLIN | POLLOUT, 0));
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(POLLIN, plain_poll(self->endpoint, POLLIN, 0));
	expect_words(_metadata, self->endpoint, 2, 2);
	EXPECT_EQ(0, plain_poll(self->endpoint, POLLIN, 0));

	/* It hangs up with its last port, and a new one brings it back. */
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, self->endpoint, 0, 0));
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	EXPECT_EQ(0, plain_poll(self->endpoint, POLLIN, 0));
	ASSERT_EQ(0, plain_delete_port(self->receiver, 2));
	EXPECT_EQ(POLLHUP, plain_poll(self->endpoint, POLLIN, 0));
	EXPECT_EQ(0, plain_read(self->endpoint, &message));
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 3, self->endpoint, 0, 0));
	EXPECT_EQ(0, plain_poll(self->endpoint, POLLIN, 0));
	expect_empty(_metadata, self->endpoint);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(POLLHUP, plain_poll(self->endpoint, POLLIN, 0));
	EXPECT_EQ(0, plain_read(self->endpoint, &message));
	EXPECT_EQ(0, plain_read(self->endpoint, &message));
}

/* --- threads that wait --- */

enum wait_for {
	WAIT_READ,
	WAIT_READ_TO,
	WAIT_POLL,
	WAIT_EPOLL,
	WAIT_POST,
};

struct waiter {
	pthread_t thread;
	enum wait_for what;
	int fd;
	short events;
	__u32 connection_id;
	__u64 word;
	/* Where WAIT_READ_TO reads to, and does nothing else. */
	struct hv_postmsg_message *to;
	/* What the call returned, and the message if it was read(). */
	int result;
	struct hv_postmsg_message message;
	bool done;
};

static void *waiter_thread(void *argument)
{
	struct waiter *waiter = argument;
	int result;

	switch (waiter->what) {
	case WAIT_READ:
		result = plain_read(waiter->fd, &waiter->message);
		break;
	case WAIT_READ_TO:
		result = read(waiter->fd, waiter->to, sizeof(*waiter->to));
		break;
	case WAIT_POLL:
		result = plain_poll(waiter->fd, waiter->events, -1);
		break;
	case WAIT_EPOLL:
		result = epoll_wait(waiter->fd, &(struct epoll_event){ 0 }, 1, -1);
		break;
	default:
		result = plain_post(waiter->fd, 0, waiter->connection_id, 1,
				    &waiter->word, sizeof(waiter->word));
	}
	waiter->result = result;
	__atomic_store_n(&waiter->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool is_done(struct waiter *waiter)
{
	return __atomic_load_n(&waiter->done, __ATOMIC_ACQUIRE);
}

/* Start, and see that it waits. */
static void start_waiter(struct __test_metadata *_metadata, struct waiter *waiter)
{
	ASSERT_EQ(0, pthread_create(&waiter->thread, NULL, waiter_thread, waiter));
	plain_sleep_ms(PLAIN_SETTLE_MS);
	ASSERT_FALSE(is_done(waiter));
}

static void start_reader(struct __test_metadata *_metadata, struct waiter *waiter,
			 int endpoint)
{
	*waiter = (struct waiter){ .what = WAIT_READ, .fd = endpoint };
	start_waiter(_metadata, waiter);
}

static void start_poll(struct __test_metadata *_metadata, struct waiter *waiter,
		       int fd, short events)
{
	*waiter = (struct waiter){ .what = WAIT_POLL, .fd = fd, .events = events };
	start_waiter(_metadata, waiter);
}

static void start_poster(struct __test_metadata *_metadata, struct waiter *waiter,
			 int partition, __u32 connection_id, __u64 word)
{
	*waiter = (struct waiter){ .what = WAIT_POST, .fd = partition,
				   .connection_id = connection_id, .word = word };
	start_waiter(_metadata, waiter);
}

/* What a waiter returned that must end by now. */
static int end_waiter(struct __test_metadata *_metadata, struct waiter *waiter)
{
	unsigned int ms;

	for (ms = 0; ms < PLAIN_PATIENCE_MS && !is_done(waiter); ms += 5)
		plain_sleep_ms(5);
	ASSERT_TRUE(is_done(waiter)) {
		TH_LOG("still waiting");
	}
	ASSERT_EQ(0, pthread_join(waiter->thread, NULL));
	return waiter->result;
}

/* Signals until it ends: the first may come before it waits. */
static int interrupt_waiter(struct __test_metadata *_metadata, struct waiter *waiter)
{
	unsigned int ms;

	for (ms = 0; ms < PLAIN_PATIENCE_MS && !is_done(waiter); ms += 20) {
		pthread_kill(waiter->thread, SIGUSR1);
		plain_sleep_ms(20);
	}
	return end_waiter(_metadata, waiter);
}

TEST_F(endpoint, reader_woken_by_post)
{
	struct waiter reader, poller;

	start_reader(_metadata, &reader, self->endpoint);
	start_poll(_metadata, &poller, self->sender, 0);
	post_words(_metadata, self->sender, 1, 8, 8);
	EXPECT_EQ(256, end_waiter(_metadata, &reader));
	EXPECT_EQ(8, word_of(&reader.message));
	check_account(_metadata, self->receiver, 1, 1, 0);
	EXPECT_FALSE(is_done(&poller));
	interrupt_waiter(_metadata, &poller);

	start_poll(_metadata, &poller, self->endpoint, POLLIN);
	post_words(_metadata, self->sender, 1, 9, 9);
	EXPECT_EQ(POLLIN, end_waiter(_metadata, &poller));
	expect_words(_metadata, self->endpoint, 9, 9);
}

TEST_F(endpoint, reader_woken_by_port_deletion)
{
	struct waiter reader, poller;

	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, self->endpoint, 0, 0));
	start_reader(_metadata, &reader, self->endpoint);
	start_poll(_metadata, &poller, self->endpoint, POLLIN);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	plain_sleep_ms(PLAIN_SETTLE_MS);
	EXPECT_FALSE(is_done(&reader));
	EXPECT_FALSE(is_done(&poller));
	ASSERT_EQ(0, plain_delete_port(self->receiver, 2));
	EXPECT_EQ(0, end_waiter(_metadata, &reader));
	EXPECT_EQ(POLLHUP, end_waiter(_metadata, &poller));
}

TEST_F(endpoint, reader_woken_by_partition_close)
{
	const int endpoint = plain_endpoint(self->receiver, 0);
	struct waiter reader, poller, never_fed;

	start_reader(_metadata, &reader, self->endpoint);
	start_poll(_metadata, &poller, self->endpoint, POLLIN);
	start_reader(_metadata, &never_fed, endpoint);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(0, end_waiter(_metadata, &reader));
	EXPECT_EQ(POLLHUP, end_waiter(_metadata, &poller));
	EXPECT_EQ(0, end_waiter(_metadata, &never_fed));
	close(endpoint);
}

TEST_F(endpoint, reader_interrupted)
{
	struct waiter reader;

	start_reader(_metadata, &reader, self->endpoint);
	EXPECT_EQ(-EINTR, interrupt_waiter(_metadata, &reader));
	EXPECT_EQ(0xcccccccc, reader.message.type);
	post_words(_metadata, self->sender, 1, 3, 3);
	expect_words(_metadata, self->endpoint, 3, 3);
}

/* One message wakes one reader's worth; the other goes on waiting. */
TEST_F(endpoint, two_readers)
{
	struct waiter readers[2];
	int i;

	for (i = 0; i < 2; i++)
		start_reader(_metadata, &readers[i], self->endpoint);
	post_words(_metadata, self->sender, 1, 0, 0);
	for (i = 0; i < PLAIN_PATIENCE_MS && !is_done(&readers[0]) && !is_done(&readers[1]);
	     i += 5)
		plain_sleep_ms(5);
	plain_sleep_ms(PLAIN_SETTLE_MS);
	EXPECT_EQ(1, is_done(&readers[0]) + is_done(&readers[1]));
	post_words(_metadata, self->sender, 1, 1, 1);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(256, end_waiter(_metadata, &readers[i]));
	EXPECT_EQ(1, word_of(&readers[0].message) + word_of(&readers[1].message));
	check_account(_metadata, self->receiver, 2, 2, 0);
}

static const char content[4096];

/* Of words 0 and 1 a reader has the first in its hands; its buffer is not there. */
static int put_reader_to_sleep(struct __test_metadata *_metadata,
			       struct _test_data_endpoint *self, struct waiter *asleep)
{
	int faults;

	memset(asleep, 0, sizeof(*asleep));
	asleep->what = WAIT_READ_TO;
	asleep->fd = self->endpoint;
	asleep->to = mmap(NULL, sizeof(content), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, asleep->to);
	faults = absent_page(asleep->to);
	ASSERT_LE(0, faults);

	post_words(_metadata, self->sender, 1, 0, 1);
	start_waiter(_metadata, asleep);
	ASSERT_TRUE(absent_page_touched(faults));
	return faults;
}

static void wake_reader(struct __test_metadata *_metadata, struct waiter *asleep, int faults)
{
	ASSERT_EQ(0, absent_page_provide(faults, asleep->to, content));
	EXPECT_EQ(256, end_waiter(_metadata, asleep));
	EXPECT_EQ(0, word_of(asleep->to));
	close(faults);
	munmap(asleep->to, sizeof(content));
}

/*
 * One whose buffer is not there sleeps with a message in its hands, which comes before
 * those that others would read: they wait for it, or are told to.
 */
TEST_F(endpoint, reader_asleep_in_a_page_fault)
{
	struct hv_postmsg_message message;
	struct waiter asleep, reader;
	int faults;

	faults = put_reader_to_sleep(_metadata, self, &asleep);
	plain_nonblock(self->endpoint, true);
	EXPECT_EQ(-EAGAIN, plain_read(self->endpoint, &message));
	plain_nonblock(self->endpoint, false);
	start_reader(_metadata, &reader, self->endpoint);
	EXPECT_EQ(-EINTR, interrupt_waiter(_metadata, &reader));
	/* It is nothing to those who post. */
	post_words(_metadata, self->sender, 1, 2, 2);

	wake_reader(_metadata, &asleep, faults);
	expect_words(_metadata, self->endpoint, 1, 2);
	check_account(_metadata, self->receiver, 3, 3, 0);
}

/* --- several ports, limits --- */

TEST_F(endpoint, several_ports)
{
	const __u32 ports[] = { 1, 2, 63, 40 };
	struct hv_postmsg_message message;
	unsigned int i, round;

	for (i = 1; i < ARRAY_SIZE(ports); i++) {
		ASSERT_EQ(0, plain_endpoint_port(self->receiver, ports[i], self->endpoint,
						 0, 0));
		ASSERT_EQ(0, plain_link(self->sender, ports[i], self->receiver, ports[i]));
	}
	for (round = 0; round < 3; round++)
		for (i = 0; i < ARRAY_SIZE(ports); i++)
			post_words(_metadata, self->sender, ports[i], round, round);
	/* One endpoint, one queue: in the order of the posts. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(ports); i++) {
			ASSERT_EQ(256, plain_read(self->endpoint, &message));
			EXPECT_EQ(ports[i], message.port_id);
			EXPECT_EQ(round, word_of(&message));
		}
	}
}

TEST_F(endpoint, greatest_port_id)
{
	struct hv_postmsg_message message;

	ASSERT_EQ(0, plain_endpoint_port(self->receiver, HV_POSTMSG_ID_MAX, self->endpoint,
					 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, HV_POSTMSG_ID_MAX, self->receiver,
				HV_POSTMSG_ID_MAX));
	post_words(_metadata, self->sender, HV_POSTMSG_ID_MAX, 0, 0);
	ASSERT_EQ(256, plain_read(self->endpoint, &message));
	EXPECT_EQ(0xffffff, message.port_id);
	ASSERT_EQ(0, plain_delete_port(self->receiver, HV_POSTMSG_ID_MAX));
}

/* An endpoint holds as many messages as its depth, whichever ports they are of. */
TEST_F(endpoint, depth)
{
	const int endpoint = plain_endpoint(self->receiver, 4);
	struct hv_postmsg_port_stats stats;

	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, endpoint, 0, 0));
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 3, endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 2));
	ASSERT_EQ(0, plain_link(self->sender, 3, self->receiver, 3));
	post_words(_metadata, self->sender, 2, 0, 1);
	post_words(_metadata, self->sender, 3, 2, 3);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 2, 4));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 3, 4));
	/* The ports' own buffers were not touched by the refused ones. */
	ASSERT_EQ(0, plain_port_stats(self->receiver, 2, &stats));
	EXPECT_EQ(2, stats.queued);
	EXPECT_EQ(14, stats.free);
	EXPECT_EQ(2, stats.high_water);
	EXPECT_EQ(1, stats.refused_buffers);
	/* Another endpoint has room of its own. */
	post_words(_metadata, self->sender, 1, 0, 0);

	expect_words(_metadata, endpoint, 0, 0);
	post_words(_metadata, self->sender, 3, 4, 4);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 3, 5));
	expect_words(_metadata, endpoint, 1, 4);
	post_words(_metadata, self->sender, 2, 5, 8);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 2, 9));
	expect_words(_metadata, endpoint, 5, 8);
	expect_empty(_metadata, endpoint);
	close(endpoint);
}

/* A port has as many messages queued as it has buffers, whatever the depth. */
TEST_F(endpoint, buffers)
{
	const __u32 counts[] = { 1, 3, 63, 64 };
	struct hv_postmsg_port_stats stats;
	unsigned int i, round;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, self->endpoint,
						 counts[i], 0));
		ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 2));
		for (round = 0; round < 2; round++) {
			post_words(_metadata, self->sender, 2, 1, counts[i]);
			EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
				  plain_post_word(self->sender, 2, 0));
			/* Another port's buffers are not this one's. */
			post_words(_metadata, self->sender, 1, 77, 77);
			expect_words(_metadata, self->endpoint, 1, counts[i]);
			expect_words(_metadata, self->endpoint, 77, 77);
			ASSERT_EQ(0, plain_port_stats(self->receiver, 2, &stats));
			EXPECT_EQ(counts[i], stats.high_water);
			EXPECT_EQ(counts[i], stats.free);
			EXPECT_EQ(round + 1, stats.refused_buffers);
		}
		ASSERT_EQ(0, plain_disconnect(self->sender, 2));
		ASSERT_EQ(0, plain_delete_port(self->receiver, 2));
	}
}

/* The greatest depth is a real one. */
TEST_F(endpoint, greatest_depth)
{
	const int endpoint = plain_endpoint(self->receiver, 4096);
	__u32 id;

	ASSERT_LE(0, endpoint);
	/* 64 ports of 64 buffers fill it, and one more finds it full. */
	for (id = 100; id < 165; id++) {
		ASSERT_EQ(0, plain_endpoint_port(self->receiver, id, endpoint, 64, 0));
		ASSERT_EQ(0, plain_link(self->sender, id, self->receiver, id));
		if (id < 164)
			post_words(_metadata, self->sender, id, (id - 100) * 64,
				   (id - 100) * 64 + 63);
	}
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 164, 0));
	expect_words(_metadata, endpoint, 0, 4095);
	post_words(_metadata, self->sender, 164, 0, 0);
	expect_words(_metadata, endpoint, 0, 0);
	for (id = 100; id < 165; id++)
		ASSERT_EQ(0, plain_delete_port(self->receiver, id));
	close(endpoint);
}

/*
 * Who was sent away, because another reader was asleep in a page fault, is told of what
 * that one has left.  It has used up the event that there was for it.
 */
TEST_F(endpoint, event_behind_a_reader_asleep)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct hv_postmsg_message message;
	struct waiter asleep;
	int faults;

	ASSERT_LE(0, epoll);
	faults = put_reader_to_sleep(_metadata, self, &asleep);
	plain_nonblock(self->endpoint, true);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->endpoint, &event));
	ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(-EAGAIN, plain_read(self->endpoint, &message));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 100));

	wake_reader(_metadata, &asleep, faults);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
	expect_words(_metadata, self->endpoint, 1, 1);
	check_account(_metadata, self->receiver, 2, 2, 0);
	/* Nobody was sent away since: what is read is no news. */
	post_words(_metadata, self->sender, 1, 2, 3);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
	expect_words(_metadata, self->endpoint, 2, 2);
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 100));
	expect_words(_metadata, self->endpoint, 3, 3);
	plain_nonblock(self->endpoint, false);
	close(epoll);
}

/* The same where the last port has gone meanwhile: what there is to tell is the end. */
TEST_F(endpoint, end_behind_a_reader_asleep)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct hv_postmsg_message message;
	struct waiter asleep;
	int faults;

	ASSERT_LE(0, epoll);
	faults = put_reader_to_sleep(_metadata, self, &asleep);
	plain_nonblock(self->endpoint, true);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->endpoint, &event));
	ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(-EAGAIN, plain_read(self->endpoint, &message));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 100));

	wake_reader(_metadata, &asleep, faults);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 10000));
	EXPECT_EQ(0, plain_read(self->endpoint, &message));
	plain_nonblock(self->endpoint, false);
	close(epoll);
}

/* --- what frees messages and what does not --- */

/*
 * The last to close an endpoint may be a stranger whom it was sent to: it does not sleep,
 * however many there are, not even until those who post have noticed.
 */
TEST_F(endpoint, close_does_not_wait)
{
	int endpoint[50];
	unsigned int i;
	long slept;

	for (i = 0; i < 50; i++) {
		endpoint[i] = plain_endpoint(self->receiver, 0);
		ASSERT_LE(0, endpoint[i]);
		ASSERT_EQ(0, plain_endpoint_port(self->receiver, 10 + i, endpoint[i], 1, 0));
		ASSERT_EQ(0, plain_link(self->sender, 10 + i, self->receiver, 10 + i));
		post_words(_metadata, self->sender, 10 + i, 0, 0);
	}
	slept = plain_times_slept();
	for (i = 0; i < 50; i++)
		close(endpoint[i]);
	EXPECT_GT(5, plain_times_slept() - slept);
	for (i = 0; i < 50; i++)
		EXPECT_EQ(HV_STATUS_INVALID_PORT_ID,
			  plain_post_word(self->sender, 10 + i, 1));
}

TEST_F(endpoint, port_deleted)
{
	struct hv_postmsg_partition_stats stats;
	struct hv_postmsg_message message;
	__u64 word;

	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, self->endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 2));
	for (word = 0; word < 20; word++)
		post_words(_metadata, self->sender, 1 + word % 2, word, word);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	ASSERT_EQ(0, plain_partition_stats(self->receiver, &stats));
	EXPECT_EQ(20, stats.posted);
	EXPECT_EQ(10, stats.freed);
	EXPECT_EQ(10, stats.queued);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 0));
	/* The other port's, in their order. */
	for (word = 1; word < 20; word += 2) {
		ASSERT_EQ(256, plain_read(self->endpoint, &message));
		EXPECT_EQ(2, message.port_id);
		EXPECT_EQ(word, word_of(&message));
	}
	expect_empty(_metadata, self->endpoint);
	/* Room in the endpoint came back as well: the port has 16, the depth 256. */
	post_words(_metadata, self->sender, 2, 0, 15);
	expect_words(_metadata, self->endpoint, 0, 15);
}

/* The room that a deleted port's messages had can be used by another's. */
TEST_F(endpoint, port_deleted_makes_room)
{
	const int endpoint = plain_endpoint(self->receiver, 2);

	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, endpoint, 0, 0));
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 3, endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 2));
	ASSERT_EQ(0, plain_link(self->sender, 3, self->receiver, 3));
	post_words(_metadata, self->sender, 2, 1, 2);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 3, 3));
	ASSERT_EQ(0, plain_delete_port(self->receiver, 2));
	post_words(_metadata, self->sender, 3, 3, 4);
	expect_words(_metadata, endpoint, 3, 4);
	close(endpoint);
}

TEST_F(endpoint, disconnect_keeps_messages)
{
	post_words(_metadata, self->sender, 1, 1, 5);
	ASSERT_EQ(0, plain_disconnect(self->sender, 1));
	check_account(_metadata, self->receiver, 5, 0, 0);
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID, plain_post_word(self->sender, 1, 6));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 1));
	post_words(_metadata, self->sender, 2, 6, 7);
	/* So does the end of the sender. */
	close(self->sender);
	self->sender = -1;
	check_account(_metadata, self->receiver, 7, 0, 0);
	expect_words(_metadata, self->endpoint, 1, 7);
	check_account(_metadata, self->receiver, 7, 7, 0);
}

TEST_F(endpoint, partition_inactive)
{
	post_words(_metadata, self->sender, 1, 1, 3);
	ASSERT_EQ(0, plain_set_state(self->receiver, HV_POSTMSG_STATE_INACTIVE));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 4));
	EXPECT_EQ(POLLIN, plain_poll(self->endpoint, POLLIN, 0));
	/* What is queued is delivered. */
	expect_words(_metadata, self->endpoint, 1, 2);
	ASSERT_EQ(0, plain_set_state(self->receiver, HV_POSTMSG_STATE_ACTIVE));
	post_words(_metadata, self->sender, 1, 4, 4);
	expect_words(_metadata, self->endpoint, 3, 4);
	expect_empty(_metadata, self->endpoint);
	check_account(_metadata, self->receiver, 4, 4, 0);
}

TEST_F(endpoint, endpoint_closed)
{
	struct hv_postmsg_port_stats stats;
	const int second = dup(self->endpoint);

	post_words(_metadata, self->sender, 1, 1, 5);
	/* Not while another descriptor is open. */
	close(self->endpoint);
	post_words(_metadata, self->sender, 1, 6, 6);
	expect_words(_metadata, second, 1, 1);
	close(second);
	self->endpoint = -1;
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 7));
	check_account(_metadata, self->receiver, 6, 1, 5);
	ASSERT_EQ(0, plain_port_stats(self->receiver, 1, &stats));
	EXPECT_EQ(1, stats.refused_port);
	EXPECT_EQ(16, stats.free);
	/* Another endpoint does not bring the port back to life. */
	self->endpoint = plain_endpoint(self->receiver, 0);
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 7));
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 1, self->endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 1));
	post_words(_metadata, self->sender, 2, 8, 8);
	expect_words(_metadata, self->endpoint, 8, 8);
}

TEST_F(endpoint, partition_closed)
{
	struct hv_postmsg_message message;

	post_words(_metadata, self->sender, 1, 1, 5);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 6));
	EXPECT_TRUE(plain_poll(self->endpoint, POLLIN, 0) & POLLHUP);
	/* Its ports are deleted, and with them what they had queued. */
	plain_sleep_ms(PLAIN_SETTLE_MS);
	plain_nonblock(self->endpoint, true);
	while (plain_read(self->endpoint, &message) > 0)
		;
	EXPECT_EQ(0, plain_read(self->endpoint, &message));
	EXPECT_EQ(POLLHUP, plain_poll(self->endpoint, POLLIN, 0));
}

/* --- a post that waits --- */

static void fill_port(struct __test_metadata *_metadata, int sender)
{
	post_words(_metadata, sender, 1, 1, 16);
	ASSERT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(sender, 1, 0));
}

TEST_F(endpoint, post_waits_for_read)
{
	struct hv_postmsg_port_stats stats;
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(HV_STATUS_SUCCESS, end_waiter(_metadata, &poster));
	expect_words(_metadata, self->endpoint, 2, 17);
	check_account(_metadata, self->receiver, 17, 17, 0);
	/* To wait is not to be refused: fill_port()'s was the only one. */
	ASSERT_EQ(0, plain_port_stats(self->receiver, 1, &stats));
	EXPECT_EQ(1, stats.refused_buffers);
}

/* Three wait, one buffer at a time becomes free: one at a time ends. */
TEST_F(endpoint, several_posts_wait)
{
	struct waiter posters[3];
	unsigned int i, done, ms;

	fill_port(_metadata, self->sender);
	for (i = 0; i < 3; i++)
		start_poster(_metadata, &posters[i], self->sender, 1, 100 + i);
	for (i = 1; i <= 3; i++) {
		expect_words(_metadata, self->endpoint, i, i);
		for (ms = 0; ms < PLAIN_PATIENCE_MS; ms += 5) {
			done = is_done(&posters[0]) + is_done(&posters[1]) +
			       is_done(&posters[2]);
			if (done >= i)
				break;
			plain_sleep_ms(5);
		}
		plain_sleep_ms(PLAIN_SETTLE_MS);
		EXPECT_EQ(i, is_done(&posters[0]) + is_done(&posters[1]) +
			  is_done(&posters[2]));
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(HV_STATUS_SUCCESS, end_waiter(_metadata, &posters[i]));
	check_account(_metadata, self->receiver, 19, 3, 0);
}

/* The endpoint is full, not the port, and another port's message is read. */
TEST_F(endpoint, post_waits_for_depth)
{
	const int endpoint = plain_endpoint(self->receiver, 2);
	struct waiter poster;

	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 2, endpoint, 0, 0));
	ASSERT_EQ(0, plain_endpoint_port(self->receiver, 3, endpoint, 0, 0));
	ASSERT_EQ(0, plain_link(self->sender, 2, self->receiver, 2));
	ASSERT_EQ(0, plain_link(self->sender, 3, self->receiver, 3));
	post_words(_metadata, self->sender, 2, 1, 2);
	start_poster(_metadata, &poster, self->sender, 3, 3);
	expect_words(_metadata, endpoint, 1, 1);
	EXPECT_EQ(HV_STATUS_SUCCESS, end_waiter(_metadata, &poster));
	/* And by the deletion of the other port. */
	start_poster(_metadata, &poster, self->sender, 3, 4);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 2));
	EXPECT_EQ(HV_STATUS_SUCCESS, end_waiter(_metadata, &poster));
	expect_words(_metadata, endpoint, 3, 4);
	close(endpoint);
}

TEST_F(endpoint, post_waits_until_port_deletion)
{
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, end_waiter(_metadata, &poster));
}

TEST_F(endpoint, post_waits_until_endpoint_close)
{
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	close(self->endpoint);
	self->endpoint = -1;
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, end_waiter(_metadata, &poster));
	check_account(_metadata, self->receiver, 16, 0, 16);
}

TEST_F(endpoint, post_waits_until_receiver_close)
{
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, end_waiter(_metadata, &poster));
}

TEST_F(endpoint, post_waits_until_receiver_inactive)
{
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	ASSERT_EQ(0, plain_set_state(self->receiver, HV_POSTMSG_STATE_INACTIVE));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, end_waiter(_metadata, &poster));
	expect_words(_metadata, self->endpoint, 1, 16);
}

TEST_F(endpoint, post_waits_until_disconnect)
{
	struct waiter poster;

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	ASSERT_EQ(0, plain_disconnect(self->sender, 1));
	EXPECT_EQ(HV_STATUS_INVALID_CONNECTION_ID, end_waiter(_metadata, &poster));
	check_account(_metadata, self->receiver, 16, 0, 0);
}

TEST_F(endpoint, post_interrupted)
{
	struct hv_postmsg_partition_stats before, after;
	struct waiter poster;

	fill_port(_metadata, self->sender);
	ASSERT_EQ(0, plain_partition_stats(self->sender, &before));
	start_poster(_metadata, &poster, self->sender, 1, 17);
	EXPECT_EQ(-EINTR, interrupt_waiter(_metadata, &poster));
	ASSERT_EQ(0, plain_partition_stats(self->sender, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	check_account(_metadata, self->receiver, 16, 0, 0);
	expect_words(_metadata, self->endpoint, 1, 16);
	expect_empty(_metadata, self->endpoint);
}

/* Where the handler asks for it, both go on waiting as if nothing had come. */
TEST_F(endpoint, restarted_after_signal)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	struct waiter reader, poster;
	int i;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	start_reader(_metadata, &reader, self->endpoint);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pthread_kill(reader.thread, SIGUSR1));
		plain_sleep_ms(20);
	}
	EXPECT_FALSE(is_done(&reader));
	post_words(_metadata, self->sender, 1, 9, 9);
	EXPECT_EQ(256, end_waiter(_metadata, &reader));
	EXPECT_EQ(9, word_of(&reader.message));

	fill_port(_metadata, self->sender);
	start_poster(_metadata, &poster, self->sender, 1, 17);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pthread_kill(poster.thread, SIGUSR1));
		plain_sleep_ms(20);
	}
	EXPECT_FALSE(is_done(&poster));
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(HV_STATUS_SUCCESS, end_waiter(_metadata, &poster));
	expect_words(_metadata, self->endpoint, 2, 17);
	check_account(_metadata, self->receiver, 18, 18, 0);
}

/* O_NONBLOCK of the file does what the flag of the call does. */
TEST_F(endpoint, post_nonblock)
{
	__u64 word = 17;

	fill_port(_metadata, self->sender);
	plain_nonblock(self->sender, true);
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
		  plain_post(self->sender, 0, 1, 1, &word, sizeof(word)));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS,
		  plain_post(self->sender, HV_POSTMSG_POST_NONBLOCK, 1, 1, &word,
			     sizeof(word)));
	check_account(_metadata, self->receiver, 16, 0, 0);
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(HV_STATUS_SUCCESS,
		  plain_post(self->sender, 0, 1, 1, &word, sizeof(word)));
	expect_words(_metadata, self->endpoint, 2, 17);
}

/* --- POLLOUT --- */

TEST_F(endpoint, pollout)
{
	EXPECT_EQ(POLLOUT, plain_poll(self->sender, POLLIN | POLLOUT, 0));
	post_words(_metadata, self->sender, 1, 1, 16);
	/* The last buffer is taken, but nobody was refused. */
	EXPECT_EQ(POLLOUT, plain_poll(self->sender, POLLOUT, 0));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 1, 17));
	EXPECT_EQ(0, plain_poll(self->sender, POLLOUT, 0));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 1, 17));
	EXPECT_EQ(0, plain_poll(self->sender, POLLOUT, 0));
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(POLLOUT, plain_poll(self->sender, POLLOUT, 0));
	EXPECT_EQ(POLLOUT, plain_poll(self->sender, POLLOUT, 0));
	EXPECT_EQ(HV_STATUS_SUCCESS, plain_post_word(self->sender, 1, 17));
	EXPECT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(self->sender, 1, 18));
	EXPECT_EQ(0, plain_poll(self->sender, POLLOUT, 0));
	expect_words(_metadata, self->endpoint, 2, 17);
	EXPECT_EQ(POLLOUT, plain_poll(self->sender, POLLOUT, 0));
}

TEST_F(endpoint, pollout_by_read)
{
	struct waiter poller;

	fill_port(_metadata, self->sender);
	start_poll(_metadata, &poller, self->sender, POLLOUT);
	expect_words(_metadata, self->endpoint, 1, 1);
	EXPECT_EQ(POLLOUT, end_waiter(_metadata, &poller));
	post_words(_metadata, self->sender, 1, 17, 17);
	expect_words(_metadata, self->endpoint, 2, 17);
}

TEST_F(endpoint, pollout_by_port_deletion)
{
	struct waiter poller;

	fill_port(_metadata, self->sender);
	start_poll(_metadata, &poller, self->sender, POLLOUT);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	EXPECT_EQ(POLLOUT, end_waiter(_metadata, &poller));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 17));
}

TEST_F(endpoint, pollout_by_endpoint_close)
{
	struct waiter poller;

	fill_port(_metadata, self->sender);
	start_poll(_metadata, &poller, self->sender, POLLOUT);
	close(self->endpoint);
	self->endpoint = -1;
	EXPECT_EQ(POLLOUT, end_waiter(_metadata, &poller));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 17));
}

TEST_F(endpoint, pollout_by_receiver_close)
{
	struct waiter poller;

	fill_port(_metadata, self->sender);
	start_poll(_metadata, &poller, self->sender, POLLOUT);
	close(self->receiver);
	self->receiver = -1;
	EXPECT_EQ(POLLOUT, end_waiter(_metadata, &poller));
	EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 1, 17));
}

/* A reader that is not the poster's process makes room in many steps. */
TEST_F_TIMEOUT(endpoint, pollout_loop, 120)
{
	const __u64 count = 5000;
	__u64 word = 0, refused = 0;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (word = 0; word < count; word++)
			if (plain_read_word(self->endpoint) != word)
				_exit(1);
		_exit(0);
	}
	while (word < count) {
		status = plain_post_word(self->sender, 1, word);
		if (status == HV_STATUS_SUCCESS) {
			word++;
			continue;
		}
		ASSERT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, status);
		refused++;
		ASSERT_EQ(POLLOUT, plain_poll(self->sender, POLLOUT, PLAIN_PATIENCE_MS));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_LT(0, refused);
	check_account(_metadata, self->receiver, count, count, 0);
}

/* --- the end of a process --- */

/* What a child process tells before it is killed. */
struct child {
	pid_t pid;
	int socket;
};

static bool kill_child(struct child *child)
{
	int status;

	if (kill(child->pid, SIGKILL) || waitpid(child->pid, &status, 0) != child->pid)
		return false;
	close(child->socket);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Fork; the child sends its files by its side of @child->socket. */
static pid_t start_child(struct child *child)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	child->pid = fork();
	close(sockets[!child->pid ? 0 : 1]);
	child->socket = sockets[!child->pid ? 1 : 0];
	return child->pid;
}

/* A partition of the child's process takes the sender's place, and fills the port. */
static int start_sender(struct __test_metadata *_metadata, struct _test_data_endpoint *self,
			struct child *child)
{
	int partition;

	ASSERT_LE(0, start_child(child));
	if (!child->pid) {
		plain_send_fd(child->socket, plain_new_host());
		for (;;)
			pause();
	}
	partition = plain_receive_fd(child->socket);
	ASSERT_LE(0, partition);
	ASSERT_EQ(0, plain_disconnect(self->sender, 1));
	ASSERT_EQ(0, plain_link(partition, 1, self->receiver, 1));
	post_words(_metadata, partition, 1, 1, 16);
	return partition;
}

/* The waiting post is of a partition whose process goes: not ours. */
TEST_F(endpoint, post_waits_until_sender_dies)
{
	struct waiter poster;
	struct child child;
	int partition;

	partition = start_sender(_metadata, self, &child);
	start_poster(_metadata, &poster, partition, 1, 17);
	EXPECT_TRUE(kill_child(&child));
	EXPECT_EQ(-ESHUTDOWN, end_waiter(_metadata, &poster));
	close(partition);
	/* What it had posted is there, and the port can be connected to again. */
	expect_words(_metadata, self->endpoint, 1, 16);
	expect_empty(_metadata, self->endpoint);
	EXPECT_EQ(0, plain_link(self->sender, 1, self->receiver, 1));
}

/* Two epolls with the same file, for an event each, and only the first is waited on. */
struct two_epolls {
	int first, second;
	struct waiter waiter;
};

static void start_epolls(struct __test_metadata *_metadata, struct two_epolls *epolls, int fd,
			 __u32 events)
{
	struct epoll_event event = { .events = events | EPOLLEXCLUSIVE };

	epolls->first = epoll_create1(EPOLL_CLOEXEC);
	epolls->second = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(epolls->first, EPOLL_CTL_ADD, fd, &event));
	ASSERT_EQ(0, epoll_ctl(epolls->second, EPOLL_CTL_ADD, fd, &event));
	epolls->waiter = (struct waiter){ .what = WAIT_EPOLL, .fd = epolls->first };
	start_waiter(_metadata, &epolls->waiter);
}

/* What the second one has, once the first one is woken. */
static int end_epolls(struct __test_metadata *_metadata, struct two_epolls *epolls)
{
	struct epoll_event event;
	int ret;

	EXPECT_EQ(1, end_waiter(_metadata, &epolls->waiter));
	ret = epoll_wait(epolls->second, &event, 1, 10000);
	close(epolls->first);
	close(epolls->second);
	return ret;
}

/* Of several who wait a message, or room, may wake one: there is no more.  The end wakes all. */
TEST_F(endpoint, end_for_all_who_poll)
{
	struct two_epolls epolls;
	struct child child;
	int partition;

	partition = start_sender(_metadata, self, &child);
	ASSERT_EQ(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(partition, 1, 17));
	start_epolls(_metadata, &epolls, partition, EPOLLOUT);
	EXPECT_TRUE(kill_child(&child));
	EXPECT_EQ(1, end_epolls(_metadata, &epolls));
	close(partition);
	expect_words(_metadata, self->endpoint, 1, 16);

	start_epolls(_metadata, &epolls, self->endpoint, EPOLLIN);
	ASSERT_EQ(0, plain_delete_port(self->receiver, 1));
	EXPECT_EQ(1, end_epolls(_metadata, &epolls));
}

/* Killed while it waits for a buffer. */
TEST_F(endpoint, killed_while_post_waits)
{
	struct child child;
	int partition, ret, i;

	ASSERT_EQ(0, plain_disconnect(self->sender, 1));
	ASSERT_LE(0, start_child(&child));
	if (!child.pid) {
		__u64 word;

		partition = plain_new_host();
		if (plain_link(partition, 1, self->receiver, 1))
			_exit(1);
		plain_send_fd(child.socket, partition);
		for (word = 0; ; word++)
			if (plain_post(partition, 0, 1, 1, &word, sizeof(word)))
				_exit(2);
	}
	partition = plain_receive_fd(child.socket);
	ASSERT_LE(0, partition);
	plain_sleep_ms(PLAIN_SETTLE_MS);
	EXPECT_TRUE(kill_child(&child));
	/* Its file is still open here, so that its connection goes a little later. */
	for (i = 0; i < PLAIN_PATIENCE_MS; i += 10) {
		ret = plain_link(self->sender, 1, self->receiver, 1);
		if (ret != -EBUSY)
			break;
		plain_sleep_ms(10);
	}
	EXPECT_EQ(0, ret);
	expect_words(_metadata, self->endpoint, 0, 15);
	expect_empty(_metadata, self->endpoint);
	EXPECT_TRUE(plain_poll(partition, POLLOUT, 0) > 0);
	close(partition);
}

TEST_F_TIMEOUT(endpoint, killed_while_posting, 120)
{
	struct hv_postmsg_message message;
	struct child child;
	int round, partition, port;
	__u64 word;

	ASSERT_EQ(0, plain_disconnect(self->sender, 1));
	port = plain_port_fd(self->receiver, 1);
	ASSERT_LE(0, port);
	for (round = 0; round < 5; round++) {
		ASSERT_LE(0, start_child(&child));
		if (!child.pid) {
			partition = plain_new_host();
			if (plain_connect(partition, 1, port, 0))
				_exit(1);
			plain_send_fd(child.socket, partition);
			for (word = 0; ; word++)
				if (plain_post(partition, 0, 1, 1, &word, sizeof(word)))
					_exit(2);
		}
		partition = plain_receive_fd(child.socket);
		ASSERT_LE(0, partition);
		expect_words(_metadata, self->endpoint, 0, 300 * round + 50);
		EXPECT_TRUE(kill_child(&child));
		EXPECT_EQ(0, plain_not_shut_down(partition, port));
		/* All it posted comes, without a gap, and nothing else. */
		plain_nonblock(self->endpoint, true);
		for (word = 300 * round + 51; ; word++) {
			const int ret = plain_read(self->endpoint, &message);

			if (ret == -EAGAIN)
				break;
			ASSERT_EQ(256, ret);
			ASSERT_EQ(word, word_of(&message));
		}
		plain_nonblock(self->endpoint, false);
		close(partition);
	}
	close(port);
	EXPECT_EQ(0, plain_link(self->sender, 1, self->receiver, 1));
}

/* Killed while reading, with everything of it held by another process. */
TEST_F_TIMEOUT(endpoint, killed_while_reading, 120)
{
	struct hv_postmsg_message message;
	int round, partition, endpoint, port, own_port;
	struct child child;
	__u64 word;

	own_port = plain_port_fd(self->receiver, 1);
	ASSERT_LE(0, own_port);
	for (round = 0; round < 5; round++) {
		ASSERT_LE(0, start_child(&child));
		if (!child.pid) {
			partition = plain_new_host();
			endpoint = plain_endpoint(partition, 0);
			if (plain_endpoint_port(partition, 1, endpoint, 0,
						HV_POSTMSG_PORT_SHARED))
				_exit(1);
			plain_send_fd(child.socket, partition);
			plain_send_fd(child.socket, endpoint);
			plain_send_fd(child.socket, plain_port_fd(partition, 1));
			for (word = 0; ; word++)
				if (plain_read_word(endpoint) != word)
					_exit(2);
		}
		partition = plain_receive_fd(child.socket);
		endpoint = plain_receive_fd(child.socket);
		port = plain_receive_fd(child.socket);
		ASSERT_LE(0, partition);
		ASSERT_LE(0, endpoint);
		ASSERT_LE(0, port);
		ASSERT_EQ(0, plain_connect(self->sender, 2, port, 0));
		for (word = 0; word < 500; word++)
			ASSERT_EQ(HV_STATUS_SUCCESS,
				  plain_post(self->sender, 0, 2, 1, &word, sizeof(word)));
		EXPECT_TRUE(kill_child(&child));
		EXPECT_EQ(HV_STATUS_INVALID_PORT_ID, plain_post_word(self->sender, 2, 0));
		EXPECT_EQ(-ENXIO, plain_connect(self->sender, 3, port, 0));
		EXPECT_EQ(0, plain_not_shut_down(partition, own_port));
		EXPECT_TRUE(plain_poll(endpoint, POLLIN, PLAIN_PATIENCE_MS) & POLLHUP);
		plain_sleep_ms(PLAIN_SETTLE_MS);
		plain_nonblock(endpoint, true);
		while (plain_read(endpoint, &message) > 0)
			;
		EXPECT_EQ(0, plain_read(endpoint, &message));
		ASSERT_EQ(0, plain_disconnect(self->sender, 2));
		close(port);
		close(endpoint);
		close(partition);
	}
	close(own_port);
	post_words(_metadata, self->sender, 1, 1, 1);
	expect_words(_metadata, self->endpoint, 1, 1);
}

/*
 * Three processes post in a ring while they read; all are killed, in another
 * order each time, and only then does the one that holds their files close them.
 */
TEST_F_TIMEOUT(endpoint, killed_in_a_ring, 120)
{
	struct child children[3];
	int partitions[3], endpoints[3];
	int round, i;

	for (round = 0; round < 6; round++) {
		for (i = 0; i < 3; i++) {
			ASSERT_LE(0, start_child(&children[i]));
			if (!children[i].pid) {
				int partition = plain_new_host();
				int endpoint = plain_endpoint(partition, 0);
				struct hv_postmsg_message message;
				__u64 word;
				char byte;

				if (plain_endpoint_port(partition, 1, endpoint, 0, 0))
					_exit(1);
				plain_send_fd(children[i].socket, partition);
				plain_send_fd(children[i].socket, endpoint);
				if (read(children[i].socket, &byte, 1) != 1)
					_exit(2);
				plain_nonblock(endpoint, true);
				for (word = 0; ; word++) {
					plain_post_word(partition, 1, word);
					if (word % 3)
						plain_read(endpoint, &message);
				}
			}
			partitions[i] = plain_receive_fd(children[i].socket);
			endpoints[i] = plain_receive_fd(children[i].socket);
			ASSERT_LE(0, partitions[i]);
			ASSERT_LE(0, endpoints[i]);
		}
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, plain_link(partitions[i], 1, partitions[(i + 1) % 3], 1));
		for (i = 0; i < 3; i++)
			ASSERT_EQ(1, write(children[i].socket, "g", 1));
		plain_sleep_ms(20 * (round + 1));
		for (i = 0; i < 3; i++) {
			EXPECT_TRUE(kill_child(&children[(i * (1 + round % 2) + round) % 3]));
			if (round & 1)
				plain_sleep_ms(10);
		}
		for (i = 0; i < 3; i++) {
			EXPECT_EQ(-ESHUTDOWN, plain_post_word(partitions[i], 1, 0));
			EXPECT_TRUE(plain_poll(endpoints[i], POLLIN, PLAIN_PATIENCE_MS) &
				    POLLHUP);
		}
		for (i = 0; i < 3; i++) {
			close(partitions[i]);
			close(endpoints[i]);
		}
	}
}

/* --- many at once --- */

#define FLOOD_SENDERS	4
#define FLOOD_MESSAGES	25000

FIXTURE(flood)
{
	int receiver;
	int endpoint;
	int senders[FLOOD_SENDERS];
};

FIXTURE_VARIANT(flood)
{
	/* One port for all senders, or one each. */
	bool shared;
	/* All senders post as one partition. */
	bool one_partition;
	/* Post without waiting, and poll for room. */
	bool nonblock;
	/* 0: as deep as the buffers of all ports need. */
	__u32 depth;
	unsigned int readers;
	/* Every sender's messages, fewer on a slow kernel. */
	unsigned int messages;
};

FIXTURE_VARIANT_ADD(flood, port_each)
{
	.readers = 1,
	.messages = FLOOD_MESSAGES,
};

FIXTURE_VARIANT_ADD(flood, shared_port)
{
	.shared = true,
	.readers = 1,
	.messages = FLOOD_MESSAGES,
};

FIXTURE_VARIANT_ADD(flood, shallow_endpoint)
{
	.depth = 3,
	.one_partition = true,
	.readers = 1,
	.messages = FLOOD_MESSAGES / 5,
};

FIXTURE_VARIANT_ADD(flood, polling_senders)
{
	.nonblock = true,
	.readers = 1,
	.messages = FLOOD_MESSAGES / 5,
};

FIXTURE_VARIANT_ADD(flood, two_readers)
{
	.shared = true,
	.readers = 2,
	.messages = FLOOD_MESSAGES / 5,
};

FIXTURE_SETUP(flood)
{
	unsigned int i;

	self->receiver = plain_new_host();
	ASSERT_LE(0, self->receiver);
	self->endpoint = plain_endpoint(self->receiver, variant->depth);
	ASSERT_LE(0, self->endpoint);
	for (i = 0; i < FLOOD_SENDERS; i++) {
		if (!i || !variant->one_partition)
			self->senders[i] = plain_new_host();
		else
			self->senders[i] = dup(self->senders[0]);
		ASSERT_LE(0, self->senders[i]);
		if (!i || !variant->shared)
			ASSERT_EQ(0, plain_endpoint_port(self->receiver, i + 1,
							 self->endpoint, 0,
							 HV_POSTMSG_PORT_SHARED));
		ASSERT_EQ(0, plain_link(self->senders[i], i + 1, self->receiver,
					variant->shared ? 1 : i + 1));
	}
}

FIXTURE_TEARDOWN(flood)
{
	unsigned int i;

	check_partition(_metadata, self->receiver, FLOOD_SENDERS + 1);
	for (i = 0; i < FLOOD_SENDERS; i++)
		close(self->senders[i]);
	close(self->endpoint);
	close(self->receiver);
}

/* The head of each payload; random bytes follow. */
struct flood_head {
	__u32 sender;
	__u32 sequence;
	__u64 sum;
};

static __u64 flood_sum(__u32 type, __u32 size, const __u8 *payload)
{
	__u64 sum = 0xcbf29ce484222325ULL ^ type ^ (__u64)size << 32;
	unsigned int i;

	/* FNV-1a over all but the sum itself. */
	for (i = 0; i < size; i++) {
		if (i >= offsetof(struct flood_head, sum) && i < sizeof(struct flood_head))
			continue;
		sum = (sum ^ payload[i]) * 0x100000001b3ULL;
	}
	return sum;
}

struct flood_sender {
	pthread_t thread;
	int partition;
	__u32 index;
	bool nonblock;
	unsigned int messages;
	int error;
};

static void *flood_sender(void *argument)
{
	struct flood_sender *sender = argument;
	__u32 random = 12345 + sender->index;
	__u8 payload[240];
	struct flood_head head = { .sender = sender->index };
	unsigned int i;
	__u32 type, size;
	int status;

	for (head.sequence = 0; head.sequence < sender->messages; head.sequence++) {
		random = random * 1664525 + 1013904223;
		size = sizeof(head) + (random >> 8) % (241 - sizeof(head));
		type = 1 + (random >> 4) % 0x7ffffffe;
		for (i = sizeof(head); i < size; i++)
			payload[i] = random >> (i % 24);
		head.sum = 0;
		memcpy(payload, &head, sizeof(head));
		head.sum = flood_sum(type, size, payload);
		memcpy(payload, &head, sizeof(head));
		do {
			status = plain_post(sender->partition,
					    sender->nonblock ? HV_POSTMSG_POST_NONBLOCK : 0,
					    sender->index + 1, type, payload, size);
			if (sender->nonblock && status == HV_STATUS_INSUFFICIENT_BUFFERS &&
			    plain_poll(sender->partition, POLLOUT, PLAIN_PATIENCE_MS) !=
			    POLLOUT)
				status = -ETIMEDOUT;
		} while (sender->nonblock && status == HV_STATUS_INSUFFICIENT_BUFFERS);
		if (status) {
			sender->error = status;
			break;
		}
	}
	return NULL;
}

struct flood_reader {
	pthread_t thread;
	int endpoint;
	bool shared;
	unsigned int read;
	unsigned int corrupt;
	unsigned int reordered;
	/* One for each message, by sender and sequence; all readers' in common. */
	__u8 *seen;
	unsigned int messages;
};

static void *flood_reader(void *argument)
{
	struct flood_reader *reader = argument;
	__s64 last[FLOOD_SENDERS] = { -1, -1, -1, -1 };
	struct hv_postmsg_message messages[8];
	struct flood_head head;
	int got, i;

	while ((got = read(reader->endpoint, messages, sizeof(messages))) > 0) {
		for (i = 0; i < got / 256; i++) {
			const struct hv_postmsg_message *message = &messages[i];

			reader->read++;
			memcpy(&head, message->payload, sizeof(head));
			if (message->payload_size < sizeof(head) ||
			    head.sender >= FLOOD_SENDERS ||
			    head.sequence >= reader->messages ||
			    head.sum != flood_sum(message->type, message->payload_size,
						  message->payload) ||
			    message->port_id != (reader->shared ? 1 : head.sender + 1)) {
				reader->corrupt++;
				continue;
			}
			if (head.sequence <= last[head.sender])
				reader->reordered++;
			last[head.sender] = head.sequence;
			__atomic_add_fetch(&reader->seen[head.sender * reader->messages +
							 head.sequence], 1,
					   __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(flood, nothing_lost, 300)
{
	const unsigned int messages = fewer(variant->messages);
	const unsigned int total = FLOOD_SENDERS * messages;
	struct flood_sender senders[FLOOD_SENDERS] = {};
	struct flood_reader readers[2] = {};
	struct hv_postmsg_partition_stats stats;
	unsigned int i, lost = 0, doubled = 0, got = 0;
	__u8 *seen = calloc(total, 1);

	ASSERT_NE(NULL, seen);
	for (i = 0; i < variant->readers; i++) {
		readers[i].endpoint = self->endpoint;
		readers[i].shared = variant->shared;
		readers[i].seen = seen;
		readers[i].messages = messages;
		ASSERT_EQ(0, pthread_create(&readers[i].thread, NULL, flood_reader,
					    &readers[i]));
	}
	for (i = 0; i < FLOOD_SENDERS; i++) {
		senders[i].partition = self->senders[i];
		senders[i].index = i;
		senders[i].nonblock = variant->nonblock;
		senders[i].messages = messages;
		ASSERT_EQ(0, pthread_create(&senders[i].thread, NULL, flood_sender,
					    &senders[i]));
	}
	for (i = 0; i < FLOOD_SENDERS; i++) {
		ASSERT_EQ(0, pthread_join(senders[i].thread, NULL));
		EXPECT_EQ(0, senders[i].error);
	}
	/* All posted; when all is read the ports go, and with them the readers. */
	for (i = 0; i < PLAIN_PATIENCE_MS; i += 10) {
		ASSERT_EQ(0, plain_partition_stats(self->receiver, &stats));
		if (!stats.queued)
			break;
		plain_sleep_ms(10);
	}
	EXPECT_EQ(total, stats.posted);
	EXPECT_EQ(total, stats.delivered);
	EXPECT_EQ(0, stats.queued);
	EXPECT_EQ(0, stats.freed);
	EXPECT_LE(1, stats.high_water);
	EXPECT_GE(PLAIN_DEFAULT_BUFFERS, stats.high_water);
	for (i = 0; i < FLOOD_SENDERS; i++)
		if (!i || !variant->shared)
			check_port(_metadata, self->receiver, i + 1);
	for (i = 0; i < FLOOD_SENDERS; i++)
		if (!i || !variant->shared)
			ASSERT_EQ(0, plain_delete_port(self->receiver, i + 1));
	for (i = 0; i < variant->readers; i++) {
		ASSERT_EQ(0, pthread_join(readers[i].thread, NULL));
		EXPECT_EQ(0, readers[i].corrupt);
		EXPECT_EQ(0, readers[i].reordered);
		got += readers[i].read;
	}
	EXPECT_EQ(total, got);
	for (i = 0; i < total; i++) {
		lost += !seen[i];
		doubled += seen[i] > 1;
	}
	EXPECT_EQ(0, lost);
	EXPECT_EQ(0, doubled);
	free(seen);
}

TEST_HARNESS_MAIN
