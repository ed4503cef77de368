// SPDX-License-Identifier: GPL-2.0-only
/*
 * PID 1 of the lab: bring the system up, run one command, report, power off.
 *
 * Four serial ports lead to the host:
 *   ttyS0  the kernel's console
 *   ttyS1  what the command prints, unchanged
 *   ttyS2  the verdict: "start <seconds since boot>", then "exit <status>", or
 *          "fail <reason>" if the lab itself did not work
 *   ttyS3  from there, a byte each second, for the sake of its interrupt: see run
 *
 * The host takes a missing verdict for a failure, so every way out of here
 * that is not the command's end may simply stop the machine.
 *
 * /lab/command holds the command's arguments, each ended by a NUL. /lab/options
 * holds words, one a line: "kvm" (load the KVM modules), "host-root" (mount the
 * host's root), "icount" (time is no measure of progress), "go-on" (a warning is
 * not the end, somebody reads them later), "dump=<seconds>" (after so long, show on
 * the console where tasks hang).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* How long processes may take to die after the command has ended. */
#define REAP_SECONDS 60

/* The group "kvm" in the lab's /etc/group. */
#define KVM_GROUP 106

static struct {
	bool kvm, host_root, icount, go_on;
	long dump;
} option;

static int verdict = -1;

static double uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void __attribute__((noreturn)) power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	/* Not reached on a PC with ACPI; the host's time-out ends the rest. */
	for (;;)
		pause();
}

static void __attribute__((format(printf, 1, 2))) report(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vdprintf(verdict, fmt, args);
	va_end(args);
	tcdrain(verdict);
}

#define fail(fmt, ...)							\
	do {								\
		report("fail " fmt "\n", ##__VA_ARGS__);		\
		power_off();						\
	} while (0)

/* Leave a line among the kernel's own, so that the console tells the story. */
static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC), len;
	char line[256];
	va_list args;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	/* One write is one line; stdio refuses a file it cannot seek in. */
	if (fd < 0 || write(fd, line, len) != len)
		report("fail no /dev/kmsg: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static char *read_file(const char *path, size_t *size)
{
	size_t room = 1 << 16, used = 0;
	char *data = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	do {
		used += n;
		if (!data || used == room - 1) {
			room *= 2;
			data = realloc(data, room);
			if (!data)
				break;
		}
		n = read(fd, data + used, room - 1 - used);
	} while (n > 0);
	close(fd);
	if (!data)
		return NULL;
	data[used] = 0;
	if (size)
		*size = used;
	return data;
}

static void make_mount(const char *source, const char *target,
		       const char *type, unsigned long flags, const char *data)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, data))
		fail("mount of %s: %s", target, strerror(errno));
}

/*
 * Open a port as the pipe it is meant to be: without flow control, and with
 * nothing added, such as a carriage return before each line feed.
 */
static int open_port(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios tty;

	if (fd < 0 || tcgetattr(fd, &tty))
		return -1;
	cfmakeraw(&tty);
	cfsetspeed(&tty, B115200);
	tty.c_cflag |= CLOCAL | CREAD;
	tty.c_cflag &= ~(CRTSCTS | HUPCL);
	if (tcsetattr(fd, TCSANOW, &tty))
		return -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

static void mount_all(void)
{
	make_mount("dev", "/dev", "devtmpfs", 0, NULL);
	verdict = open_port("/dev/ttyS2");
	if (verdict < 0)
		power_off();
	/* Not there where interrupts are never lost.  Nobody reads what comes. */
	open_port("/dev/ttyS3");
	make_mount("proc", "/proc", "proc", 0, NULL);
	make_mount("sys", "/sys", "sysfs", 0, NULL);
	make_mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	make_mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	make_mount("pts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666");
	make_mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
	make_mount("tmp", "/tmp", "tmpfs", 0, "mode=1777");
	make_mount("run", "/run", "tmpfs", 0, "mode=755");
	if (symlink("/proc/self/fd", "/dev/fd") ||
	    symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") ||
	    symlink("/proc/self/fd/2", "/dev/stderr"))
		fail("links in /dev: %s", strerror(errno));
}

static void read_options(void)
{
	char *text = read_file("/lab/options", NULL), *word;

	if (!text)
		fail("no /lab/options: is the initramfs complete?");
	for (word = strtok(text, "\n"); word; word = strtok(NULL, "\n")) {
		if (!strcmp(word, "kvm"))
			option.kvm = true;
		else if (!strcmp(word, "host-root"))
			option.host_root = true;
		else if (!strcmp(word, "icount"))
			option.icount = true;
		else if (!strcmp(word, "go-on"))
			option.go_on = true;
		else if (!strncmp(word, "dump=", 5))
			option.dump = atol(word + 5);
		else
			fail("unknown option %s", word);
	}
	free(text);
}

/*
 * Turn what a stock kernel only reports into a panic. The limits leave room
 * for emulation on a busy machine.
 */
static void set_sysctls(void)
{
	static const struct {
		const char *name, *value;
		bool icount;
	} sysctls[] = {
		{ "panic_on_warn", "1", true },
		{ "panic_on_oops", "1", true },
		{ "panic_on_rcu_stall", "1", true },
		{ "watchdog_thresh", "30", true },
		{ "softlockup_panic", "1", true },
		/*
		 * Under icount an idle machine's clock jumps to the next
		 * timer while the host still reads from its disk.
		 */
		{ "hung_task_timeout_secs", "120", false },
		{ "hung_task_panic", "1", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sysctls); i++) {
		char path[128];
		int fd;

		if (option.icount && !sysctls[i].icount)
			continue;
		if (option.go_on && !strcmp(sysctls[i].name, "panic_on_warn"))
			continue;
		snprintf(path, sizeof(path), "/proc/sys/kernel/%s",
			 sysctls[i].name);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || write(fd, sysctls[i].value,
				    strlen(sysctls[i].value)) < 0)
			fail("sysctl %s: %s", sysctls[i].name, strerror(errno));
		close(fd);
	}
}

static void load_module(const char *name)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/modprobe", "modprobe", name, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("module %s does not load: see the console", name);
}

static void load_kvm(void)
{
	char *cpuinfo = read_file("/proc/cpuinfo", NULL), *flags;

	flags = cpuinfo ? strstr(cpuinfo, "\nflags") : NULL;
	if (!flags)
		fail("no CPU flags in /proc/cpuinfo");
	*strchrnul(flags + 1, '\n') = 0;
	if (strstr(flags, " svm"))
		load_module("kvm-amd");
	else if (strstr(flags, " vmx"))
		load_module("kvm-intel");
	else
		fail("the lab's CPU has neither svm nor vmx");
	free(cpuinfo);
	/* What udev does on a real machine. */
	if (chown("/dev/kvm", 0, KVM_GROUP) || chmod("/dev/kvm", 0660))
		fail("/dev/kvm: %s", strerror(errno));
}

static void mount_host_root(void)
{
	static const char *const shared[] = {
		"/proc", "/sys", "/dev", "/run", "/tmp",
	};
	size_t i;

	load_module("virtio_pci");
	load_module("9pnet_virtio");
	load_module("9p");
	make_mount("host", "/host", "9p", MS_RDONLY,
		   "trans=virtio,version=9p2000.L,msize=524288,cache=loose");
	/* The lab's own root first, so that nothing appears in it twice. */
	make_mount("/", "/host/mnt", NULL, MS_BIND, NULL);
	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		char target[32];

		snprintf(target, sizeof(target), "/host%s", shared[i]);
		make_mount(shared[i], target, NULL, MS_BIND | MS_REC, NULL);
	}
}

static pid_t start_command(void)
{
	char *text, *argv[1024], *p;
	size_t size, argc = 0;
	pid_t pid;

	text = read_file("/lab/command", &size);
	if (!text || !size)
		fail("no /lab/command: is the initramfs complete?");
	for (p = text; p < text + size; p += strlen(p) + 1) {
		if (argc == ARRAY_SIZE(argv) - 1)
			fail("more than %zu arguments", ARRAY_SIZE(argv) - 1);
		argv[argc++] = p;
	}
	argv[argc] = NULL;

	report("start %.2f\n", uptime());
	note("lab: starting %s\n", argv[0]);
	pid = fork();
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		execvp(argv[0], argv);
		fprintf(stderr, "lab: %s: %s\n", argv[0], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	return pid;
}

/* Soon the host gives up: show on the console what runs and what is blocked. */
static void dump_tasks(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	note("lab: the time is nearly up, blocked tasks follow\n");
	/* One request a write is what every kernel understands. */
	if (fd < 0 || write(fd, "w", 1) < 0 || write(fd, "l", 1) < 0)
		note("lab: no sysrq: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Wait for one child, or for any when @pid is -1, until @deadline (seconds
 * since boot; 0: none). Reaps orphans on the way. Returns false on time-out,
 * true when @pid has ended or no child is left.
 */
static bool wait_until(pid_t pid, double deadline, int *status)
{
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		struct timespec second = { .tv_sec = 1 };
		int wstatus;
		pid_t got = waitpid(-1, &wstatus, WNOHANG);

		if (got > 0 && got == pid) {
			*status = wstatus;
			return true;
		}
		if (got > 0)
			continue;
		if (got < 0 && errno == ECHILD)
			return true;
		if (!deadline) {
			sigwaitinfo(&chld, NULL);
			continue;
		}
		if (uptime() >= deadline)
			return false;
		sigtimedwait(&chld, NULL, &second);
	}
}

int main(void)
{
	sigset_t chld;
	int output, null, status = 0;
	pid_t command;

	/* The sole reader of SIGCHLD is sigwaitinfo(). */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	umask(022);

	mount_all();
	sethostname("lab", 3);
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "dumb", 1);
	setenv("USER", "root", 1);
	read_options();

	output = open_port("/dev/ttyS1");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (output < 0 || null < 0)
		fail("no port for the command's output");
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);

	set_sysctls();
	if (option.kvm)
		load_kvm();
	if (option.host_root)
		mount_host_root();

	command = start_command();
	if (option.dump && !option.icount &&
	    !wait_until(command, option.dump, &status)) {
		dump_tasks();
		wait_until(command, 0, &status);
	} else if (!option.dump || option.icount) {
		wait_until(command, 0, &status);
	}
	if (WIFSIGNALED(status))
		status = 128 + WTERMSIG(status);
	else
		status = WEXITSTATUS(status);
	note("lab: the command exited with %d\n", status);

	/*
	 * What is left, a guest VM for one, dies before the verdict, so that
	 * the kernel can still complain about how it does.
	 */
	kill(-1, SIGKILL);
	if (!wait_until(-1, uptime() + REAP_SECONDS, &status))
		fail("a process left by the command does not die");

	tcdrain(output);
	report("exit %d\n", status);
	power_off();
}
