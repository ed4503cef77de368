/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random hypercalls of a guest, predicted one by one.
 */
#ifndef SELFTESTS_FUZZ_HYPERCALL_H
#define SELFTESTS_FUZZ_HYPERCALL_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct fuzz_caller - who calls
 *
 * @flags: of its partition
 * @privileged: its CPUID grants PostMessages
 * @kvm_enforces: and KVM looks at it
 * @synic: it has a SynIC
 */
struct fuzz_caller {
	uint32_t flags;
	bool privileged;
	bool kvm_enforces;
	bool synic;
};

/**
 * struct fuzz_hypercalls - what was done
 *
 * @calls: hypercalls, each of which got the predicted status
 * @status: how many got which
 * @passed: those that the VMM got
 * @other: those with another call code
 * @messages: messages taken out of slots and endpoints, and compared
 * @changes: what the host did in between
 */
struct fuzz_hypercalls {
	uint64_t calls;
	uint64_t status[32];
	uint64_t passed;
	uint64_t other;
	uint64_t messages;
	uint64_t changes;
};

/* At least @calls. False at the first that was not predicted: said why. */
bool fuzz_hypercalls(const struct fuzz_caller *caller, uint64_t seed, uint64_t calls,
		     struct fuzz_hypercalls *counts);

#endif /* SELFTESTS_FUZZ_HYPERCALL_H */
