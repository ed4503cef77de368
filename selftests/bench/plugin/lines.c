// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU: which cache lines CPUs share, and how long what they do takes
 *
 *	-plugin FILE,out=FILE
 *
 * Looks at each CPU while a window of it is open, from the instruction BENCH_BEGIN to
 * one of BENCH_END_* (see ../scaling.h): each line of memory that its instructions read
 * or write meanwhile, and how many instructions it executes.  What QEMU does by itself,
 * as VMRUN and walks of page tables, a plugin does not see.  A window in which there was
 * an IRETQ does not count, for that CPU took an interrupt or an exception in it.  At
 * BENCH_END_PHASE it writes
 *
 *	cpu CPU END WINDOWS INTERRUPTED TOO_LONG
 *		how many windows that ended with END count and how many do not
 *	length END INSTRUCTIONS WINDOWS
 *		windows that ended with END after so many instructions
 *	line ADDRESS
 *		a line that was written, and another CPU has read or written, too
 *	by CPU READS WRITES READER WRITER
 *		behind it for each CPU: windows in which it read and wrote it, and
 *		the addresses of instructions that did so last, 0 if none did
 *	phase LINES WRITTEN
 *		the last: how many lines there were, and how many of them were written
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../scaling.h"
#include "qemu_plugin.h"

int qemu_plugin_version = 1;

#define LINE_SHIFT	6
#define MAX_CPUS	4
/* Of one window; one with more does not count. */
#define MAX_ACCESSES	65536
/* Lines that one CPU accesses in a phase, a power of two. */
#define MAX_LINES	65536
/* A window with more instructions does not count either. */
#define MAX_LENGTH	65536

/**
 * struct access - a read or a write of a window that is open
 *
 * @line: number of the cache line in the machine's memory
 * @by: address of the instruction
 * @write: it writes
 */
struct access {
	uint64_t line;
	uint64_t by;
	bool write;
};

/**
 * struct line - what one CPU has done to a cache line
 *
 * @line: its number, or 0 for none
 * @windows: in how many windows it was read and written
 * @last: the last of these windows
 * @by: address of the instruction that did so last
 */
struct line {
	uint64_t line;
	struct {
		unsigned int windows;
		unsigned int last;
		uint64_t by;
	} did[2];
};

/* What is known of a CPU; only its own thread touches it, but at the end of a phase. */
static struct cpu {
	bool open;
	bool interrupted;
	bool too_long;
	unsigned int length;
	unsigned int nr_accesses;
	struct access access[MAX_ACCESSES];

	/* Of all kinds, then of each: what counts and what does not. */
	unsigned int windows;
	unsigned int counted[BENCH_END_PHASE];
	unsigned int interruptions[BENCH_END_PHASE];
	unsigned int too_many[BENCH_END_PHASE];
	unsigned int nr_lines;
	struct line line[MAX_LINES];
	unsigned int lengths[BENCH_END_PHASE][MAX_LENGTH];
} cpus[MAX_CPUS];

static FILE *out;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "lines: %s\n", what);
	exit(1);
}

static struct cpu *cpu_of(unsigned int index)
{
	if (index >= MAX_CPUS)
		fail("too many CPUs");
	return &cpus[index];
}

/* The entry of a line, or the one that it may have. */
static struct line *find_line(struct cpu *cpu, uint64_t line)
{
	uint64_t at = line * 0x9e3779b97f4a7c15ULL >> 32;

	while (cpu->line[at % MAX_LINES].line && cpu->line[at % MAX_LINES].line != line)
		at++;
	return &cpu->line[at % MAX_LINES];
}

static void keep(struct cpu *cpu, const struct access *access)
{
	struct line *line = find_line(cpu, access->line);

	if (!line->line) {
		if (++cpu->nr_lines == MAX_LINES)
			fail("too many lines");
		line->line = access->line;
	}
	if (line->did[access->write].last != cpu->windows) {
		line->did[access->write].last = cpu->windows;
		line->did[access->write].windows++;
	}
	line->did[access->write].by = access->by;
}

static void end_window(struct cpu *cpu, unsigned int end)
{
	unsigned int i;

	if (!cpu->open)
		return;
	cpu->open = false;
	if (cpu->interrupted) {
		cpu->interruptions[end]++;
		return;
	}
	if (cpu->too_long || cpu->length >= MAX_LENGTH) {
		cpu->too_many[end]++;
		return;
	}
	cpu->windows++;
	cpu->counted[end]++;
	cpu->lengths[end][cpu->length]++;
	for (i = 0; i < cpu->nr_accesses; i++)
		keep(cpu, &cpu->access[i]);
}

/* What any CPU has done to a line. */
static void write_line(uint64_t number)
{
	const struct line *line;
	unsigned int i;

	fprintf(out, "line %" PRIx64 "\n", number << LINE_SHIFT);
	for (i = 0; i < MAX_CPUS; i++) {
		line = find_line(&cpus[i], number);
		fprintf(out, "by %u %u %u %" PRIx64 " %" PRIx64 "\n", i,
			line->did[false].windows, line->did[true].windows,
			line->did[false].by, line->did[true].by);
	}
}

/* A line is looked at where the first CPU that has it has it. */
static void write_lines(void)
{
	unsigned int i, j, k, has, lines = 0, written = 0;
	const struct line *line;
	uint64_t number;
	bool writes;

	for (i = 0; i < MAX_CPUS; i++)
		for (j = 0; j < MAX_LINES; j++) {
			number = cpus[i].line[j].line;
			writes = false;
			has = 0;
			for (k = 0; number && k < MAX_CPUS; k++) {
				line = find_line(&cpus[k], number);
				if (line->line && k < i)
					break;
				has += !!line->line;
				writes |= line->did[true].windows;
			}
			if (k < MAX_CPUS)
				continue;
			lines++;
			written += writes;
			if (writes && has > 1)
				write_line(number);
		}
	fprintf(out, "phase %u %u\n", lines, written);
}

static void end_phase(void)
{
	unsigned int i, end, length, windows;

	for (i = 0; i < MAX_CPUS; i++)
		for (end = 0; end < BENCH_END_PHASE; end++)
			if (cpus[i].counted[end] || cpus[i].interruptions[end] ||
			    cpus[i].too_many[end])
				fprintf(out, "cpu %u %u %u %u %u\n", i, end,
					cpus[i].counted[end], cpus[i].interruptions[end],
					cpus[i].too_many[end]);
	for (end = 0; end < BENCH_END_PHASE; end++)
		for (length = 0; length < MAX_LENGTH; length++) {
			windows = 0;
			for (i = 0; i < MAX_CPUS; i++)
				windows += cpus[i].lengths[end][length];
			if (windows)
				fprintf(out, "length %u %u %u\n", end, length, windows);
		}
	write_lines();
	fflush(out);
	memset(cpus, 0, sizeof(cpus));
}

static void marked(unsigned int vcpu, void *data)
{
	unsigned int which = (uintptr_t)data;
	struct cpu *cpu = cpu_of(vcpu);

	if (which == BENCH_END_PHASE) {
		end_phase();
	} else if (which == BENCH_BEGIN) {
		cpu->open = true;
		cpu->interrupted = false;
		cpu->too_long = false;
		cpu->length = 0;
		cpu->nr_accesses = 0;
	} else {
		end_window(cpu, which);
	}
}

static void executed(unsigned int vcpu, void *data)
{
	(void)data;
	cpu_of(vcpu)->length++;
}

static void interrupted(unsigned int vcpu, void *data)
{
	executed(vcpu, data);
	cpu_of(vcpu)->interrupted = true;
}

/* A byte that an instruction reads or writes, unless it is a device's. */
static void access_byte(struct cpu *cpu, qemu_plugin_meminfo_t info, uint64_t address,
			uint64_t by)
{
	struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);

	if (!where || qemu_plugin_hwaddr_is_io(where))
		return;
	if (cpu->nr_accesses == MAX_ACCESSES) {
		cpu->too_long = true;
		return;
	}
	cpu->access[cpu->nr_accesses++] = (struct access) {
		.line = qemu_plugin_hwaddr_phys_addr(where) >> LINE_SHIFT,
		.by = by,
		.write = qemu_plugin_mem_is_store(info),
	};
}

/* No access is longer than a line: it is in one, or at the edge of two. */
static void accessed(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address,
		     void *data)
{
	uint64_t last = address + (1ULL << qemu_plugin_mem_size_shift(info)) - 1;
	struct cpu *cpu = cpu_of(vcpu);

	if (!cpu->open)
		return;
	access_byte(cpu, info, address, (uintptr_t)data);
	if (last >> LINE_SHIFT != address >> LINE_SHIFT)
		access_byte(cpu, info, last, (uintptr_t)data);
}

/* Which mark this instruction is, or 0. */
static unsigned int mark_of(const struct qemu_plugin_insn *insn)
{
	static const uint8_t nopl[] = { 0x0f, 0x1f, 0x80 };
	const uint8_t *code = qemu_plugin_insn_data(insn);
	uint32_t operand;

	if (qemu_plugin_insn_size(insn) != sizeof(nopl) + sizeof(operand) ||
	    memcmp(code, nopl, sizeof(nopl)))
		return 0;
	memcpy(&operand, code + sizeof(nopl), sizeof(operand));
	operand -= BENCH_MARK;
	return operand <= BENCH_END_PHASE ? operand : 0;
}

static bool is_iretq(const struct qemu_plugin_insn *insn)
{
	static const uint8_t iretq[] = { 0x48, 0xcf };

	return qemu_plugin_insn_size(insn) == sizeof(iretq) &&
	       !memcmp(qemu_plugin_insn_data(insn), iretq, sizeof(iretq));
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct qemu_plugin_insn *insn;
	unsigned int mark;
	void *address;
	size_t i;

	(void)id;
	for (i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		mark = mark_of(insn);
		if (mark) {
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked,
							       QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)mark);
			continue;
		}
		address = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
		qemu_plugin_register_vcpu_insn_exec_cb(insn,
						       is_iretq(insn) ? interrupted :
									executed,
						       QEMU_PLUGIN_CB_NO_REGS, address);
		qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, address);
	}
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			char **argv)
{
	(void)info;
	if (argc == 1 && !strncmp(argv[0], "out=", 4))
		out = fopen(argv[0] + 4, "w");
	if (!out) {
		fprintf(stderr, "lines: out= is needed\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
