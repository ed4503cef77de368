// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: a queue loses nothing, doubles nothing and keeps every producer's order.
 */
#include "fake.h"

#define MODEL_BUFFERS	96
#define MODEL_PORTS	3

/* Only addresses of these are compared. */
struct rig {
	struct hvpm_queue queue;
	struct hvpm_port *port[MODEL_PORTS];
	struct hvpm_buffer buffer[MODEL_BUFFERS];
};

static struct rig *make_rig(struct kunit *test)
{
	struct rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rig);
	hvpm_queue_init(&rig->queue);
	for (i = 0; i < MODEL_PORTS; i++) {
		rig->port[i] = kunit_kzalloc(test, sizeof(*rig->port[i]),
					     GFP_KERNEL);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rig->port[i]);
	}
	for (i = 0; i < MODEL_BUFFERS; i++)
		rig->buffer[i].port = rig->port[i % MODEL_PORTS];
	return rig;
}

static void sort(struct hvpm_queue *queue)
{
	spin_lock(&queue->lock);
	hvpm_queue_sort(queue);
	spin_unlock(&queue->lock);
}

static struct hvpm_buffer *pop(struct hvpm_queue *queue, unsigned int sint)
{
	struct hvpm_buffer *buffer;

	spin_lock(&queue->lock);
	buffer = hvpm_queue_pop(queue, sint);
	spin_unlock(&queue->lock);
	return buffer;
}

static void unpop(struct hvpm_queue *queue, struct hvpm_buffer *buffer)
{
	spin_lock(&queue->lock);
	hvpm_queue_unpop(queue, buffer);
	spin_unlock(&queue->lock);
}

static void fifo_per_sint(struct kunit *test)
{
	struct rig *rig = make_rig(test);
	unsigned int i, sint;

	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig->queue));
	for (i = 0; i < MODEL_BUFFERS; i++) {
		rig->buffer[i].sint = i % HVPM_SINT_COUNT;
		hvpm_queue_push(&rig->queue, &rig->buffer[i]);
		KUNIT_ASSERT_FALSE(test, hvpm_queue_empty(&rig->queue));
		/* Some arrive together, some alone. */
		if (i % 7 < 2)
			sort(&rig->queue);
	}
	/* What is not sorted is not there yet. */
	sort(&rig->queue);
	for (sint = 0; sint < HVPM_SINT_COUNT; sint++) {
		for (i = sint; i < MODEL_BUFFERS; i += HVPM_SINT_COUNT) {
			KUNIT_ASSERT_TRUE(test, rig->queue.occupied & BIT(sint));
			KUNIT_ASSERT_PTR_EQ(test, pop(&rig->queue, sint),
					    &rig->buffer[i]);
		}
		KUNIT_ASSERT_NULL(test, pop(&rig->queue, sint));
		KUNIT_ASSERT_FALSE(test, rig->queue.occupied & BIT(sint));
	}
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig->queue));
}

static void unpop_is_next(struct kunit *test)
{
	struct rig *rig = make_rig(test);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		rig->buffer[i].sint = 5;
		hvpm_queue_push(&rig->queue, &rig->buffer[i]);
	}
	sort(&rig->queue);
	KUNIT_EXPECT_PTR_EQ(test, pop(&rig->queue, 5), &rig->buffer[0]);
	unpop(&rig->queue, &rig->buffer[0]);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_PTR_EQ(test, pop(&rig->queue, 5), &rig->buffer[i]);
	/* The last one, back into a FIFO that has become empty. */
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig->queue));
	unpop(&rig->queue, &rig->buffer[2]);
	KUNIT_EXPECT_FALSE(test, hvpm_queue_empty(&rig->queue));
	KUNIT_EXPECT_PTR_EQ(test, pop(&rig->queue, 5), &rig->buffer[2]);
}

/* The model: one array a FIFO, plain and slow. */
struct model {
	struct hvpm_buffer *fifo[HVPM_SINT_COUNT][MODEL_BUFFERS];
	unsigned int length[HVPM_SINT_COUNT];
	struct hvpm_buffer *arrival[MODEL_BUFFERS];
	unsigned int arrivals;
	bool used[MODEL_BUFFERS];
};

static void model_sort(struct model *model)
{
	unsigned int i;

	for (i = 0; i < model->arrivals; i++) {
		unsigned int sint = model->arrival[i]->sint;

		model->fifo[sint][model->length[sint]++] = model->arrival[i];
	}
	model->arrivals = 0;
}

static struct hvpm_buffer *model_pop(struct model *model, unsigned int sint)
{
	struct hvpm_buffer *buffer = model->fifo[sint][0];

	if (!model->length[sint])
		return NULL;
	model->length[sint]--;
	memmove(&model->fifo[sint][0], &model->fifo[sint][1],
		model->length[sint] * sizeof(buffer));
	return buffer;
}

static void model_unpop(struct model *model, struct hvpm_buffer *buffer)
{
	unsigned int sint = buffer->sint;

	memmove(&model->fifo[sint][1], &model->fifo[sint][0],
		model->length[sint] * sizeof(buffer));
	model->fifo[sint][0] = buffer;
	model->length[sint]++;
}

/* Takes out and compares with what hvpm_queue_remove() took out. */
static void model_remove(struct kunit *test, struct model *model,
			 struct rig *rig, const struct hvpm_port *port,
			 struct list_head *removed)
{
	unsigned int sint, i, kept;
	struct hvpm_buffer *buffer;

	model_sort(model);
	for (sint = 0; sint < HVPM_SINT_COUNT; sint++) {
		kept = 0;
		for (i = 0; i < model->length[sint]; i++) {
			buffer = model->fifo[sint][i];
			if (port && buffer->port != port) {
				model->fifo[sint][kept++] = buffer;
				continue;
			}
			KUNIT_ASSERT_FALSE(test, list_empty(removed));
			KUNIT_ASSERT_PTR_EQ(test, buffer,
					    list_first_entry(removed,
							     struct hvpm_buffer,
							     fifo));
			list_del(&buffer->fifo);
			model->used[buffer - rig->buffer] = false;
		}
		model->length[sint] = kept;
	}
	KUNIT_ASSERT_TRUE(test, list_empty(removed));
}

static bool model_empty(const struct model *model)
{
	unsigned int sint, sum = model->arrivals;

	for (sint = 0; sint < HVPM_SINT_COUNT; sint++)
		sum += model->length[sint];
	return !sum;
}

static void against_model(struct kunit *test)
{
	struct hvpm_buffer *buffer;
	struct model *model;
	struct rig *rig = make_rig(test);
	unsigned int step, sint, i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, model);

	for (step = 0; step < 20000; step++) {
		sint = fake_random(test, HVPM_SINT_COUNT);
		switch (fake_random(test, 20)) {
		case 0 ... 8:
			i = fake_random(test, MODEL_BUFFERS);
			if (model->used[i])
				break;
			model->used[i] = true;
			buffer = &rig->buffer[i];
			buffer->sint = sint;
			hvpm_queue_push(&rig->queue, buffer);
			model->arrival[model->arrivals++] = buffer;
			break;
		case 9 ... 11:
			sort(&rig->queue);
			model_sort(model);
			break;
		case 12 ... 18:
			buffer = pop(&rig->queue, sint);
			KUNIT_ASSERT_PTR_EQ(test, buffer, model_pop(model, sint));
			if (!buffer)
				break;
			if (fake_random(test, 4)) {
				model->used[buffer - rig->buffer] = false;
				break;
			}
			unpop(&rig->queue, buffer);
			model_unpop(model, buffer);
			break;
		case 19: {
			const struct hvpm_port *port = NULL;
			LIST_HEAD(removed);

			if (fake_random(test, 4))
				port = rig->port[fake_random(test, MODEL_PORTS)];
			else if (fake_random(test, 4))
				break;
			spin_lock(&rig->queue.lock);
			hvpm_queue_remove(&rig->queue, port, &removed);
			spin_unlock(&rig->queue.lock);
			model_remove(test, model, rig, port, &removed);
			break;
		}
		}
		KUNIT_ASSERT_EQ(test, hvpm_queue_empty(&rig->queue),
				model_empty(model));
		for (i = 0; i < HVPM_SINT_COUNT; i++)
			KUNIT_ASSERT_EQ(test, !!(rig->queue.occupied & BIT(i)),
					!!model->length[i]);
	}
}

/* --- several producers --- */

#define PRODUCERS	4
#define PRODUCER_DEPTH	8
#define EACH		3000

struct producer {
	struct hvpm_queue *queue;
	/* A producer's own ring of buffers: free again when the state is 0. */
	struct hvpm_buffer buffer[PRODUCER_DEPTH];
	atomic_t used[PRODUCER_DEPTH];
	unsigned int number;
	unsigned int sent;
};

static bool produce(struct producer *producer)
{
	unsigned int place = producer->sent % PRODUCER_DEPTH;
	struct hvpm_buffer *buffer = &producer->buffer[place];

	if (producer->sent >= EACH ||
	    atomic_cmpxchg(&producer->used[place], 0, 1))
		return false;
	buffer->index = place;
	/* Two SINTs: the order counts within one. */
	buffer->sint = 1 + producer->sent % 2;
	buffer->message.port_id = producer->number;
	buffer->message.type = producer->sent + 1;
	producer->sent++;
	hvpm_queue_push(producer->queue, buffer);
	return true;
}

static int producer_thread(void *arg)
{
	struct producer *producer = arg;

	while (!kthread_should_stop()) {
		if (!produce(producer) || !(producer->sent % 5))
			cond_resched();
	}
	return 0;
}

static void producer_tick(void *arg)
{
	produce(arg);
	produce(arg);
}

static void several_producers(struct kunit *test)
{
	unsigned int expected[PRODUCERS][2], received = 0, wrong = 0, i, sint;
	struct task_struct *thread[PRODUCERS - 1];
	struct producer *producers;
	struct hvpm_buffer *buffer;
	struct hvpm_queue *queue;
	struct fake_ticker ticker;
	unsigned long end;

	queue = kunit_kzalloc(test, sizeof(*queue), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, queue);
	producers = kunit_kcalloc(test, PRODUCERS, sizeof(*producers),
				  GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, producers);
	hvpm_queue_init(queue);
	for (i = 0; i < PRODUCERS; i++) {
		producers[i].queue = queue;
		producers[i].number = i;
		expected[i][0] = 1;
		expected[i][1] = 2;
	}

	/* Producer 0 is an interrupt, the others are threads. */
	for (i = 1; i < PRODUCERS; i++) {
		thread[i - 1] = kthread_run(producer_thread, &producers[i],
					    "producer-%u", i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread[i - 1]);
	}
	fake_ticker_start(test, &ticker, producer_tick, &producers[0]);

	end = jiffies + FAKE_LONG_TIMEOUT;
	while (received < PRODUCERS * EACH && time_before(jiffies, end)) {
		sort(queue);
		for (sint = 1; sint <= 2; sint++) {
			unsigned int number;

			buffer = pop(queue, sint);
			if (!buffer)
				continue;
			if (received % 64 == 63) {
				unpop(queue, buffer);
				buffer = pop(queue, sint);
			}
			number = buffer->message.port_id;
			if (buffer->message.type != expected[number][sint - 1])
				wrong++;
			expected[number][sint - 1] = buffer->message.type + 2;
			received++;
			atomic_set(&producers[number].used[buffer->index], 0);
		}
		if (hvpm_queue_empty(queue))
			cond_resched();
	}
	fake_ticker_stop(&ticker);
	for (i = 1; i < PRODUCERS; i++)
		kthread_stop(thread[i - 1]);

	kunit_info(test, "note: %u received, %d interrupts\n", received,
		   atomic_read(&ticker.ticks));
	KUNIT_EXPECT_EQ(test, wrong, 0u);
	KUNIT_EXPECT_EQ(test, received, (unsigned int)(PRODUCERS * EACH));
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(queue));
}

/* What arrives while a port is taken out stays, in its order. */
static void remove_during_arrivals(struct kunit *test)
{
	struct rig *rig = make_rig(test);
	struct hvpm_buffer *buffer;
	unsigned int i, left = 0;
	LIST_HEAD(removed);

	for (i = 0; i < 30; i++) {
		rig->buffer[i].sint = 1 + i % 2;
		hvpm_queue_push(&rig->queue, &rig->buffer[i]);
		if (i == 12)
			sort(&rig->queue);
	}
	spin_lock(&rig->queue.lock);
	hvpm_queue_remove(&rig->queue, rig->port[1], &removed);
	spin_unlock(&rig->queue.lock);
	list_for_each_entry(buffer, &removed, fifo) {
		KUNIT_EXPECT_PTR_EQ(test, buffer->port, rig->port[1]);
		left++;
	}
	KUNIT_EXPECT_EQ(test, left, 10u);

	for (i = 0; i < 30; i++) {
		if (rig->buffer[i].port == rig->port[1])
			continue;
		KUNIT_EXPECT_PTR_EQ(test, pop(&rig->queue, 1 + i % 2),
				    &rig->buffer[i]);
	}
	KUNIT_EXPECT_TRUE(test, hvpm_queue_empty(&rig->queue));
}

static struct kunit_case queue_cases[] = {
	KUNIT_CASE(fifo_per_sint),
	KUNIT_CASE(unpop_is_next),
	KUNIT_CASE(against_model),
	KUNIT_CASE(several_producers),
	KUNIT_CASE(remove_during_arrivals),
	{}
};

static struct kunit_suite queue_suite = {
	.name = "hv_postmsg_queue",
	.init = fake_init,
	.exit = fake_exit,
	.test_cases = queue_cases,
};

kunit_test_suite(queue_suite);
