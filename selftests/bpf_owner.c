// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: bpf_owner fentry|fexit FUNCTION...
 *
 * Not a test: attaches a BPF program to each of some functions of the module kvm,
 * for tracer_test.sh. It prints "ready", and for every line on its input one line:
 * how often each has run. It ends with its input.
 *
 * Exit status: 1, with the reason, if a program cannot be attached; 4 if this
 * kernel has no BPF programs on functions of modules.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/filter.h>

#define MODULE		"kvm"
#define MAX_FUNCTIONS	8

static void fail(int status, const char *what, const char *of)
{
	fprintf(stderr, "%s %s: %s\n", what, of, strerror(errno));
	exit(status);
}

static bool is_btf(int fd, const char *name)
{
	char its_name[64] = "";
	struct bpf_btf_info info = {
		.name = (uintptr_t)its_name,
		.name_len = sizeof(its_name),
	};
	uint32_t size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) &&
	       !strcmp(its_name, name);
}

/* The types of a module as the kernel has them, which a program refers to. */
static int open_btf(const char *name)
{
	uint32_t id = 0;
	int fd;

	while (!bpf_btf_get_next_id(id, &id)) {
		fd = bpf_btf_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (is_btf(fd, name))
			return fd;
		close(fd);
	}
	fail(4, "no types of module", name);
	return -1;
}

/* A program that adds one to its element of the array. */
static int load(enum bpf_attach_type type, int btf_fd, int btf_id, int map,
		unsigned int element)
{
	struct bpf_insn program[] = {
		BPF_LD_IMM64_RAW_FULL(BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, 0, map,
				      element * sizeof(uint64_t)),
		BPF_MOV64_IMM(BPF_REG_2, 1),
		BPF_ATOMIC_OP(BPF_DW, BPF_ADD, BPF_REG_1, BPF_REG_2, 0),
		BPF_MOV64_IMM(BPF_REG_0, 0),
		BPF_EXIT_INSN(),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    .expected_attach_type = type,
		    .attach_btf_id = btf_id,
		    .attach_btf_obj_fd = btf_fd);

	return bpf_prog_load(BPF_PROG_TYPE_TRACING, "count", "GPL", program,
			     sizeof(program) / sizeof(*program), &options);
}

static void print(int map, unsigned int count)
{
	uint64_t calls[MAX_FUNCTIONS] = { };
	uint32_t key = 0;
	unsigned int i;

	if (bpf_map_lookup_elem(map, &key, calls))
		fail(1, "reading", "the counts");
	for (i = 0; i < count; i++)
		printf("%s%lu", i ? "," : "", calls[i]);
	puts("");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	enum bpf_attach_type type = BPF_TRACE_FENTRY;
	struct btf *kernel, *module;
	int map, btf_fd, id, program;
	unsigned int i, count;
	char line[16];

	if (argc < 3 || argc > 2 + MAX_FUNCTIONS) {
		fprintf(stderr, "usage: see the source\n");
		return 2;
	}
	if (!strcmp(argv[1], "fexit"))
		type = BPF_TRACE_FEXIT;
	count = argc - 2;

	kernel = btf__load_vmlinux_btf();
	module = kernel ? btf__load_module_btf(MODULE, kernel) : NULL;
	if (!module)
		fail(4, "no types of module", MODULE);
	btf_fd = open_btf(MODULE);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "calls", sizeof(uint32_t),
			     MAX_FUNCTIONS * sizeof(uint64_t), 1, NULL);
	if (map < 0)
		fail(1, "creating", "the counts");
	for (i = 0; i < count; i++) {
		id = btf__find_by_name_kind(module, argv[2 + i], BTF_KIND_FUNC);
		if (id < 0)
			fail(4, "no type of function", argv[2 + i]);
		program = load(type, btf_fd, id, map, i);
		if (program < 0)
			fail(1, "loading a program for", argv[2 + i]);
		if (bpf_raw_tracepoint_open(NULL, program) < 0)
			fail(1, "attaching to", argv[2 + i]);
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		print(map, count);
	return 0;
}
