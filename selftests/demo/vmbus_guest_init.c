// SPDX-License-Identifier: GPL-2.0-only
/*
 * PID 1 of act 3's guest: loads the kernel's own hv_vmbus and shows what it
 * finds. What it prints goes to ttyS0, among the kernel's messages. ttyS1 is the
 * line to vmbus.sh, which says when:
 *
 *   guest: "ready"            host: "load SECONDS PARAMETERS" or "unload"
 *   guest: "ok" or "failed"   host: the next, or "off" or "crash"
 *
 * SECONDS is how long an offered device may take to appear.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

#define MODULE	"/hv_vmbus.ko"
#define DEVICES	"/sys/bus/vmbus/devices"
#define TAINTED	"/proc/sys/kernel/tainted"
#define TIMER	"/sys/devices/system/clockevents/clockevent0/current_device"

static int console, line;

#define show(fmt, ...) dprintf(console, fmt, ##__VA_ARGS__)

static void power_off(void)
{
	tcdrain(console);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static int open_port(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios tty;

	if (fd < 0 || tcgetattr(fd, &tty))
		return -1;
	cfmakeraw(&tty);
	cfsetspeed(&tty, B115200);
	tty.c_cflag |= CLOCAL | CREAD;
	return tcsetattr(fd, TCSANOW, &tty) ? -1 : fd;
}

/* The next command, without its line feed. */
static int get_command(char *text, size_t room)
{
	size_t used = 0;

	while (used < room && read(line, text + used, 1) == 1) {
		if (text[used] == '\n') {
			text[used] = 0;
			return 0;
		}
		used++;
	}
	return -1;
}

/* Show the kernel's lines about its hypervisor from before the console said all. */
static void show_hypervisor(void)
{
	int size = klogctl(10, NULL, 0);
	char *log = size > 0 ? malloc(size + 1) : NULL, *text;

	if (!log)
		return;
	size = klogctl(3, log, size);
	log[size > 0 ? size : 0] = 0;
	for (text = strtok(log, "\n"); text; text = strtok(NULL, "\n"))
		if (strstr(text, "Linux version") || strstr(text, "Hyper-V"))
			show("%s\n", text + (text[0] == '<' ? strcspn(text, "[") : 0));
	free(log);
}

/* Read a small file of one line into @value, without its line feed. */
static int read_value(const char *path, char *value, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return -1;
	size = read(fd, value, room - 1);
	close(fd);
	if (size <= 0)
		return -1;
	value[size] = 0;
	value[strcspn(value, "\n")] = 0;
	return 0;
}

static void show_attribute(const char *device, const char *attribute)
{
	char path[512], value[128];

	snprintf(path, sizeof(path), "%s/%s/%s", DEVICES, device, attribute);
	if (!read_value(path, value, sizeof(value)))
		show(" %s=%s", attribute, value);
}

/* List /sys/bus/vmbus/devices. Returns how many there are, 0 for no folder. */
static int show_devices(int quiet)
{
	static const char *const attributes[] = {
		"class_id", "device_id", "id", "state",
	};
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;
	int count = 0;
	size_t i;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (quiet)
			continue;
		show("init: " DEVICES "/%s:", entry->d_name);
		for (i = 0; i < ARRAY_SIZE(attributes); i++)
			show_attribute(entry->d_name, attributes[i]);
		show("\n");
	}
	closedir(dir);
	return count;
}

/* Load the driver and wait for the device that the host offers. */
static int load_module(const char *arguments)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC), tries;
	char timer[64], *parameters;
	long seconds = strtol(arguments, &parameters, 10);

	parameters += strspn(parameters, " ");
	show("init: loading hv_vmbus %s\n", parameters);
	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0)) {
		show("init: hv_vmbus does not load: %s\n", strerror(errno));
		return -1;
	}
	close(fd);
	/* The driver adds a device some time after the offer came. */
	for (tries = seconds * 10; tries && !show_devices(1); tries--)
		usleep(100000);
	if (!tries) {
		show("init: no device after %ld s\n", seconds);
		return -1;
	}
	show("init: %d device(s)\n", show_devices(0));
	if (!read_value(TIMER, timer, sizeof(timer)))
		show("init: CPU 0 has timer %s\n", timer);
	return 0;
}

/* The driver waits for the Unload Response without a time-out. */
static int unload_module(void)
{
	show("init: unloading hv_vmbus\n");
	if (syscall(SYS_delete_module, "hv_vmbus", O_NONBLOCK)) {
		show("init: hv_vmbus stays: %s\n", strerror(errno));
		return -1;
	}
	show("init: hv_vmbus is unloaded, %d device(s)\n", show_devices(1));
	return 0;
}

/*
 * Crash on the second CPU: the driver then sends Unload with all other CPUs
 * stopped, polls the message slots of all of them for the response, and writes
 * EOM on this CPU for the slot of another.
 */
static void panic_on_second_cpu(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	cpu_set_t second;

	CPU_ZERO(&second);
	CPU_SET(1, &second);
	if (fd < 0 || sched_setaffinity(0, sizeof(second), &second))
		show("init: cannot crash on CPU 1: %s\n", strerror(errno));
	tcdrain(console);
	if (write(fd, "c", 1) < 0)
		show("init: cannot crash: %s\n", strerror(errno));
}

int main(void)
{
	char command[128], tainted[32];

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("sys", "/sys", "sysfs", 0, NULL))
		reboot(RB_POWER_OFF);
	console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	line = open_port("/dev/ttyS1");
	if (console < 0 || line < 0)
		reboot(RB_POWER_OFF);

	/* The boot was quiet, for speed; from here on the console shows all. */
	show_hypervisor();
	klogctl(8, NULL, 8);
	tcdrain(console);
	dprintf(line, "ready\n");
	while (!get_command(command, sizeof(command))) {
		int status = -1;

		if (!strcmp(command, "off"))
			break;
		if (!strcmp(command, "crash"))
			panic_on_second_cpu();
		if (!strncmp(command, "load ", 5))
			status = load_module(command + 5);
		else if (!strcmp(command, "unload"))
			status = unload_module();
		else
			show("init: what is '%s'?\n", command);
		if (!read_value(TAINTED, tainted, sizeof(tainted)))
			show("init: tainted %s\n", tainted);
		tcdrain(console);
		dprintf(line, "%s\n", status ? "failed" : "ok");
	}
	power_off();
}
