/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Payloads that tell whether a message was lost, doubled, reordered or damaged
 *
 * Header only, and free of any library: used by guests, by the programs that
 * run them, and by host programs that know no KVM.
 */
#ifndef SELFTESTS_HVPM_PAYLOAD_H
#define SELFTESTS_HVPM_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/hv_postmsg.h>

/**
 * struct hvpm_payload - what a payload starts with
 *
 * @checksum: over the message's type, its size, and all that follows this field
 * @sender: who posted it
 * @sequence: its number among the messages of that sender, from 0
 */
struct hvpm_payload {
	uint32_t checksum;
	uint32_t sender;
	uint64_t sequence;
};

/* A payload below this size has no room for the above. */
#define HVPM_PAYLOAD_MIN	((uint32_t)sizeof(struct hvpm_payload))

/* One step of the checksum, a multiplication by the prime of 64-bit FNV. */
static inline uint64_t hvpm_mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x100000001b3ULL;
	return sum ^ sum >> 29;
}

static inline uint64_t hvpm_load(const uint8_t *from, uint32_t bytes)
{
	uint64_t word = 0;
	uint32_t i;

	if (bytes == 8) {
		__builtin_memcpy(&word, from, 8);
		return word;
	}
	for (i = 0; i < bytes; i++)
		word |= (uint64_t)from[i] << 8 * i;
	return word;
}

static inline uint32_t hvpm_checksum(uint32_t type, uint32_t size,
				     const uint8_t *payload)
{
	uint64_t sum = hvpm_mix(0xcbf29ce484222325ULL, (uint64_t)size << 32 | type);
	uint32_t i;

	for (i = sizeof(uint32_t); i + 8 <= size; i += 8)
		sum = hvpm_mix(sum, hvpm_load(payload + i, 8));
	if (i < size)
		sum = hvpm_mix(sum, hvpm_load(payload + i, size - i));
	return (uint32_t)(sum ^ sum >> 32);
}

/*
 * Fill @payload with @size bytes, at least HVPM_PAYLOAD_MIN, which depend on
 * @sender and @sequence, and seal it.
 */
static inline void hvpm_payload_fill(uint8_t *payload, uint32_t type,
				     uint32_t size, uint32_t sender,
				     uint64_t sequence)
{
	uint64_t word = hvpm_mix((uint64_t)sender << 32 | type, sequence);
	struct hvpm_payload head = { .sender = sender, .sequence = sequence };
	uint32_t i, j;

	__builtin_memcpy(payload, &head, sizeof(head));
	for (i = HVPM_PAYLOAD_MIN; i < size; i += 8) {
		word = hvpm_mix(word, i);
		if (i + 8 <= size)
			__builtin_memcpy(payload + i, &word, 8);
		else
			for (j = i; j < size; j++)
				payload[j] = word >> 8 * (j - i);
	}
	head.checksum = hvpm_checksum(type, size, payload);
	__builtin_memcpy(payload, &head, sizeof(head));
}

/*
 * True if the payload is as hvpm_payload_fill() left it; @head then tells whose
 * it is.
 */
static inline bool hvpm_payload_check(const uint8_t *payload, uint32_t type,
				      uint32_t size, struct hvpm_payload *head)
{
	if (size < HVPM_PAYLOAD_MIN || size > HV_POSTMSG_PAYLOAD_MAX)
		return false;
	__builtin_memcpy(head, payload, sizeof(*head));
	return head->checksum == hvpm_checksum(type, size, payload);
}

/* A type and a size that vary with @sequence, both legal. */
static inline uint32_t hvpm_vary_type(uint64_t sequence)
{
	return (uint32_t)(hvpm_mix(1, sequence) >> 20 & 0x7ffffffe) + 1;
}

static inline uint32_t hvpm_vary_size(uint64_t sequence)
{
	return HVPM_PAYLOAD_MIN + (uint32_t)((hvpm_mix(2, sequence) >> 20) %
			(HV_POSTMSG_PAYLOAD_MAX - HVPM_PAYLOAD_MIN + 1));
}

/**
 * struct hvpm_tally - what a receiver knows about the messages of one sender
 *
 * @next: sequence number it expects next
 * @received: messages that arrived whole
 * @lost: sequence numbers skipped and not seen since
 * @duplicated: messages whose number was seen before
 * @reordered: messages that came after one with a higher number
 * @corrupt: messages whose checksum does not hold
 *
 * Exact as long as nothing is wrong; after the first fault the split between
 * duplicated and reordered is a guess, their sum is not.
 */
struct hvpm_tally {
	uint64_t next;
	uint64_t received;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t corrupt;
};

static inline void hvpm_tally_count(struct hvpm_tally *tally, uint64_t sequence)
{
	tally->received++;
	if (sequence == tally->next) {
		tally->next++;
	} else if (sequence > tally->next) {
		tally->lost += sequence - tally->next;
		tally->next = sequence + 1;
	} else if (tally->lost && sequence + 1 != tally->next) {
		/* One that was taken for lost. */
		tally->lost--;
		tally->reordered++;
	} else {
		tally->duplicated++;
	}
}

#endif /* SELFTESTS_HVPM_PAYLOAD_H */
