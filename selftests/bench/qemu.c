// SPDX-License-Identifier: GPL-2.0-only
/*
 * Case post_qemu: the guest of an unmodified QEMU with its device hyperv-testdev, which
 * sends each message back to the SINT it was told.
 *
 * A program without anything below it, in 32-bit mode without paging, which QEMU loads
 * by its multiboot header.  It measures as the other cases do, from before the call
 * until the message is in its slot, prints "case post_qemu INSTRUCTIONS CALLS" to the
 * debug console and ends by isa-debug-exit.
 */
#include <stdint.h>

#include "calls.h"

#define MULTIBOOT		"0x1badb002"

#define DEBUG_CONSOLE		0xe9
#define DEBUG_EXIT		0xf4
#define EXIT_GOOD		0x10
#define EXIT_BAD		0x11

/* QEMU's hw/hyperv/hyperv_testdev.c: what is to be done, for whom. */
#define TESTDEV			0x3000
#define TESTDEV_ROUTE		1
#define TESTDEV_CONNECTION	4
#define TESTDEV_DO(what, sint)	((what) << 16 | (sint))

#define SINT			2
#define CONNECTION		1
/* That device asserts that there is room behind it. */
#define SIZE			239

#define POST_MESSAGE		0x5c
#define INSUFFICIENT_BUFFERS	0x13

#define MSR_GUEST_OS_ID		0x40000000
#define MSR_HYPERCALL		0x40000001
#define MSR_SCONTROL		0x40000080
#define MSR_SIMP		0x40000083
#define MSR_EOM			0x40000084
#define MSR_SINT0		0x40000090
/* Interrupts are off, and stay so. */
#define VECTOR			0x52

struct message {
	uint32_t type;
	uint8_t size;
	uint8_t flags;
	uint16_t reserved;
	uint64_t sender;
	uint8_t payload[240];
};

static struct {
	uint32_t connection;
	uint32_t reserved;
	uint32_t type;
	uint32_t size;
	uint8_t payload[240];
} input __attribute__((aligned(256)));

static volatile struct message slots[16] __attribute__((aligned(4096)));
static uint8_t hypercall_page[4096] __attribute__((aligned(4096)));
static uint8_t stack[16384] __attribute__((aligned(16), used));
static uint32_t cost[BENCH_ROUNDS];

asm(".section .text.unlikely, \"ax\"\n"
	".balign 4\n"
	".long " MULTIBOOT ", 0, -" MULTIBOOT "\n"
	".globl _start\n"
	"_start:\n"
	"	mov $stack + 16384, %esp\n"
	"	call measure\n"
	"	.text\n");

static void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "d"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "d"(port));
}

static void write_msr(uint32_t msr, uint32_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"(value), "d"(0) : "memory");
}

static uint32_t read_tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low;
}

static uint32_t post(void)
{
	uint32_t status = POST_MESSAGE, high = 0;

	asm volatile("call *%[page]"
		     : "+a"(status), "+d"(high)
		     : [page] "r"(hypercall_page), "b"(0), "c"(&input), "D"(0), "S"(0)
		     : "memory");
	return status;
}

static void print(const char *text)
{
	while (*text)
		out8(DEBUG_CONSOLE, *text++);
}

static void print_number(uint32_t number)
{
	if (number >= 10)
		print_number(number / 10);
	out8(DEBUG_CONSOLE, '0' + number % 10);
}

/* From here on there is no way back. */
static __attribute__((noreturn)) void end(uint8_t status)
{
	out8(DEBUG_EXIT, status);
	for (;;)
		asm volatile("cli; hlt");
}

/* A post, until it is back.  The device may be busy with the one before. */
static uint32_t echo(uint8_t number)
{
	volatile struct message *slot = &slots[SINT];
	uint32_t start, instructions, status;

	input.payload[0] = number;
	start = read_tsc();
	do
		status = post();
	while (status == INSUFFICIENT_BUFFERS);
	if (status) {
		print("status of a post: ");
		print_number(status);
		print("\n");
		end(EXIT_BAD);
	}
	while (!slot->type)
		asm volatile("pause");
	instructions = read_tsc() - start;
	if (slot->type != 1 || slot->size != SIZE || slot->payload[0] != number) {
		print("not the message that was posted\n");
		end(EXIT_BAD);
	}
	slot->type = 0;
	write_msr(MSR_EOM, 0);
	return instructions;
}

static void sort(uint32_t *at, unsigned int count)
{
	unsigned int i, j;

	for (i = 1; i < count; i++) {
		uint32_t moved = at[i];

		for (j = i; j && at[j - 1] > moved; j--)
			at[j] = at[j - 1];
		at[j] = moved;
	}
}

void measure(void)
{
	unsigned int i;

	write_msr(MSR_GUEST_OS_ID, 1);
	write_msr(MSR_HYPERCALL, (uint32_t)hypercall_page | 1);
	write_msr(MSR_SIMP, (uint32_t)slots | 1);
	write_msr(MSR_SINT0 + SINT, VECTOR);
	write_msr(MSR_SCONTROL, 1);
	out32(TESTDEV, TESTDEV_DO(TESTDEV_ROUTE, SINT));
	out32(TESTDEV, TESTDEV_DO(TESTDEV_CONNECTION, SINT) | CONNECTION << 24);

	input.connection = CONNECTION;
	input.type = 1;
	input.size = SIZE;
	for (i = 0; i < BENCH_ROUNDS; i++)
		cost[i] = echo(i);
	sort(cost + BENCH_WARM_UP, BENCH_CALLS);
	print("case post_qemu ");
	print_number(cost[BENCH_WARM_UP + BENCH_CALLS / 2]);
	print(" ");
	print_number(BENCH_CALLS);
	print("\n");
	end(EXIT_GOOD);
}
