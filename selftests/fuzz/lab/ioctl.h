/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sequences of system calls on /dev/hv_postmsg and what comes from it, made of
 * strings of bytes.  Any string is a sequence; a model says what each call does.
 */
#ifndef SELFTESTS_FUZZ_IOCTL_H
#define SELFTESTS_FUZZ_IOCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest string that is used; what is behind it is not looked at. */
#define FUZZ_INPUT_MAX	512

/* Inputs that have been worth keeping, linked into the program. */
struct fuzz_input {
	const uint8_t *bytes;
	size_t size;
};

extern const struct fuzz_input fuzz_corpus[];
extern const size_t fuzz_corpus_size;

/**
 * struct fuzz_counts - what was done since fuzz_open()
 *
 * @sequences: strings
 * @calls: system calls whose outcome was predicted
 * @succeeded: those of them that did not fail
 * @posts: HV_POSTMSG_POST that got as far as a status
 * @accepted: those that got HV_STATUS_SUCCESS
 * @read: messages that were read and compared
 * @errnos: how often each errno was predicted, and seen
 */
struct fuzz_counts {
	uint64_t sequences;
	uint64_t calls;
	uint64_t succeeded;
	uint64_t posts;
	uint64_t accepted;
	uint64_t read;
	uint64_t errnos[256];
};

extern struct fuzz_counts fuzz_counts;

/* Grace periods are what takes the time here; nothing depends on how long. */
void fuzz_expedite(bool on);

/* Make the VMs and files that all sequences share. False: said why on stderr. */
bool fuzz_open(void);
void fuzz_close(void);

/*
 * Run one sequence, from nothing to nothing.  False at the first call that the
 * model did not predict; @trace prints each call on the way.
 */
bool fuzz_run(const uint8_t *bytes, size_t size, bool trace);

/* The same; on a mismatch say all that is needed to see it again. */
bool fuzz_try(const uint8_t *bytes, size_t size);

/* Fill @bytes, FUZZ_INPUT_MAX of them, at random. Returns how many count. */
size_t fuzz_random_input(uint64_t *random, uint8_t *bytes);

void fuzz_print_counts(void);

#endif /* SELFTESTS_FUZZ_IOCTL_H */
