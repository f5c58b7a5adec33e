// SPDX-License-Identifier: GPL-2.0
/*
 * Provokes the defects of the 2005 irq file, each a bounded number of times, and
 * says which showed: on the module built from usr_irq.c beside this file those
 * that 6.1 can have, on everything that is shipped none but D8.
 *
 * A defect that needs two things at once is tried as it is first, and then with
 * the window between two steps widened, which only the test module can do.
 */
#define _GNU_SOURCE
#include "../guest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAIN_TRIES	5	/* before a window is widened */
#define WINDOW_MS	20
#define SOON_MS		100	/* for what takes a window and no more */
#define NEVER_MS	1000	/* what has not come by then never does */
#define SECONDS		60	/* for one defect */

static struct edu *const e = &edu[0];
static int line, irq_fd = -1;

/* One try; true if the defect showed. */
struct defect {
	const char *name;
	const char *what;
	bool (*try)(void);
	const char *step;	/* before which the window is widened */
	int tries;
	bool only_wide;		/* as it is, it would look like another one */
};

void fail(const char *file, int at, const char *what, long got, long want)
{
	printf("not ok %s:%d: %s: got %ld, want %ld\n", file, at, what, got,
	       want);
	fflush(stdout);
	kill(0, SIGKILL);
	_exit(1);
}

/* False where the kernel's file has no such window. */
static bool widen(const char *step, const char *ms)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/usrdrv/parameters/%s", step);
	return sysfs_write(path, ms) > 0;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void route(int cpu)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity", line);
	CHECK(sysfs_write(path, cpu ? "2" : "1") > 0);
}

/* The line's file, as new; the device quiet. */
static void reopen(int flags)
{
	if (irq_fd >= 0)
		close(irq_fd);
	irq_fd = irq_open(line, flags);
	CHECK(irq_fd >= 0);
	edu_settle(e, irq_fd);
}

static void use_line(int flags)
{
	if (irq_fd < 0) {
		CHECK(pci_open(e, EDU_MASK) >= 0);
		edu_map(e);
		line = edu_line(e);
	}
	reopen(flags);
}

static void use_vector(int flags)
{
	int32_t irq;
	int fd;

	if (irq_fd < 0) {
		fd = pci_open(e, EDU_MASK);
		CHECK(fd >= 0);
		edu_map(e);
		edu_ack(e);
		EQ(pci_irq_vectors(fd, 1, 1, &irq), 1);
		line = irq;
	}
	if (irq_fd >= 0)
		close(irq_fd);
	irq_fd = irq_open(line, flags);
	CHECK(irq_fd >= 0);
}

struct reader {
	pthread_t thread;
	int cpu;
	volatile int count;
	volatile bool done;
};

static void *read_once(void *arg)
{
	struct reader *r = arg;

	pin(r->cpu);
	r->count = take(irq_fd);
	r->done = true;
	return NULL;
}

static void start_readers(struct reader *r, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		r[i].done = false;
		pthread_create(&r[i].thread, NULL, read_once, &r[i]);
	}
	sleep_ms(3);
}

static bool done_within(const struct reader *r, int ms)
{
	for (; !r->done && ms > 0; ms--)
		sleep_ms(1);
	return r->done;
}

/* Whoever still reads gets an interrupt to end with. */
static void end_readers(struct reader *r, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		while (!r[i].done) {
			poll_in(irq_fd, 0);
			edu_raise(e);
			sleep_ms(1);
			edu_ack(e);
		}
		pthread_join(r[i].thread, NULL);
	}
}

/* Both take the same one, and both subtract it. */
static bool d1(void)
{
	struct reader r[2] = { { .cpu = 0 }, { .cpu = 1 } };
	int after;

	use_line(O_RDONLY);
	start_readers(r, 2);
	edu_raise(e);
	done_within(&r[0], SOON_MS);
	done_within(&r[1], SOON_MS);
	edu_ack(e);
	after = r[0].done && r[1].done ? take_nonblock(irq_fd) : 0;
	end_readers(r, 2);
	return after == -1;
}

/* One takes it; the other goes back to sleep, and nobody lets the line through. */
static bool d2(void)
{
	struct reader r[2] = { { .cpu = 1 }, { .cpu = 1 } };
	bool shown = false;
	long before;

	pin(0);
	use_line(O_RDONLY);
	start_readers(r, 2);
	edu_raise(e);
	while (!r[0].done && !r[1].done)
		sleep_ms(1);
	edu_ack(e);
	sleep_ms(3);
	if (!r[0].done || !r[1].done) {
		before = interrupts(line);
		edu_raise(e);
		shown = !done_within(r[0].done ? &r[1] : &r[0], NEVER_MS) &&
			interrupts(line) == before;
		edu_ack(e);
	}
	end_readers(r, 2);
	return shown;
}

static void *read_some(void *arg)
{
	struct reader *r = arg;

	pin(r->cpu);
	do {
		r->count = take(irq_fd);
	} while (r->count == -EAGAIN);
	r->done = true;
	return NULL;
}

/*
 * A reader finds none, then finds the line masked, and lets it through, although
 * an interrupt has come in between. The line is asserted once.
 */
static bool d3(void)
{
	struct reader r = { .cpu = 1 };
	long before, n;

	pin(0);
	use_line(O_RDONLY | O_NONBLOCK);
	route(0);
	poll_in(irq_fd, 0);
	before = interrupts(line);
	pthread_create(&r.thread, NULL, read_some, &r);
	while (!r.count)
		sleep_ms(1);
	edu_raise(e);
	if (!done_within(&r, NEVER_MS))
		fail(__FILE__, __LINE__, "a reader ends", 0, 1);
	pthread_join(r.thread, NULL);
	sleep_ms(2);
	n = interrupts(line) - before;
	edu_ack(e);
	return n > 1;
}

static int kmsg = -1;

static bool warned(const char *text)
{
	char record[1024];
	bool found = false;
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = 0;
		found |= strstr(record, text) != NULL;
	}
	return found;
}

static volatile bool go;

static void *read_at_once(void *arg)
{
	struct reader *r = arg;

	pin(r->cpu);
	while (!go)
		;
	r->count = take(irq_fd);
	r->done = true;
	return NULL;
}

/* Both find the line masked, and both let it through. */
static bool d5(void)
{
	struct reader r[2] = { { .cpu = 0 }, { .cpu = 1 } };
	int i;

	use_line(O_RDONLY | O_NONBLOCK);
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	CHECK(kmsg >= 0);
	lseek(kmsg, 0, SEEK_END);
	edu_raise(e);
	EQ(take_within(irq_fd, LONG_MS), 1);
	edu_ack(e);
	go = false;
	for (i = 0; i < 2; i++)
		pthread_create(&r[i].thread, NULL, read_at_once, &r[i]);
	sleep_ms(2);
	go = true;
	for (i = 0; i < 2; i++)
		pthread_join(r[i].thread, NULL);
	return warned("Unbalanced enable");
}

/* Edges while the handler runs: is the line disabled twice, and enabled once? */
static bool d6(void)
{
	int i;

	pin(0);
	use_vector(O_RDONLY | O_NONBLOCK);
	route(1);
	take(irq_fd);
	for (i = 0; i < 10; i++)
		edu_raise(e);
	sleep_ms(2);
	while (take(irq_fd) > 0)
		;
	edu_raise(e);
	i = take_within(irq_fd, NEVER_MS);
	edu_ack(e);
	return i == -EAGAIN;
}

/* The line is asserted: the read lets it through, and then says that none came. */
static bool d7(void)
{
	long before;
	int ret, i, late = 0;

	pin(0);
	use_line(O_RDONLY | O_NONBLOCK);
	route(0);
	edu_raise(e);
	EQ(take_within(irq_fd, LONG_MS), 1);
	for (i = 0; i < 10; i++) {
		before = interrupts(line);
		ret = take(irq_fd);
		if (ret == -EAGAIN && interrupts(line) > before) {
			late++;
			ret = take(irq_fd);
		}
		EQ(ret, 1);
	}
	edu_ack(e);
	return late == 10;
}

static int watch(uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(0);

	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, irq_fd, &ev), 0);
	return ep;
}

/* One read for each event. */
static bool d8(void)
{
	struct epoll_event out;
	bool shown;
	int ep;

	use_line(O_RDONLY | O_NONBLOCK);
	ep = watch(EPOLLIN | EPOLLET);
	edu_raise(e);
	EQ(epoll_wait(ep, &out, 1, LONG_MS), 1);
	EQ(take(irq_fd), 1);
	edu_ack(e);
	edu_raise(e);
	shown = epoll_wait(ep, &out, 1, NEVER_MS) == 0;
	edu_ack(e);
	close(ep);
	return shown;
}

/* An edge that came while the line was masked, for whoever opens it next. */
static bool d9(void)
{
	bool shown;

	use_vector(O_RDONLY);
	while (take_within(irq_fd, SHORT_MS) > 0)
		;
	edu_raise(e);
	EQ(poll_in(irq_fd, LONG_MS), 1);
	edu_raise(e);
	sleep_ms(3);
	use_vector(O_RDONLY);
	shown = take_within(irq_fd, SHORT_MS) > 0;
	edu_ack(e);
	return shown;
}

/* The file is readable when a set gets it. */
static bool d15(void)
{
	struct epoll_event out;
	bool shown;
	int ep;

	use_line(O_RDONLY);
	edu_raise(e);
	EQ(poll_in(irq_fd, LONG_MS), 1);
	ep = watch(EPOLLIN);
	EQ(take(irq_fd), 1);
	edu_ack(e);
	if (fork() == 0) {
		/* The line is live by then, and the parent sleeps. */
		sleep_ms(SHORT_MS);
		edu_raise(e);
		_exit(0);
	}
	shown = epoll_wait(ep, &out, 1, NEVER_MS) == 0;
	wait(NULL);
	edu_ack(e);
	close(ep);
	return shown;
}

static const struct defect defects[] = {
	{ "D1", "one interrupt is delivered twice, the count is -1", d1, "R6", 20, false },
	{ "D2", "a sleeper is left behind a masked line", d2, NULL, 20, false },
	{ "D3", "check, then enable: 2 for one assertion", d3, "R2a", 20, false },
	{ "D4", "the same between masking and counting", d3, "H2", 20, true },
	{ "D5", "two enable the line once too often", d5, "R2b", 40, false },
	{ "D6", "the handler runs again while disabled", d6, "H2", 10, false },
	{ "D7", "EAGAIN, although one has come", d7, NULL, 3, false },
	{ "D8", "EPOLLET starves with one read for an event", d8, NULL, 1, false },
	{ "D9", "a phantom at the next open", d9, NULL, 3, false },
	{ "D15", "epoll is deaf to what was ready when added", d15, NULL, 1, false },
	{ NULL }
};

static int shown_after(const struct defect *d, int tries)
{
	int i;

	for (i = 1; i <= tries; i++) {
		if (d->try())
			return i;
	}
	return 0;
}

static void provoke(const struct defect *d)
{
	bool can_widen = d->step && widen(d->step, "0");
	int plain = can_widen ? PLAIN_TRIES : d->tries;
	char window[48] = "";
	int n = 0;

	if (can_widen && d->only_wide)
		plain = 0;
	n = shown_after(d, plain);
	if (!n && can_widen) {
		snprintf(window, sizeof(window), "%d", WINDOW_MS);
		widen(d->step, window);
		n = shown_after(d, d->tries);
		widen(d->step, "0");
		snprintf(window, sizeof(window), " with %d ms before %s",
			 WINDOW_MS, d->step);
	}
	if (n)
		printf("%s shown in try %d%s: %s\n", d->name, n, window,
		       d->what);
	else if (can_widen)
		printf("%s not shown in %d tries as it is, %d%s: %s\n", d->name,
		       plain, d->tries, window, d->what);
	else
		printf("%s not shown in %d tries: %s\n", d->name, plain,
		       d->what);
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 && strcmp(argv[1], "*") ? argv[1] : NULL;
	const struct defect *d;
	int status, ended = 0, begun = 0;

	if (!find_guest())
		return 1;
	for (d = defects; d->name; d++) {
		if (only && strcmp(only, d->name))
			continue;
		begun++;
		fflush(stdout);
		if (fork() == 0) {
			setpgid(0, 0);
			alarm(SECONDS);
			provoke(d);
			fflush(stdout);
			_exit(0);
		}
		wait(&status);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			ended++;
		else
			printf("not ok %s: status %#x\n", d->name, status);
	}
	printf("%d passed, %d failed\n", ended, begun - ended);
	return ended != begun;
}
