// SPDX-License-Identifier: MIT
/*
 * Runs what the host sends over a virtio port: programs of system calls, and
 * litmus tests. A message is its length (32 bits, little-endian) and its text;
 * the first line of a request says what it is, and each has one answer.
 */
#define _GNU_SOURCE
#include "executor.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct edu *device;
int line;
struct edu *function;

static int port;

void die(const char *what)
{
	dprintf(OWN_FDS, "executor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* guest.c's: something that the guest cannot do without is missing. */
void fail(const char *file, int at, const char *what, long got, long want)
{
	dprintf(OWN_FDS, "executor: %s:%d: %s: got %ld, want %ld\n", file, at,
		what, got, want);
	_exit(1);
}

void put(struct text *to, const char *format, ...)
{
	va_list args;
	int n;

	for (;;) {
		size_t left = to->room - to->length;

		va_start(args, format);
		n = vsnprintf(to->bytes + to->length, left, format, args);
		va_end(args);
		if ((size_t)n < left)
			break;
		to->room = to->room * 2 + n + 1;
		to->bytes = realloc(to->bytes, to->room);
		if (!to->bytes)
			die("realloc");
	}
	to->length += n;
}

int own_fd(int fd)
{
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, OWN_FDS);

	if (moved < 0)
		die("a descriptor of the executor's own");
	close(fd);
	return moved;
}

void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

void run_fifo(int priority)
{
	struct sched_param p = { .sched_priority = priority };

	if (sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &p))
		die("sched_setscheduler");
}

static void receive(char *bytes, size_t length)
{
	while (length) {
		ssize_t n = read(port, bytes, length);

		if (n <= 0)
			die("the host has hung up");
		bytes += n;
		length -= n;
	}
}

static void transmit(const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = write(port, bytes, length);

		if (n <= 0)
			die("the host has hung up");
		bytes += n;
		length -= n;
	}
}

static void answer(const struct text *t)
{
	uint32_t length = t->length;

	transmit((char *)&length, sizeof(length));
	transmit(t->bytes, t->length);
}

static char *request(void)
{
	static char *bytes;
	static size_t room;
	uint32_t length;

	receive((char *)&length, sizeof(length));
	if (length + 1 > room) {
		room = length + 1;
		bytes = realloc(bytes, room);
		if (!bytes)
			die("realloc");
	}
	receive(bytes, length);
	bytes[length] = 0;
	return bytes;
}

/* Interrupts of the line arrive where the programs run: at once, or not at all. */
static void route_line(int cpu)
{
	char path[64], mask[16];
	int error;

	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity", line);
	snprintf(mask, sizeof(mask), "%x", 1 << cpu);
	error = sysfs_write(path, mask);
	if (error < 0) {
		errno = -error;
		die(path);
	}
}

static void own_device(void)
{
	int fd;

	if (!find_guest())
		die("no edu device");
	device = &edu[0];
	function = device;
	edu_map(device);
	/* A function has its line from when it is first enabled. */
	fd = pci_open(device, EDU_MASK);
	if (fd < 0) {
		errno = -fd;
		die("usr_pci_open");
	}
	line = edu_line(device);
	close(fd);
}

int main(int argc, char **argv)
{
	struct text log = { 0 };
	int null;

	if (argc != 2)
		return 2;
	if (dup2(2, OWN_FDS) < 0)
		return 2;
	port = own_fd(open(argv[1], O_RDWR));
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		die("/dev/null");
	own_device();
	/* Children of programs that end before them are the executor's. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sysfs_write("/proc/sys/kernel/sched_rt_runtime_us", "-1");

	put(&log, "edu %s line %d %s%s\n", device->name, line,
	    have_iommu ? "iommu" : "no-iommu", debug_kernel ? " debug" : "");
	answer(&log);
	for (;;) {
		char *text = request(), *body = strchr(text, '\n');

		if (!body)
			die("a request without a first line");
		*body++ = 0;
		log.length = 0;
		if (!strcmp(text, "programs")) {
			route_line(0);
			run_programs(body, &log);
		} else if (!strcmp(text, "litmus")) {
			run_litmus(body, &log);
		} else if (!strcmp(text, "stress")) {
			run_stress(body, &log);
		} else if (!strcmp(text, "latency")) {
			run_latency(body, &log);
		} else {
			return 0;
		}
		answer(&log);
	}
}
