// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits: what an unprivileged process can make the host spend.
 *
 * It gets the device's open file and is put into a cgroup of its own.  Whatever it
 * makes is charged there, ends with what that cgroup or its open files may be, and
 * goes when it goes; nobody else is refused anything, and the log stays as it is.
 */
#include <ctype.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "patience.h"
#include "kselftest_harness.h"
#include "plain.h"

#define CGROUPS		"/tmp/limits_test.cgroup"
#define GROUP		CGROUPS "/greedy"
#define TRACING		"/sys/kernel/tracing/instances/limits_test"
#define NOBODY		65534

#define KB		1024L
#define MB		(1024 * KB)
#define PAGE		4096L

/* What a process may have open here: not what stops it, unless a case says so. */
#define OPEN_FILES	20000

/* SINT of ports that have a VP for target. */
#define SINT		2

/* --- files of the kernel's --- */

static int read_file(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	do {
		used += n;
		n = read(fd, text + used, room - 1 - used);
	} while (n > 0);
	text[used] = 0;
	close(fd);
	return n < 0 ? -errno : 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int write_number(const char *path, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	return write_file(path, text);
}

/* The number behind @name at the beginning of a line, or -1. */
static long number_in(const char *path, const char *name)
{
	static char text[16384];
	const char *line = text;

	if (read_file(path, text, sizeof(text)))
		return -1;
	while (line) {
		if (!strncmp(line, name, strlen(name)) &&
		    !isalnum(line[strlen(name)]) && line[strlen(name)] != '_')
			return strtol(line + strlen(name) + strspn(line + strlen(name), ": "),
				      NULL, 10);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return -1;
}

/* The number that is all of a file, or -1. */
static long number_of(const char *path)
{
	char text[64];

	return read_file(path, text, sizeof(text)) ? -1 : strtol(text, NULL, 10);
}

/* A kernel that keeps books of its own on each allocation, and what was freed. */
static bool has_checks(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK) ||
	       !access("/sys/kernel/debug/kcsan", F_OK);
}

/* --- the process in its cgroup --- */

/**
 * struct greed - what is shared with the process in the cgroup
 *
 * @device: the device, opened by somebody who may
 * @done: an eventfd: a step is done.  Unlike others it takes no memory to write to
 * @go_on: an eventfd: the next one may begin
 * @tracing_on: switch of the kernel's trace
 * @made: what it has made before it was refused something
 * @refused: what it was refused with
 * @failed: the line in this file where something went wrong that must not
 * @value: what went wrong there
 */
struct greed {
	int device;
	int done;
	int go_on;
	int tracing_on;
	unsigned int made;
	int refused;
	int failed;
	int value;
};

FIXTURE(limits)
{
	struct greed *greed;
	pid_t child;
};

/* A process that was killed is in it for a moment. */
static int remove_group(void)
{
	unsigned int i;

	for (i = 0; rmdir(GROUP) && errno == EBUSY && i < PLAIN_PATIENCE_MS; i += 10)
		plain_sleep_ms(10);
	return access(GROUP, F_OK) ? 0 : -EBUSY;
}

FIXTURE_SETUP(limits)
{
	const int shared = MAP_SHARED | MAP_ANONYMOUS;

	ASSERT_EQ(0, geteuid());
	self->child = 0;
	self->greed = mmap(NULL, sizeof(*self->greed), PROT_READ | PROT_WRITE, shared, -1, 0);
	ASSERT_NE(MAP_FAILED, self->greed);
	memset(self->greed, 0, sizeof(*self->greed));
	self->greed->device = plain_open();
	ASSERT_LE(0, self->greed->device);
	self->greed->done = eventfd(0, EFD_CLOEXEC);
	self->greed->go_on = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, self->greed->done);
	ASSERT_LE(0, self->greed->go_on);

	mkdir(CGROUPS, 0755);
	if (access(CGROUPS "/cgroup.procs", F_OK))
		ASSERT_EQ(0, mount("cgroup2", CGROUPS, "cgroup2", 0, NULL));
	ASSERT_EQ(0, write_file(CGROUPS "/cgroup.subtree_control", "+memory"));
	/* It may be that of a case which has failed. */
	remove_group();
	ASSERT_EQ(0, mkdir(GROUP, 0755));
}

static void end_child(struct _test_data_limits *self)
{
	if (!self->child)
		return;
	kill(self->child, SIGKILL);
	waitpid(self->child, NULL, 0);
	self->child = 0;
}

FIXTURE_TEARDOWN(limits)
{
	end_child(self);
	EXPECT_EQ(0, remove_group());
}

/* A step of the process is done: say so, and wait for the word to go on. */
static void step(struct greed *greed)
{
	__u64 word = 1;

	if (write(greed->done, &word, sizeof(word)) != sizeof(word) ||
	    read(greed->go_on, &word, sizeof(word)) != sizeof(word))
		_exit(1);
}

/* Wait for the process to do its step; false if it ends instead. */
static bool wait_for_step(struct _test_data_limits *self, int *status)
{
	struct pollfd done = { .fd = self->greed->done, .events = POLLIN };
	__u64 word;

	while (poll(&done, 1, 100) <= 0)
		if (waitpid(self->child, status, WNOHANG) == self->child) {
			self->child = 0;
			return false;
		}
	return read(done.fd, &word, sizeof(word)) == sizeof(word);
}

static void go_on(struct greed *greed)
{
	__u64 word = 1;

	if (write(greed->go_on, &word, sizeof(word)) != sizeof(word))
		abort();
}

/* In the process: what must not happen ends it. */
#define MUST(greed, condition, result) do {				\
	if (!(condition)) {						\
		(greed)->value = (result);				\
		(greed)->failed = __LINE__;				\
		_exit(1);						\
	}								\
} while (0)

/*
 * Have an unprivileged process do @work in the cgroup, up to its first step().
 * With @stubborn the kernel does not kill it for memory.
 */
static void enter(struct __test_metadata *_metadata, struct _test_data_limits *self,
		  void (*work)(struct greed *greed), bool stubborn)
{
	const struct rlimit files = { OPEN_FILES, OPEN_FILES };
	struct stat kvm;
	int status;

	ASSERT_EQ(0, stat("/dev/kvm", &kvm));
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		MUST(self->greed, !write_file(GROUP "/cgroup.procs", "0"), errno);
		MUST(self->greed, !setrlimit(RLIMIT_NOFILE, &files), errno);
		MUST(self->greed, !write_file("/proc/self/oom_score_adj",
					      stubborn ? "-1000" : "0"), errno);
		MUST(self->greed, !setresgid(kvm.st_gid, kvm.st_gid, kvm.st_gid), errno);
		MUST(self->greed, !setresuid(NOBODY, NOBODY, NOBODY), errno);
		MUST(self->greed, !prctl(PR_SET_PDEATHSIG, SIGKILL), errno);
		work(self->greed);
		_exit(0);
	}
	ASSERT_TRUE(wait_for_step(self, &status))
		TH_LOG("status %x, line %d, value %d", status, self->greed->failed,
		       self->greed->value);
}

/* The word to go on; the process does its next step. */
#define GO_ON() do {							\
	int _status;							\
									\
	go_on(self->greed);						\
	ASSERT_TRUE(wait_for_step(self, &_status))			\
		TH_LOG("status %x, line %d, value %d", _status,	\
		       self->greed->failed, self->greed->value);	\
} while (0)

/* --- what memory is in use --- */

/**
 * struct use - memory in use, in bytes
 *
 * @charged: of the kernel's, charged to the cgroup
 * @host: of the host's, by all
 */
struct use {
	long charged;
	long host;
};

/*
 * What was freed and is kept for the next allocation goes back to the host.  Nobody is
 * charged for it.
 */
static void shrink_slabs(void)
{
	struct dirent *entry;
	char path[512];
	DIR *slabs = opendir("/sys/kernel/slab");

	while (slabs && (entry = readdir(slabs))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		if (entry->d_name[0] != '.')
			write_file(path, "1");
	}
	if (slabs)
		closedir(slabs);
}

/* Those a CPU keeps at hand are free, too; meminfo does not count them. */
static long free_pages(void)
{
	static char text[65536];
	const char *word = text;
	long pages = 0;

	write_file("/proc/sys/vm/stat_refresh", "1");
	if (read_file("/proc/zoneinfo", text, sizeof(text)))
		return -1;
	for (word = text; word; word = strchr(word, '\n')) {
		word += strspn(word, "\n ");
		if (!strncmp(word, "nr_free_pages ", 14) || !strncmp(word, "count: ", 7))
			pages += strtol(strchr(word, ' '), NULL, 10);
	}
	return pages;
}

static void read_use(struct use *use)
{
	/* There nothing is said of the host, and KASAN looks through all it keeps back. */
	if (!has_checks())
		shrink_slabs();
	use->charged = number_in(GROUP "/memory.stat", "kernel");
	use->host = -free_pages() * PAGE;
}

/* Counters of a cgroup are gathered now and then, memory is freed by and by. */
static void read_settled_use(struct use *use)
{
	struct use last;
	unsigned int same = 0, i;

	read_use(use);
	for (i = 0; same < 4 && i < PLAIN_PATIENCE_MS / 500; i++) {
		last = *use;
		plain_sleep_ms(500);
		read_use(use);
		same = labs(use->charged - last.charged) < 64 * KB ? same + 1 : 0;
	}
}

/*
 * What is freed behind RCU is gone in the end: 6.1 lets a few objects lie for five
 * seconds.
 */
static void read_use_below(struct use *use, long charged, long host)
{
	unsigned int i;

	/* There nothing is said of the host. */
	if (has_checks())
		host = LONG_MAX;
	read_use(use);
	for (i = 0; i < PLAIN_PATIENCE_MS / 500; i++) {
		if (use->charged < charged && use->host < host)
			break;
		plain_sleep_ms(500);
		read_use(use);
	}
}

/* --- what the process makes --- */

/* A VM whose VPs never run. */
struct idle_vm {
	int vm;
	int vcpu[3];
	int partition;
};

static void set_msr(struct greed *greed, int vcpu, __u32 index, __u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry = { .index = index, .data = value },
	};

	MUST(greed, ioctl(vcpu, KVM_SET_MSRS, &msrs) == 1, errno);
}

/* Their SynICs and SIM pages are enabled, so they take messages. */
static void make_idle_vm(struct greed *greed, struct idle_vm *idle)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC2 };
	unsigned int i;

	idle->vm = plain_new_vm();
	MUST(greed, idle->vm >= 0, idle->vm);
	for (i = 0; i < ARRAY_SIZE(idle->vcpu); i++) {
		idle->vcpu[i] = plain_vcpu(idle->vm, i);
		MUST(greed, idle->vcpu[i] >= 0, idle->vcpu[i]);
		MUST(greed, !ioctl(idle->vcpu[i], KVM_ENABLE_CAP, &cap), errno);
		set_msr(greed, idle->vcpu[i], 0x40000083, 0x10001);
		set_msr(greed, idle->vcpu[i], 0x40000080, 1);
	}
}

static void attach_idle_vm(struct greed *greed, struct idle_vm *idle)
{
	idle->partition = plain_partition(greed->device, 0, idle->vm);
	MUST(greed, idle->partition >= 0, idle->partition);
}

static int vp_port(int partition, __u32 id, __u32 buffers)
{
	struct hv_postmsg_create_port args = {
		.size = sizeof(args),
		.port_id = id,
		.type = HV_POSTMSG_PORT_MESSAGE,
		.sint = SINT,
		.endpoint_fd = -1,
		.buffers = buffers,
	};

	return plain_ioctl(partition, HV_POSTMSG_CREATE_PORT, &args);
}

/* --- every allocation is charged --- */

static void trace(struct greed *greed, bool on)
{
	MUST(greed, write(greed->tracing_on, on ? "1" : "0", 1) == 1, errno);
}

#define TRACED(call) ({							\
	int _ret;							\
									\
	trace(greed, true);						\
	_ret = (call);							\
	trace(greed, false);						\
	MUST(greed, _ret >= 0, _ret);					\
	_ret;								\
})

/* Everything once that takes memory. */
static void tour(struct greed *greed)
{
	struct hv_postmsg_message message;
	struct hv_postmsg_partition_stats stats;
	struct idle_vm idle;
	int host, endpoint, port;

	make_idle_vm(greed, &idle);
	host = TRACED(plain_host(greed->device));
	idle.partition = TRACED(plain_partition(greed->device, 0, idle.vm));
	endpoint = TRACED(plain_endpoint(host, 0));
	TRACED(plain_endpoint_port(host, 1, endpoint, 0, 0));
	TRACED(plain_endpoint_port(host, 2, endpoint, 64, HV_POSTMSG_PORT_SHARED));
	TRACED(plain_vp_port(host, 3, HV_POSTMSG_PORT_EVENT, 0, SINT) + EOPNOTSUPP);
	TRACED(vp_port(idle.partition, 1, 1));
	TRACED(plain_vp_port(idle.partition, 2, HV_POSTMSG_PORT_EVENT, 0, SINT));
	port = TRACED(plain_port_fd(host, 1));
	TRACED(plain_connect(idle.partition, 1, port, 0));
	TRACED(plain_link(host, 1, idle.partition, 1));
	TRACED(plain_post_word(idle.partition, 1, 1));
	TRACED(plain_post_word(host, 1, 1));
	TRACED(plain_post_word(host, 1, 2));
	TRACED(plain_partition_stats(host, &stats));
	TRACED(plain_read(endpoint, &message));
	TRACED(plain_reset_vp(idle.partition, 0));
	TRACED(plain_disconnect(host, 1));
	TRACED(plain_delete_port(idle.partition, 1));
	TRACED(close(endpoint));
	TRACED(close(idle.partition));
	TRACED(close(host));
	close(port);
}

/*
 * What the kernel does not charge, whoever it works for: its own books on the
 * memory it hands out, kmemleak's too, and on open files, and once for each address
 * space the head of its list of notifiers.
 */
static bool is_bookkeeping(const char *line)
{
	static const char *const names[] = {
		"memcg_alloc_slab_cgroups", "alloc_slab_obj_exts",
		"pcpu_", "__mmu_notifier_register",
		"security_file_alloc", "__create_object", "__alloc_object",
	};
	const char *site = strstr(line, "call_site=");
	unsigned int i;

	for (i = 0; site && i < ARRAY_SIZE(names); i++)
		if (!strncmp(site + strlen("call_site="), names[i], strlen(names[i])))
			return true;
	return false;
}

/* Softirqs and interrupts work for anybody. */
static bool in_interrupt(const char *line)
{
	const char *flags = strchr(line, ']');

	return flags && strpbrk(flags + 2, "hHs ") < strchr(flags + 2, ' ');
}

static bool is_charged(const char *line)
{
	return strstr(line, "accounted=true") || strstr(line, "GFP_KERNEL_ACCOUNT") ||
	       strstr(line, "__GFP_ACCOUNT");
}

TEST_F(limits, every_allocation_is_charged)
{
	static const char *const events[] = {
		"kmem/kmalloc", "kmem/kmem_cache_alloc", "percpu/percpu_alloc_percpu",
	};
	unsigned int ours = 0, i;
	char path[128], line[1024];
	FILE *file;

	mkdir(TRACING, 0755);
	self->greed->tracing_on = open(TRACING "/tracing_on", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, self->greed->tracing_on);
	trace(self->greed, false);
	ASSERT_EQ(0, write_file(TRACING "/trace", ""));
	ASSERT_EQ(0, write_number(TRACING "/buffer_size_kb", 4096));
	ASSERT_EQ(0, write_number(TRACING "/set_event_pid", getpid()));
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(path, sizeof(path), TRACING "/events/%s/enable", events[i]);
		ASSERT_EQ(0, write_file(path, "1")) TH_LOG("%s", path);
	}
	tour(self->greed);

	file = fopen(TRACING "/trace", "re");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, "call_site=") || in_interrupt(line))
			continue;
		ours += !!strstr(line, "[hv_postmsg]");
		EXPECT_TRUE(is_charged(line) || is_bookkeeping(line))
			TH_LOG("%s", line);
	}
	fclose(file);
	close(self->greed->tracing_on);
	ASSERT_EQ(0, rmdir(TRACING));
	/*
	 * At least the host's partition, counters, VPs, endpoint, connections.  What may
	 * be large, as a VM's partition, a function of the kernel's own allocates.
	 */
	EXPECT_LE(7, ours);
	TH_LOG("%u allocations of the module's own", ours);
}

/* --- what is charged is what is used --- */

static int new_host(struct greed *greed)
{
	int host = plain_host(greed->device);

	MUST(greed, host >= 0, host);
	return host;
}

static int new_endpoint(struct greed *greed, int host)
{
	int endpoint = plain_endpoint(host, 0);

	MUST(greed, endpoint >= 0, endpoint);
	return endpoint;
}

/* Each makes number @i of its kind: 0 or more, or -errno. */
typedef int (make_t)(struct greed *greed, unsigned int i);

static int make_partition(struct greed *greed, unsigned int i)
{
	return plain_host(greed->device);
}

/* Kmalloc has a cache for the small ones; pages are charged in another way. */
static int make_port(struct greed *greed, unsigned int i)
{
	static int host, endpoint;

	if (!i) {
		host = new_host(greed);
		endpoint = new_endpoint(greed, host);
	}
	return plain_endpoint_port(host, i, endpoint, i % 2 ? 16 : 64, 0);
}

static int make_connection(struct greed *greed, unsigned int i)
{
	static int from, port = -1;
	int to, endpoint, ret;

	/* Below the limits of who connects and of who is connected to. */
	if (i % 50000 == 0) {
		close(port);
		from = plain_host(greed->device);
		if (from < 0)
			return from;
		to = plain_host(greed->device);
		if (to < 0)
			return to;
		endpoint = plain_endpoint(to, 0);
		if (endpoint < 0)
			return endpoint;
		ret = plain_endpoint_port(to, 1, endpoint, 1, HV_POSTMSG_PORT_SHARED);
		if (ret)
			return ret;
		port = plain_port_fd(to, 1);
		if (port < 0)
			return port;
	}
	return plain_connect(from, i, port, 0);
}

static int make_endpoint(struct greed *greed, unsigned int i)
{
	static int host;

	if (i % 64 == 0) {
		host = plain_host(greed->device);
		if (host < 0)
			return host;
	}
	return plain_endpoint(host, 0);
}

/**
 * struct kind - a kind of thing that takes memory
 *
 * @name: what it is called
 * @make: makes one
 * @count: so many are to be seen in the cgroup's memory, fewer on a slow kernel
 * @bytes: so much one of them takes at least
 */
static const struct kind {
	const char *name;
	make_t *make;
	unsigned int count;
	unsigned int bytes;
} kinds[] = {
	{ "partitions", make_partition, 4000, 1000 },
	{ "ports", make_port, 2000, 40 * 256 },
	{ "connections", make_connection, 60000, 100 },
	{ "endpoints", make_endpoint, 6000, 600 },
};

static const struct kind *kind;

static void make_many(struct greed *greed)
{
	unsigned int i;
	int ret;

	step(greed);
	for (i = 0; i < fewer(kind->count); i++) {
		ret = kind->make(greed, i);
		MUST(greed, ret >= 0, ret);
	}
	step(greed);
}

/* What others may take or give meanwhile. */
#define NOISE	(1 * MB)

static void check_charge(struct __test_metadata *_metadata, struct _test_data_limits *self,
			 unsigned int which)
{
	struct use before, after, end;
	long charged, used;

	kind = &kinds[which];
	enter(_metadata, self, make_many, false);
	read_settled_use(&before);
	GO_ON();
	read_settled_use(&after);
	charged = after.charged - before.charged;
	used = after.host - before.host;
	end_child(self);
	read_use_below(&end, NOISE, before.host + charged / 2 + NOISE);
	TH_LOG("%u %s: %ld KB charged, %ld KB used, %ld KB and %ld KB at their end",
	       fewer(kind->count), kind->name, charged / KB, used / KB,
	       end.charged / KB, (end.host - before.host) / KB);

	EXPECT_LE((long)fewer(kind->count) * kind->bytes, charged);
	EXPECT_GT(NOISE, end.charged);
	if (has_checks())
		return;
	EXPECT_GT(charged + NOISE, used);
	/* What is left are pages of counters of each CPU, kept for the next. */
	EXPECT_GT(charged / 2 + NOISE, end.host - before.host);
}

TEST_F_TIMEOUT(limits, partitions_are_charged, 120)
{
	check_charge(_metadata, self, 0);
}

TEST_F_TIMEOUT(limits, ports_are_charged, 120)
{
	check_charge(_metadata, self, 1);
}

TEST_F_TIMEOUT(limits, connections_are_charged, 120)
{
	check_charge(_metadata, self, 2);
}

TEST_F_TIMEOUT(limits, endpoints_are_charged, 120)
{
	check_charge(_metadata, self, 3);
}

/* --- at the cgroup's limit --- */

#define LIMIT	((long)fewer(12 * MB))

static void make_until_refused(struct greed *greed)
{
	int ret = 0;

	step(greed);
	for (greed->made = 0; ret >= 0; greed->made++)
		ret = kind->make(greed, greed->made);
	greed->refused = ret;
	step(greed);
}

/* Somebody else, outside of the cgroup, makes one of each and uses them. */
static void check_others(struct __test_metadata *_metadata, int device)
{
	int host = plain_host(device);
	int endpoint, i;

	ASSERT_LE(0, host);
	endpoint = plain_endpoint(host, 0);
	ASSERT_LE(0, endpoint);
	ASSERT_EQ(0, plain_endpoint_port(host, 1, endpoint, 64, 0));
	ASSERT_EQ(0, plain_link(host, 1, host, 1));
	for (i = 0; i < 64; i++)
		ASSERT_EQ(HV_STATUS_SUCCESS, plain_post_word(host, 1, i));
	for (i = 0; i < 64; i++)
		ASSERT_EQ(i, plain_read_word(endpoint));
	close(endpoint);
	close(host);
}

/* Each kind of thing is refused with ENOMEM, and to nobody else. */
TEST_F_TIMEOUT(limits, refused_at_the_limit, 240)
{
	struct use use;

	ASSERT_EQ(0, write_number(GROUP "/memory.max", LIMIT));
	for (kind = kinds; kind < kinds + ARRAY_SIZE(kinds); kind++) {
		enter(_metadata, self, make_until_refused, true);
		GO_ON();
		TH_LOG("%u %s, then errno %d", self->greed->made, kind->name,
		       -self->greed->refused);
		EXPECT_EQ(-ENOMEM, self->greed->refused);
		EXPECT_GE(LIMIT / kind->bytes, self->greed->made);
		check_others(_metadata, self->greed->device);
		end_child(self);
		read_use_below(&use, NOISE, LONG_MAX);
		EXPECT_GT(NOISE, use.charged);
	}
	EXPECT_EQ(0, number_in(GROUP "/memory.events", "oom_kill"));
}

/* Or its maker is killed, and with it goes all that it has made. */
TEST_F_TIMEOUT(limits, killed_at_the_limit, 240)
{
	struct use use;
	int status;

	ASSERT_EQ(0, write_number(GROUP "/memory.max", LIMIT));
	for (kind = kinds; kind < kinds + ARRAY_SIZE(kinds); kind++) {
		enter(_metadata, self, make_until_refused, false);
		go_on(self->greed);
		ASSERT_FALSE(wait_for_step(self, &status));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			TH_LOG("%s: status %x after %u, errno %d", kind->name, status,
			       self->greed->made, -self->greed->refused);
		EXPECT_LE(kind - kinds + 1,
			  number_in(GROUP "/memory.events", "oom_kill"));
		check_others(_metadata, self->greed->device);
		read_use_below(&use, NOISE, LONG_MAX);
		EXPECT_GT(NOISE, use.charged);
	}
}

/* --- at the limit of open files --- */

static void make_beyond_open_files(struct greed *greed)
{
	const struct rlimit files = { 64, 64 };
	unsigned int i;

	MUST(greed, !setrlimit(RLIMIT_NOFILE, &files), errno);
	step(greed);
	while ((greed->refused = plain_host(greed->device)) >= 0)
		greed->made++;
	/* What was made before there was no number for its file goes again. */
	for (i = 0; i < fewer(10000); i++)
		MUST(greed, plain_host(greed->device) == greed->refused, i);
	step(greed);
}

TEST_F_TIMEOUT(limits, no_more_partitions_than_open_files, 120)
{
	struct use before, after;

	enter(_metadata, self, make_beyond_open_files, false);
	read_settled_use(&before);
	GO_ON();
	EXPECT_EQ(-EMFILE, self->greed->refused);
	EXPECT_GT(64, self->greed->made);
	read_settled_use(&after);
	EXPECT_GT(before.charged + NOISE, after.charged);
}

/* --- connections to a port of somebody else's --- */

/* Whoever makes room in it may have to wake all who are connected. */
static void connect_to_one_port(struct greed *greed)
{
	int to = new_host(greed), endpoint = new_endpoint(greed, to);
	int first = new_host(greed), second = new_host(greed);
	unsigned int i;
	int port, ret;

	ret = plain_endpoint_port(to, 1, endpoint, 0, HV_POSTMSG_PORT_SHARED);
	MUST(greed, !ret, ret);
	port = plain_port_fd(to, 1);
	MUST(greed, port >= 0, port);
	step(greed);
	for (i = 0; i < 65536; i++) {
		ret = plain_connect(i % 2 ? first : second, i, port, 0);
		MUST(greed, !ret, ret);
	}
	ret = plain_connect(first, i, port, 0);
	MUST(greed, ret == -ENOSPC, ret);
	ret = plain_connect(to, i, port, HV_POSTMSG_CONNECT_SELF);
	MUST(greed, ret == -ENOSPC, ret);
	ret = plain_disconnect(second, 0);
	MUST(greed, !ret, ret);
	ret = plain_connect(first, i, port, 0);
	MUST(greed, !ret, ret);
	ret = plain_connect(second, i, port, 0);
	MUST(greed, ret == -ENOSPC, ret);
	step(greed);
}

TEST_F_TIMEOUT(limits, most_connections_of_a_port, 120)
{
	enter(_metadata, self, connect_to_one_port, false);
	GO_ON();
}

/* --- made and unmade, many times --- */

static void churn_partitions(struct greed *greed)
{
	unsigned int i;

	step(greed);
	for (i = 0; i < fewer(20000); i++)
		close(new_host(greed));
	step(greed);
}

static void churn_connections(struct greed *greed)
{
	int host = new_host(greed), endpoint = new_endpoint(greed, host);
	unsigned int i;
	int port, ret;

	ret = plain_endpoint_port(host, 1, endpoint, 0, 0);
	MUST(greed, !ret, ret);
	port = plain_port_fd(host, 1);
	MUST(greed, port >= 0, port);
	step(greed);
	for (i = 0; i < fewer(100000); i++) {
		ret = plain_connect(host, i, port, HV_POSTMSG_CONNECT_SELF);
		MUST(greed, !ret, ret);
		ret = plain_disconnect(host, i);
		MUST(greed, !ret, ret);
	}
	step(greed);
}

static void churn_endpoints(struct greed *greed)
{
	int host = new_host(greed);
	unsigned int i;

	step(greed);
	for (i = 0; i < fewer(20000); i++)
		close(new_endpoint(greed, host));
	step(greed);
}

/* Post until the port, which has @buffers, is full. */
static void fill_port(struct greed *greed, int from, unsigned int buffers)
{
	unsigned int i;
	int status;

	for (i = 0; i < buffers; i++) {
		status = plain_post_word(from, 1, i);
		MUST(greed, status == HV_STATUS_SUCCESS, status);
	}
	status = plain_post_word(from, 1, i);
	MUST(greed, status == HV_STATUS_INSUFFICIENT_BUFFERS, status);
}

static void churn_ports_of_an_idle_vp(struct greed *greed)
{
	int host = new_host(greed);
	struct idle_vm idle;
	unsigned int i;
	int ret;

	make_idle_vm(greed, &idle);
	attach_idle_vm(greed, &idle);
	step(greed);
	for (i = 0; i < fewer(2000); i++) {
		ret = vp_port(idle.partition, 1, 64);
		MUST(greed, !ret, ret);
		ret = plain_link(host, 1, idle.partition, 1);
		MUST(greed, !ret, ret);
		fill_port(greed, host, 64);
		ret = plain_disconnect(host, 1);
		MUST(greed, !ret, ret);
		ret = plain_delete_port(idle.partition, 1);
		MUST(greed, !ret, ret);
	}
	step(greed);
}

static void churn_attachments_of_an_idle_vp(struct greed *greed)
{
	int host = new_host(greed);
	struct idle_vm idle;
	unsigned int i;
	int ret;

	make_idle_vm(greed, &idle);
	step(greed);
	for (i = 0; i < fewer(500); i++) {
		attach_idle_vm(greed, &idle);
		ret = vp_port(idle.partition, 1, 64);
		MUST(greed, !ret, ret);
		ret = plain_link(host, 1, idle.partition, 1);
		MUST(greed, !ret, ret);
		fill_port(greed, host, 64);
		close(idle.partition);
		ret = plain_disconnect(host, 1);
		MUST(greed, !ret, ret);
	}
	step(greed);
}

/*
 * What it takes is given back, and what is on its way there is never much: in
 * the end @work has made and unmade several times @most.
 */
static void check_churn(struct __test_metadata *_metadata, struct _test_data_limits *self,
			void (*work)(struct greed *greed), long most)
{
	struct use before, after;
	long peak;

	enter(_metadata, self, work, false);
	read_settled_use(&before);
	GO_ON();
	peak = number_of(GROUP "/memory.peak");
	read_use_below(&after, before.charged + NOISE, before.host + 4 * NOISE);
	TH_LOG("at most %ld KB, in the end %ld KB charged, %ld KB used", peak / KB,
	       (after.charged - before.charged) / KB, (after.host - before.host) / KB);
	EXPECT_GT(before.charged + NOISE, after.charged);
	if (has_checks())
		return;
	EXPECT_GT(before.charged + most, peak);
	EXPECT_GT(before.host + 4 * NOISE, after.host);
}

TEST_F_TIMEOUT(limits, partitions_come_and_go, 120)
{
	check_churn(_metadata, self, churn_partitions, 8 * MB);
}

TEST_F_TIMEOUT(limits, connections_come_and_go, 120)
{
	check_churn(_metadata, self, churn_connections, 8 * MB);
}

TEST_F_TIMEOUT(limits, endpoints_come_and_go, 120)
{
	check_churn(_metadata, self, churn_endpoints, 8 * MB);
}

TEST_F_TIMEOUT(limits, ports_of_an_idle_vp_come_and_go, 240)
{
	check_churn(_metadata, self, churn_ports_of_an_idle_vp, 32 * MB);
}

TEST_F_TIMEOUT(limits, attachments_of_an_idle_vp_come_and_go, 240)
{
	check_churn(_metadata, self, churn_attachments_of_an_idle_vp, 16 * MB);
}

/* --- the log --- */

#define REFUSALS	2000

/*
 * Lines in the kernel's log behind where @log stands; those of ours in @ours.  Reports
 * of data races, between two lines of "=", are not counted: the lab judges them.
 */
static unsigned int count_lines(int log, unsigned int *ours)
{
	char record[8192];
	unsigned int lines = 0;
	bool report = false;
	ssize_t size;

	*ours = 0;
	for (;;) {
		size = read(log, record, sizeof(record) - 1);
		/* EPIPE: some were overwritten, so there were very many. */
		if (size < 0 && errno == EPIPE) {
			lines += REFUSALS;
			continue;
		}
		if (size <= 0)
			return lines;
		record[size] = 0;
		if (strstr(record, ";====="))
			report = !report;
		else if (!report)
			lines++;
		if (!report && strstr(record, "hv_postmsg"))
			++*ours;
	}
}

/* The file of a partition whose process has ended. */
static int dead_partition(struct greed *greed)
{
	int sockets[2], partition;
	pid_t child;

	MUST(greed, !socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), errno);
	child = fork();
	MUST(greed, child >= 0, errno);
	if (!child)
		_exit(plain_send_fd(sockets[1], new_host(greed)));
	partition = plain_receive_fd(sockets[0]);
	MUST(greed, partition >= 0, partition);
	waitpid(child, NULL, 0);
	close(sockets[0]);
	close(sockets[1]);
	return partition;
}

/*
 * Each way in which an ioctl, a post or a read can be refused; those that only a
 * guest can see are in flood_test.  The result is one of those expected.
 */
static void refuse_all(struct greed *greed)
{
	enum { NONE = 3, FULL, EVENT, NO_VP, NO_SYNIC };
	const struct rlimit none = { 0, OPEN_FILES };
	const struct rlimit all = { OPEN_FILES, OPEN_FILES };
	struct hv_postmsg_partition_stats stats;
	struct hv_postmsg_message message;
	int host = new_host(greed), other = new_host(greed), dead = dead_partition(greed);
	int endpoint = new_endpoint(greed, host), port, deleted;
	struct idle_vm idle;
	unsigned int i;
	__u64 value = 0;

	make_idle_vm(greed, &idle);
	set_msr(greed, idle.vcpu[1], 0x40000083, 0);
	attach_idle_vm(greed, &idle);
#define EXPECTED(result, call) do {					\
	int _ret = (call);						\
									\
	MUST(greed, _ret == (result), _ret);				\
} while (0)

	EXPECTED(0, plain_endpoint_port(host, 1, endpoint, 1, 0));
	EXPECTED(0, plain_endpoint_port(host, 2, endpoint, 1, 0));
	EXPECTED(0, plain_endpoint_port(host, 9, endpoint, 1, HV_POSTMSG_PORT_SHARED));
	EXPECTED(0, vp_port(idle.partition, FULL, 1));
	EXPECTED(0, plain_vp_port(idle.partition, EVENT, HV_POSTMSG_PORT_EVENT, 0, SINT));
	EXPECTED(0, plain_vp_port(idle.partition, NO_VP, HV_POSTMSG_PORT_MESSAGE, 99, SINT));
	EXPECTED(0, plain_vp_port(idle.partition, NO_SYNIC, HV_POSTMSG_PORT_MESSAGE, 1, SINT));
	EXPECTED(0, plain_link(host, EVENT, idle.partition, EVENT));
	EXPECTED(0, plain_link(host, FULL, idle.partition, FULL));
	EXPECTED(0, plain_link(host, NO_VP, idle.partition, NO_VP));
	EXPECTED(0, plain_link(host, NO_SYNIC, idle.partition, NO_SYNIC));
	EXPECTED(HV_STATUS_SUCCESS, plain_post_word(host, FULL, 1));
	EXPECTED(0, plain_link(other, 1, host, 1));
	EXPECTED(0, plain_link(other, 2, host, 2));
	port = plain_port_fd(host, 1);
	deleted = plain_port_fd(host, 2);
	EXPECTED(0, plain_delete_port(host, 2));
	MUST(greed, port >= 0 && deleted >= 0, port);
	EXPECTED(0, fcntl(endpoint, F_SETFL, O_NONBLOCK));
	step(greed);
	for (i = 0; i < fewer(REFUSALS); i++) {
		/* errnos */
		EXPECTED(-EINVAL, plain_partition(greed->device, 1U << 31, -1));
		EXPECTED(-EBADF, plain_partition(greed->device, 0, 9999));
		EXPECTED(-EBADFD, plain_partition(greed->device, 0, host));
		EXPECTED(-EBUSY, plain_partition(greed->device, 0, idle.vm));
		EXPECTED(-ENOTTY, plain_ioctl(greed->device, HV_POSTMSG_POST, NULL));
		EXPECTED(-ENOTTY, plain_ioctl(host, HV_POSTMSG_INFO, NULL));
		EXPECTED(-EFAULT, plain_ioctl(host, HV_POSTMSG_POST, NULL));
		EXPECTED(-EEXIST, plain_endpoint_port(host, 1, endpoint, 0, 0));
		EXPECTED(-EOPNOTSUPP, vp_port(host, 10, 0));
		EXPECTED(-EXDEV, plain_endpoint_port(other, 1, endpoint, 0, 0));
		EXPECTED(-EINVAL, plain_endpoint(host, 1 << 20));
		EXPECTED(-ENOENT, plain_delete_port(host, 1234));
		EXPECTED(-ENOENT, plain_port_fd(host, 1234));
		EXPECTED(-EBADF, plain_connect(other, 5, 9999, 0));
		EXPECTED(-EBADFD, plain_connect(other, 5, host, 0));
		EXPECTED(-EEXIST, plain_connect(other, 1, port, 0));
		EXPECTED(-EBUSY, plain_connect(other, 5, port, 0));
		EXPECTED(-ELOOP, plain_connect(host, 5, port, 0));
		EXPECTED(-ENXIO, plain_connect(other, 5, deleted, 0));
		EXPECTED(-ENOENT, plain_disconnect(other, 1234));
		EXPECTED(-ENOENT, plain_reset_vp(idle.partition, 99));
		EXPECTED(-EOPNOTSUPP, plain_reset_vp(host, 0));
		EXPECTED(-EINVAL, plain_get_property(host, 1, 77, &value));
		EXPECTED(-EAGAIN, plain_read(endpoint, &message));
		EXPECTED(-ESHUTDOWN, plain_partition_stats(dead, &stats));
		EXPECTED(0, setrlimit(RLIMIT_NOFILE, &none));
		EXPECTED(-EMFILE, plain_host(greed->device));
		EXPECTED(-EMFILE, plain_endpoint(host, 0));
		EXPECTED(-EMFILE, plain_port_fd(host, 1));
		EXPECTED(0, setrlimit(RLIMIT_NOFILE, &all));
		/* statuses */
		EXPECTED(HV_STATUS_INVALID_PARAMETER,
			 plain_post(host, 0, FULL, 0, NULL, 0));
		EXPECTED(HV_STATUS_INVALID_CONNECTION_ID, plain_post_word(host, NONE, 0));
		EXPECTED(HV_STATUS_INVALID_PORT_ID, plain_post_word(host, EVENT, 0));
		EXPECTED(HV_STATUS_INVALID_PORT_ID, plain_post_word(other, 2, 0));
		EXPECTED(HV_STATUS_INVALID_VP_INDEX, plain_post_word(host, NO_VP, 0));
		EXPECTED(HV_STATUS_INVALID_SYNIC_STATE, plain_post_word(host, NO_SYNIC, 0));
		EXPECTED(HV_STATUS_INSUFFICIENT_BUFFERS, plain_post_word(host, FULL, 0));
	}
	step(greed);
#undef EXPECTED
}

TEST_F_TIMEOUT(limits, refusals_leave_the_log_alone, 120)
{
	unsigned int lines, ours;
	int log;

	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, log);
	ASSERT_LE(0, lseek(log, 0, SEEK_END));
	enter(_metadata, self, refuse_all, false);
	GO_ON();
	lines = count_lines(log, &ours);
	EXPECT_EQ(0, ours);
	/* Others may have something to say, but not about each of them. */
	EXPECT_GT(REFUSALS / 100, lines);
	close(log);
}

TEST_HARNESS_MAIN
