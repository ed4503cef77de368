/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Means of fault_test: the nth allocation or copy that a thread has the kernel
 * make fails, and which of the module's own it was
 *
 * The places where the module calls something that can fail are listed by
 * fault_sites, and watched by the kernel module fault_watch: it tells what each call
 * has returned.  So a place counts as failed when hv_postmsg was told so, whatever
 * the reason.
 */
#ifndef SELFTESTS_FAULT_H
#define SELFTESTS_FAULT_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hvpm_test.h"

#define SITES_FILE	"hv_postmsg.sites"
#define DEBUGFS		"/sys/kernel/debug/"
#define WATCH		DEBUGFS "fault_watch/"
#define WATCH_FILE	"fault_watch.ko"

#define MAX_SITES	64

/* A set of sites, by number. */
typedef uint64_t sites_t;

/**
 * struct site - a call in the module that can fail
 *
 * @symbol: the function
 * @offset: behind the call
 * @where: in which register it returns
 * @failure: what it returns then, as fault_sites has it
 * @callee: what is called
 * @source: from where
 * @exempt: "exempt" if it need not fail
 * @failed: how often it failed
 */
struct site {
	char symbol[80];
	char offset[16];
	char where[4];
	char failure[8];
	char callee[48];
	char source[192];
	char exempt[8];
	unsigned long failed;
};

/**
 * struct faults - what all cases, which are processes, have in common
 *
 * @nr_sites: how many
 * @sites: the sites
 * @memory: those that fail for lack of memory
 * @injected: faults injected by number
 */
struct faults {
	unsigned int nr_sites;
	struct site sites[MAX_SITES];
	sites_t memory;
	unsigned long injected;
};

extern struct faults *faults;

/* --- files of the kernel's --- */

static inline bool __write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_APPEND);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

static inline void write_file(const char *path, const char *text)
{
	TEST_ASSERT(__write_file(path, text), "%s to %s: %s", text, path,
		    strerror(errno));
}

/* --- sites --- */

static inline void read_sites(void)
{
	FILE *file = fopen(SITES_FILE, "r");
	struct site *site;

	TEST_ASSERT(file, "%s: %s", SITES_FILE, strerror(errno));
	for (;;) {
		TEST_ASSERT(faults->nr_sites < MAX_SITES, "more sites than %u",
			    MAX_SITES);
		site = &faults->sites[faults->nr_sites];
		if (fscanf(file, "%79s %15s %3s %7s %47s %191s %7s",
			   site->symbol, site->offset, site->where,
			   site->failure, site->callee, site->source,
			   site->exempt) != 7)
			break;
		if (strcmp(site->failure, "some") && strcmp(site->failure, "none") &&
		    strcmp(site->failure, "-14"))
			faults->memory |= 1ULL << faults->nr_sites;
		faults->nr_sites++;
	}
	TEST_ASSERT(feof(file) && faults->nr_sites, "%s: site %u makes no sense",
		    SITES_FILE, faults->nr_sites);
	fclose(file);
}

static inline void watch_sites(void)
{
	int fd = open(WATCH_FILE, O_RDONLY | O_CLOEXEC);
	const struct site *site;
	char text[128];
	unsigned int i;

	/* What a run left that was killed. */
	syscall(SYS_delete_module, "fault_watch", O_NONBLOCK);
	TEST_ASSERT(fd >= 0 && !syscall(SYS_finit_module, fd, "", 0),
		    WATCH_FILE ": %s", strerror(errno));
	close(fd);
	for (i = 0; i < faults->nr_sites; i++) {
		site = &faults->sites[i];
		snprintf(text, sizeof(text), "%s %s %s %s", site->symbol,
			 site->offset, site->where, site->failure);
		write_file(WATCH "sites", text);
	}
}

static inline void unwatch_sites(void)
{
	TEST_ASSERT(!syscall(SYS_delete_module, "fault_watch", O_NONBLOCK),
		    "fault_watch: %s", strerror(errno));
}

static inline sites_t read_set(const char *path)
{
	FILE *file = fopen(path, "r");
	sites_t set;

	TEST_ASSERT(file && fscanf(file, "%lu", &set) == 1, "%s: %s", path,
		    strerror(errno));
	fclose(file);
	return set;
}

/* The sites that have failed since this was last called; counts them. */
static inline sites_t failed_sites(void)
{
	sites_t failed = read_set(WATCH "failed");
	unsigned int i;

	for (i = 0; i < faults->nr_sites; i++)
		if (failed >> i & 1)
			__atomic_add_fetch(&faults->sites[i].failed, 1,
					   __ATOMIC_RELAXED);
	return failed;
}

/* The sites that were come by. */
static inline sites_t visited_sites(void)
{
	return read_set(WATCH "came");
}

/* What fail-nth was for the thread that last came by each. */
static inline void read_left(unsigned int left[MAX_SITES])
{
	FILE *file = fopen(WATCH "left", "r");
	unsigned int i;

	TEST_ASSERT(file, WATCH "left: %s", strerror(errno));
	for (i = 0; i < MAX_SITES; i++)
		TEST_ASSERT(fscanf(file, "%u", &left[i]) == 1,
			    WATCH "left has no number %u", i);
	fclose(file);
}

/* All sites in functions or files whose name begins so. */
static inline sites_t sites_of(const char *callee, const char *source)
{
	sites_t found = 0;
	unsigned int i;

	for (i = 0; i < faults->nr_sites; i++)
		if (!strncmp(faults->sites[i].callee, callee, strlen(callee)) &&
		    !strncmp(faults->sites[i].source, source, strlen(source)))
			found |= 1ULL << i;
	TEST_ASSERT(found, "no call of %s in %s", callee, source);
	return found;
}

/* --- faults --- */

static __thread int fail_nth = -1;
static __thread bool armed;

/* The nth fault point that this thread comes by from here on fails; 0 for none. */
static inline void arm(unsigned int nth)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%u", nth);

	if (fail_nth < 0)
		fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	TEST_ASSERT(pwrite(fail_nth, text, size, 0) == size, "fail-nth: %s",
		    strerror(errno));
	armed = nth;
}

/*
 * No more; returns how many fault points were left until then, 0 if it has failed.
 * The copies made here are fault points, too.
 */
static inline unsigned int disarm_early(void)
{
	char text[16] = "";
	unsigned int left = 1;

	if (pread(fail_nth, text, sizeof(text) - 1, 0) > 0)
		left = atoi(text);
	while (pwrite(fail_nth, "0", 1, 0) != 1)
		;
	if (!armed)
		return 1;
	armed = false;
	if (!left)
		__atomic_add_fetch(&faults->injected, 1, __ATOMIC_RELAXED);
	return left;
}

/* The same; returns whether it has failed. */
static inline bool disarm(void)
{
	return !disarm_early();
}

/*
 * From here on all that this thread asks of slab caches, behind the first @given
 * bytes, or of pages, behind the first @given, or of both, is refused.
 */
static inline void __refuse(bool slabs, bool pages, unsigned int given)
{
	static int make_it_fail = -1;
	char text[16];

	if (make_it_fail < 0)
		make_it_fail = open("/proc/thread-self/make-it-fail",
				    O_RDWR | O_CLOEXEC);
	TEST_ASSERT(make_it_fail >= 0 && pwrite(make_it_fail, "0", 1, 0) == 1,
		    "make-it-fail: %s", strerror(errno));

	snprintf(text, sizeof(text), "%u", given);
	write_file(DEBUGFS "failslab/space", text);
	write_file(DEBUGFS "fail_page_alloc/space", text);
	write_file(DEBUGFS "failslab/probability", slabs ? "100" : "0");
	write_file(DEBUGFS "fail_page_alloc/probability", pages ? "100" : "0");
	if (slabs || pages)
		TEST_ASSERT(pwrite(make_it_fail, "1", 1, 0) == 1,
			    "make-it-fail: %s", strerror(errno));
}

static inline void refuse_memory(void)
{
	__refuse(true, true, 0);
}

static inline void refuse_slabs(unsigned int given)
{
	__refuse(true, false, given);
}

static inline void refuse_pages(unsigned int given)
{
	__refuse(false, true, given);
}

static inline void refuse_nothing(void)
{
	__refuse(false, false, 0);
}

/* What all of that opens is not among the files that a call leaves behind. */
static inline void open_faults(void)
{
	arm(0);
	refuse_nothing();
}

static inline void set_attributes(void)
{
	static const char *const kinds[] = {
		"failslab", "fail_page_alloc", "fail_usercopy",
	};
	char path[128];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/verbose", kinds[i]);
		write_file(path, "0");
		snprintf(path, sizeof(path), DEBUGFS "%s/times", kinds[i]);
		write_file(path, "-1");
		snprintf(path, sizeof(path), DEBUGFS "%s/task-filter", kinds[i]);
		write_file(path, "Y");
	}
	/* Whatever may wait for memory is where most of the module's is from. */
	write_file(DEBUGFS "failslab/ignore-gfp-wait", "N");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
	write_file(DEBUGFS "fail_page_alloc/min-order", "0");
}

/* --- accounts --- */

static inline unsigned int module_users(void)
{
	FILE *file = fopen("/sys/module/hv_postmsg/refcnt", "r");
	unsigned int users;

	TEST_ASSERT(file && fscanf(file, "%u", &users) == 1, "no refcnt");
	fclose(file);
	return users;
}

#endif /* SELFTESTS_FAULT_H */
