// SPDX-License-Identifier: MIT
/*
 * The calls that programs are made of, one a line: a letter, whether the
 * child makes it, and numbers.
 */
#define _GNU_SOURCE
#include "executor.h"
#include "calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a scratch page is used for. */
#define COUNT		0x000
#define INFO		0x100
#define VADDR		0x200
#define DMAADDR		0x208
#define LIST		0x400
#define LIST_ENTRIES	100

#define MAX_EVENTS	64

__thread struct caller caller;
volatile int signals;

static __thread char *at;	/* in the call's text */

void say(const char *format, ...)
{
	struct log *log = caller.log;
	size_t left = LOG_ROOM - log->length;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(log->text + log->length, left, format, args);
	va_end(args);
	if ((size_t)n >= left)
		die("a program's log");
	log->length += n;
}

long long number(void)
{
	return strtoll(at, &at, 10);
}

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

#define CALL(...) result(syscall(__VA_ARGS__))

static void *pointer(long long which, unsigned int offset)
{
	uint64_t scratch = caller.scratch;
	uint64_t elsewhere[] = {
		scratch + offset, 0, scratch + PAGE, 0xffff800000000000ull,
		scratch + PAGE - 2, scratch + 2 * PAGE,
	};

	return (void *)(uintptr_t)elsewhere[which];
}

static uint64_t arena(long long which, long long offset)
{
	return ARENA_BASE + which % ARENAS * ARENA_STRIDE + offset;
}

static void *ok(unsigned int offset)
{
	return pointer(0, offset);
}

/* A call that may sleep without a timeout. */
static void watch(bool raise)
{
	if (!caller.watch)
		return;
	caller.watch->raise = raise;
	caller.watch->calls++;
	caller.watch->sleeper = getpid();
}

static long over(long ret)
{
	if (caller.watch)
		caller.watch->sleeper = 0;
	return ret;
}

#define WATCHED(raise, ...) (watch(raise), over(CALL(__VA_ARGS__)))

/* The irq file */

/* Interrupts of the line so far: what /proc/interrupts shows, but quick to read. */
long taken(void)
{
	static int fd = -1;
	char path[48], text[256], *p = text;
	ssize_t n;
	long sum = 0;

	if (fd < 0) {
		snprintf(path, sizeof(path), "/sys/kernel/irq/%d/per_cpu_count",
			 line);
		fd = own_fd(open(path, O_RDONLY));
	}
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		die("per_cpu_count");
	text[n] = 0;
	do
		sum += strtol(p, &p, 10);
	while (*p++ == ',');
	return sum;
}

void move_pin(struct memory *memory, unsigned int reg, uint32_t bits)
{
	memory->moved = true;
	edu_write(device, reg, bits);
	(void)edu_read(device, EDU_IRQ_STATUS);
}

void free_line(void)
{
	if (edu_read(device, EDU_IRQ_STATUS))
		move_pin(caller.memory, EDU_IRQ_ACK, ~0u);
}

/*
 * QEMU's I/O APIC does not see its pins while their entries are set to edge,
 * as Linux leaves them when nobody has the line. So the line is opened first
 * and its pin moved once, and a level that was there is made again after the
 * program's own open: what the hardware would have shown.
 */
static bool settle(uint32_t status)
{
	long before = taken();
	int fd = irq_open(line, O_RDONLY | O_NONBLOCK);

	if (fd >= 0) {
		caller.memory->moved = false;
		edu_write(device, EDU_IRQ_ACK, ~0u);
		edu_raise(device);
		edu_write(device, EDU_IRQ_ACK, ~0u);
		while (take(fd) > 0)
			;
		caller.memory->taken += taken() - before;
		close(fd);
		if (status)
			move_pin(caller.memory, EDU_IRQ_RAISE, status);
	}
	return fd >= 0;
}

static void say_fd(long fd)
{
	say(fd < 0 ? "%ld" : "fd %ld", fd);
}

static void open_irq(int flags)
{
	uint32_t status = edu_read(device, EDU_IRQ_STATUS);
	bool again = caller.settles && caller.memory->moved &&
		settle(status) && status;
	int fd = irq_open(line, flags);

	if (fd >= 0 && again) {
		edu_write(device, EDU_IRQ_ACK, ~0u);
		edu_write(device, EDU_IRQ_RAISE, status);
		caller.memory->moved = false;
	}
	say_fd(fd);
}

static void do_open(void)
{
	bool missing = number();
	int flags = number();

	if (missing)
		say_fd(CALL(SYS_open, "/proc/irq/9999/irq", flags));
	else
		open_irq(flags);
}

static void do_getfl(int fd)
{
	long flags = CALL(SYS_fcntl, fd, F_GETFL);

	if (flags < 0)
		say("%ld", flags);
	else
		say("0%lo", flags & (O_ACCMODE | O_NONBLOCK));
}

static void do_read(int fd)
{
	void *buf = pointer(number(), COUNT);
	size_t count = number();
	bool raise = number();
	volatile int32_t *got = ok(COUNT);
	long ret;

	*got = 0x5a5a5a5a;
	ret = WATCHED(raise, SYS_read, fd, buf, count);
	if (ret == 4)
		say("4: %d", *got);
	else
		say("%ld", ret);
}

static void do_write(int fd)
{
	void *buf = pointer(number(), COUNT);
	size_t count = number();

	say("%ld", CALL(SYS_write, fd, buf, count));
}

static void do_poll(void)
{
	int timeout = number(), i, n;
	bool raise = number();
	struct pollfd fds[8];
	long ret;

	n = number();
	for (i = 0; i < n; i++) {
		fds[i].fd = number();
		fds[i].events = number();
		fds[i].revents = 0;
	}
	ret = timeout > 0 ? CALL(SYS_poll, fds, n, timeout) :
		WATCHED(raise, SYS_poll, fds, n, timeout);
	say(ret < 0 ? "%ld" : "%ld:", ret);
	for (i = 0; ret >= 0 && i < n; i++)
		say(" %d", fds[i].revents);
	if (ret >= 0 && !n)
		say(" ");
}

static void do_select(void)
{
	int timeout = number(), i, n, nfds = 0;
	struct timeval tv = { 0, timeout * 1000 };
	bool raise = number();
	fd_set set;
	long ret;

	FD_ZERO(&set);
	for (n = number(); n; n--) {
		i = number();
		FD_SET(i, &set);
		if (i >= nfds)
			nfds = i + 1;
	}
	ret = timeout > 0 ? CALL(SYS_select, nfds, &set, NULL, NULL, &tv) :
		WATCHED(raise, SYS_select, nfds, &set, NULL, NULL,
			timeout ? NULL : &tv);
	say(ret < 0 ? "%ld" : "%ld:", ret);
	for (i = 0; ret > 0 && i < nfds; i++) {
		if (FD_ISSET(i, &set))
			say(" %d", i);
	}
	if (!ret)
		say(" ");
}

static int by_data(const void *a, const void *b)
{
	return ((const struct epoll_event *)a)->data.fd -
		((const struct epoll_event *)b)->data.fd;
}

static void do_epoll_ctl(void)
{
	int epfd = number(), op = number(), fd = number();
	struct epoll_event e = { .events = number(), .data.fd = fd };

	say("%ld", CALL(SYS_epoll_ctl, epfd, op, fd, &e));
}

static void do_epoll_wait(int epfd)
{
	int maxevents = number(), timeout = number(), i;
	struct epoll_event events[MAX_EVENTS];
	bool raise = number();
	long ret;

	ret = timeout > 0 ?
		CALL(SYS_epoll_wait, epfd, events, maxevents, timeout) :
		WATCHED(raise, SYS_epoll_wait, epfd, events, maxevents, timeout);
	say(ret < 0 ? "%ld" : "%ld:", ret);
	if (ret > 0)
		qsort(events, ret, sizeof(*events), by_data);
	for (i = 0; i < ret; i++)
		say(" %d", events[i].data.fd);
	if (!ret)
		say(" ");
}

/* Memory and the PCI calls */

static int map_fixed(uint64_t address, size_t length, int prot)
{
	void *got = mmap((void *)address, length, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return got == MAP_FAILED ? -errno : 0;
}

static void do_mmap(void)
{
	uint64_t address = arena(number(), 0);
	size_t length = number();

	say("%d", map_fixed(address, length, number()));
}

static void do_munmap(void)
{
	long long which = number(), offset = number();
	size_t length = number();

	say("%ld", CALL(SYS_munmap, arena(which, offset), length));
}

void forget_mappings(struct memory *memory)
{
	int i;

	for (i = 0; i < MAPPINGS; i++)
		memory->mappings[i] = NO_MAPPING;
}

static void do_usr_pci_open(void)
{
	static const uint64_t masks[] = { 0, EDU_MASK, 1 };
	bool missing = number();
	uint64_t mask = masks[number()];
	int fd = missing ? pci_open_at(function->domain, function->bus, 31, 7, mask) :
		pci_open(function, mask);

	if (fd >= 0)
		forget_mappings(caller.memory);
	say_fd(fd);
}

static void do_get_consistent(int fd)
{
	size_t size = number(), i;
	void *vaddrp = pointer(number(), VADDR);
	void *dmaaddrp = pointer(number(), DMAADDR);
	long ret = pci_get_consistent(fd, size, vaddrp, dmaaddrp);
	const char *bytes;

	if (ret) {
		say("%ld", ret);
		return;
	}
	caller.memory->consistent = *(uint64_t *)ok(VADDR);
	if (caller.memory->consistents == CONSISTENT_PAGES)
		die("consistent memory");
	caller.memory->consistent_pages[caller.memory->consistents++] =
		caller.memory->consistent;
	bytes = (char *)caller.memory->consistent;
	for (i = 0; i < PAGE && !bytes[i]; i++)
		;
	say(i == PAGE ? "0: zeroed" : "0: not zeroed");
}

static void do_usr_pci_mmap(int fd)
{
	struct usr_pci_mapping *info = ok(INFO), *mp = pointer(number(), INFO);
	long long which = number(), offset = number(), pages, bytes = 0;
	struct usr_pci_sg *list = ok(LIST);
	long ret;
	int i, n;

	memset(info, 0, sizeof(*info));
	info->virtaddr = which >= 0 ? arena(which, offset) :
		which == -1 ? 0 : caller.memory->consistent;
	info->size = number();
	info->sglist = (uintptr_t)pointer(number(), LIST);
	info->nents = number();
	info->direction = number();
	pages = (offset % PAGE + info->size + PAGE - 1) / PAGE;
	ret = pci_mmap(fd, mp);
	if (ret) {
		say("%ld", ret);
		return;
	}
	caller.memory->mappings[number() % MAPPINGS] = info->dmaaddr;
	n = info->nents;
	if (n < 1 || n > pages || n > LIST_ENTRIES) {
		say("0: %d entries for %lld pages", n, pages);
		return;
	}
	for (i = 0; i < n; i++)
		bytes += list[i].len;
	say("0: %lld bytes", bytes);
}

static void do_usr_pci_munmap(int fd)
{
	struct usr_pci_mapping *info = ok(INFO), *mp = pointer(number(), INFO);
	int which = number() % MAPPINGS;
	long ret;

	info->dmaaddr = caller.memory->mappings[which];
	info->direction = USR_PCI_BIDIRECTIONAL;
	ret = pci_munmap(fd, mp);
	if (!ret)
		caller.memory->mappings[which] = NO_MAPPING;
	say("%ld", ret);
}

/* Signals */

void count_signal(int signum)
{
	(void)signum;
	signals++;
}

long set_action(int signum, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler };

	return result(sigaction(signum, &act, NULL));
}

static void do_kill(void)
{
	int before = signals;
	long ret = result(kill(getpid(), SIGUSR1));

	say("%ld: %s", ret, signals > before ? "handled" : "ignored");
}

static void do_observe(void)
{
	say("%ld interrupts%s", interrupts(line) - caller.memory->taken,
	    bus_master(device) ? ", bus master" : "");
}

void map_scratch(uint64_t scratch)
{
	if (map_fixed(scratch, PAGE, PROT_READ | PROT_WRITE) ||
	    map_fixed(scratch + 2 * PAGE, PAGE, PROT_READ))
		die("mmap");
}

void unmap_arenas(struct memory *memory)
{
	munmap((void *)ARENA_BASE, ARENAS * ARENA_STRIDE);
	while (memory->consistents)
		munmap((void *)memory->consistent_pages[--memory->consistents],
		       PAGE);
}

void map_arena(void)
{
	if (map_fixed(ARENA_BASE, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE))
		die("mmap");
}

bool make_call(char *call)
{
	at = call + 1;
	number();
	switch (*call) {
	case 'o': do_open(); break;
	case 'c': say("%ld", CALL(SYS_close, (int)number())); break;
	case 'd': say_fd(CALL(SYS_dup, (int)number())); break;
	case 'g': do_getfl(number()); break;
	case 'f': {
		int fd = number();

		say("%ld", CALL(SYS_fcntl, fd, F_SETFL, (int)number()));
		break;
	}
	case 'r': do_read(number()); break;
	case 'w': do_write(number()); break;
	case 'p': do_poll(); break;
	case 's': do_select(); break;
	case 'e': say_fd(CALL(SYS_epoll_create1, (int)number())); break;
	case 't': do_epoll_ctl(); break;
	case 'v': do_epoll_wait(number()); break;
	case 'm': do_mmap(); break;
	case 'u': do_munmap(); break;
	case 'O': do_usr_pci_open(); break;
	case 'G': do_get_consistent(number()); break;
	case 'M': do_usr_pci_mmap(number()); break;
	case 'U': do_usr_pci_munmap(number()); break;
	case 'R': move_pin(caller.memory, EDU_IRQ_RAISE, number()); break;
	case 'A': move_pin(caller.memory, EDU_IRQ_ACK, number()); break;
	case 'a':
		say("%ld", set_action(SIGUSR1, number() ? count_signal : SIG_IGN));
		break;
	case 'k': do_kill(); break;
	case 'b': do_observe(); break;
	default: return false;
	}
	return true;
}
