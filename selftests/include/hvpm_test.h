/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test programs share: the harness, and "nothing happened"
 */
#ifndef SELFTESTS_HVPM_TEST_H
#define SELFTESTS_HVPM_TEST_H

#include "patience.h"
#include "kvm_test_harness.h"

#include "hvpm.h"

/* A case under emulation on a busy machine: patience. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	120

/**
 * struct hvpm_watch - what a refused call must leave as it was
 *
 * @vm: the VM watched
 * @slots: its SIM pages
 * @interrupts: interrupts its VPs took
 * @stats: its partition's counters
 */
struct hvpm_watch {
	struct hvpm_vm *vm;
	uint8_t slots[HVPM_MAX_VPS][4096];
	uint32_t interrupts[HVPM_MAX_VPS][HV_SYNIC_SINT_COUNT];
	struct hv_postmsg_partition_stats stats;
};

static inline void hvpm_watch_start(struct hvpm_watch *watch, struct hvpm_vm *vm)
{
	unsigned int i;

	TEST_ASSERT(vm->nr_vps <= HVPM_MAX_VPS, "too many VPs to watch");
	watch->vm = vm;
	for (i = 0; i < vm->nr_vps; i++) {
		memcpy(watch->slots[i], (void *)vm->vps[i].slots, 4096);
		memcpy(watch->interrupts[i], (void *)vm->vps[i].guest->interrupts,
		       sizeof(watch->interrupts[i]));
	}
	if (vm->partition >= 0)
		hvpm_partition_stats(vm->partition, &watch->stats);
}

/*
 * Give every VP of the watched VM the chance to find something, then assert
 * that there was nothing: nothing queued, no slot touched, no interrupt.
 */
static inline void hvpm_watch_nothing(struct hvpm_watch *watch)
{
	struct hv_postmsg_partition_stats stats;
	struct hvpm_vm *vm = watch->vm;
	unsigned int i, j;

	for (i = 0; i < vm->nr_vps; i++) {
		hvpm_vp_poke(&vm->vps[i]);
		for (j = 0; j < HV_SYNIC_SINT_COUNT; j++)
			TEST_ASSERT(watch->interrupts[i][j] ==
				    vm->vps[i].guest->interrupts[j],
				    "VP %u: interrupt of SINT %u", i, j);
		TEST_ASSERT(!memcmp(watch->slots[i], (void *)vm->vps[i].slots, 4096),
			    "VP %u: SIM page touched", i);
	}
	if (vm->partition < 0)
		return;
	hvpm_partition_stats(vm->partition, &stats);
	TEST_ASSERT(stats.posted == watch->stats.posted &&
		    stats.delivered == watch->stats.delivered &&
		    stats.freed == watch->stats.freed &&
		    stats.queued == watch->stats.queued,
		    "posted, delivered, freed, queued: %llu %llu %llu %llu, now %llu %llu %llu %llu",
		    watch->stats.posted, watch->stats.delivered,
		    watch->stats.freed, watch->stats.queued,
		    stats.posted, stats.delivered, stats.freed, stats.queued);
}

#endif /* SELFTESTS_HVPM_TEST_H */
