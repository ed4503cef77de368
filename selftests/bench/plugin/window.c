// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU: which instructions one call consists of
 *
 *	-plugin FILE,from=ADDRESS,to=ADDRESS,rounds=N,out=FILE
 *
 * The function in [from, to) has two instructions RDTSC: a window is what is executed
 * from the first until the second, wherever that is, which is just what the function
 * counts by them.  Of each N windows, one case of the bench, those of the commonest
 * length are alike; one of them is written out: a line "window LENGTH WINDOWS", then
 * the address of each instruction in the order of execution.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

int qemu_plugin_version = 1;

/* Longer ones are the clock's tick, or something worse. */
#define MAX_LENGTH	131072
/* So many different lengths of a case. */
#define MAX_KINDS	256

/**
 * struct kind - the windows of one length
 *
 * @length: instructions
 * @windows: how many windows there were
 * @address: the addresses of one of them
 */
struct kind {
	size_t length;
	unsigned int windows;
	uint64_t *address;
};

static uint64_t from, to;
static unsigned int rounds;
static FILE *out;

static struct kind kinds[MAX_KINDS];
static unsigned int nr_kinds, nr_windows;

static bool open_window;
static uint64_t window[MAX_LENGTH];
static size_t length;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "window: %s\n", what);
	exit(1);
}

/* The last window of a case: write one of the commonest length. */
static void end_case(void)
{
	const struct kind *best = NULL;
	size_t i;

	for (i = 0; i < nr_kinds; i++)
		if (!best || kinds[i].windows > best->windows)
			best = &kinds[i];
	fprintf(out, "window %zu %u\n", best->length, best->windows);
	for (i = 0; i < best->length; i++)
		fprintf(out, "%" PRIx64 "\n", best->address[i]);
	fflush(out);
	for (i = 0; i < nr_kinds; i++)
		free(kinds[i].address);
	nr_kinds = 0;
	nr_windows = 0;
}

static void end_window(void)
{
	struct kind *kind = kinds;

	while (kind < kinds + nr_kinds && kind->length != length)
		kind++;
	if (kind == kinds + nr_kinds && nr_kinds < MAX_KINDS) {
		nr_kinds++;
		kind->length = length;
		kind->windows = 0;
		kind->address = malloc(length * sizeof(*window));
		if (!kind->address)
			fail("out of memory");
		memcpy(kind->address, window, length * sizeof(*window));
	}
	if (kind < kinds + MAX_KINDS)
		kind->windows++;
	if (++nr_windows == rounds)
		end_case();
}

static void executed(unsigned int vcpu, void *data)
{
	(void)vcpu;
	if (!open_window)
		return;
	window[length] = (uintptr_t)data;
	if (length < MAX_LENGTH - 1)
		length++;
}

/* As the counter has it, the first belongs to the window and the second does not. */
static void read_counter(unsigned int vcpu, void *data)
{
	if (open_window)
		end_window();
	open_window = !open_window;
	length = 0;
	executed(vcpu, data);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	static const uint8_t rdtsc[] = { 0x0f, 0x31 };
	struct qemu_plugin_insn *insn;
	uint64_t address;
	bool counter;
	size_t i;

	(void)id;
	for (i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		address = qemu_plugin_insn_vaddr(insn);
		counter = address >= from && address < to &&
			  qemu_plugin_insn_size(insn) == sizeof(rdtsc) &&
			  !memcmp(qemu_plugin_insn_data(insn), rdtsc, sizeof(rdtsc));
		qemu_plugin_register_vcpu_insn_exec_cb(insn, counter ? read_counter : executed,
						       QEMU_PLUGIN_CB_NO_REGS,
						       (void *)(uintptr_t)address);
	}
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "from=", 5))
			from = strtoull(argv[i] + 5, NULL, 0);
		else if (!strncmp(argv[i], "to=", 3))
			to = strtoull(argv[i] + 3, NULL, 0);
		else if (!strncmp(argv[i], "rounds=", 7))
			rounds = strtoul(argv[i] + 7, NULL, 0);
		else if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	}
	if (from >= to || !rounds || !out) {
		fprintf(stderr, "window: from=, to=, rounds=, out= are needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
