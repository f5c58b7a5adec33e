// SPDX-License-Identifier: MIT
/*
 * Who sleeps for good. A worker that is not done may run, may be about to run,
 * or sleep in a call that nothing is left to end: the last is an outcome.
 */
#define _GNU_SOURCE
#include "litmus.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A worker that sleeps in a call that is no read or poll may only be slow. */
#define SLOW_MS		100
#define HANGS_MS	10000
#define SECOND_US	1000000

static void futex_wait_us(volatile int *word, int value, long us)
{
	struct timespec t = { us / SECOND_US, us % SECOND_US * 1000 };

	syscall(SYS_futex, word, FUTEX_WAIT, value, &t);
}

/* The number of the system call that a worker sleeps in, or -1 if it runs. */
static long sleeps_in(const struct worker *w)
{
	char text[128];
	ssize_t n = pread(w->syscall_fd, text, sizeof(text) - 1, 0);

	if (n <= 0 || *text == 'r')
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 10);
}

/* How long it has run, in nanoseconds: more of it means that it was awake. */
static long long has_run(const struct worker *w, char kind)
{
	/* As clock_getcpuclockid(3) has them: a process's, or a thread's. */
	clockid_t clock = (~(clockid_t)w->tid << 3) | 2 | (kind == 't' ? 4 : 0);
	struct timespec t;

	if (clock_gettime(clock, &t))
		return -1;
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static bool may_sleep_for_good(long call)
{
	return call == SYS_read || call == SYS_poll || call == SYS_select ||
		call == SYS_epoll_wait;
}

/* Answers whenever it is asked whether it runs on the other processor. */
static void *visitor(void *arg)
{
	(void)arg;
	pin_to_cpu(1);
	run_fifo(MAIN_PRIORITY);
	for (;;) {
		while (!litmus->visit)
			futex_wait(&litmus->visit, 0);
		litmus->visit = 0;
		futex_wake(&litmus->visit);
	}
	return NULL;
}

/* Answers when there is nothing else to do on its processor. */
static void *idler(void *arg)
{
	struct sched_param p = { 0 };
	int cpu = (int)(intptr_t)arg, asked = 0;

	pin_to_cpu(cpu);
	if (sched_setscheduler(0, SCHED_IDLE, &p))
		die("sched_setscheduler");
	for (;;) {
		while (litmus->idle_asked == asked)
			futex_wait(&litmus->idle_asked, asked);
		asked = litmus->idle_asked;
		litmus->idle[cpu] = asked;
		tell_news();
	}
	return NULL;
}

static void ask_idlers(void)
{
	litmus->idle_asked++;
	futex_wake(&litmus->idle_asked);
}

static bool all_idle(void)
{
	int asked = litmus->idle_asked;

	return litmus->idle[0] == asked && litmus->idle[1] == asked;
}

/*
 * Whatever had been sent to a processor before, an interrupt or a wake-up, has
 * been taken when somebody gets to run there.
 */
void visit_processors(void)
{
	litmus->visit = 1;
	futex_wake(&litmus->visit);
	while (litmus->visit)
		futex_wait(&litmus->visit, 1);
}

/*
 * Whether all that are not done sleep, and nothing is left to wake them. One
 * look is not enough: who has just been woken by another processor still looks
 * asleep. But it will have run when both processors have been visited.
 */
static bool all_asleep(int run, bool *waits_only)
{
	long long before[WORKERS];
	int i, look;

	*waits_only = true;
	for (look = 0; look < 2; look++) {
		if (look)
			visit_processors();
		for (i = 0; i < nr_workers; i++) {
			struct worker *w = &litmus->workers[i];
			long long ran;
			long call;

			if (w->done == run)
				continue;
			call = w->call ? sleeps_in(w) : -1;
			if (call < 0)
				return false;
			if (!may_sleep_for_good(call))
				*waits_only = false;
			ran = has_run(w, kinds[i]);
			if (ran < 0 || (look && ran != before[i]))
				return false;
			before[i] = ran;
		}
	}
	return true;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int unfinished(int run)
{
	int i, n = 0;

	for (i = 0; i < nr_workers; i++)
		n += litmus->workers[i].done != run;
	return n;
}

void gather(int run)
{
	long start = now_ms(), still = start;
	bool waits_only;

	ask_idlers();
	while (unfinished(run)) {
		int i, news = litmus->news;

		if (unfinished(run) && !all_idle())
			futex_wait_us(&litmus->news, news, SECOND_US);
		if (now_ms() - start > HANGS_MS) {
			dprintf(OWN_FDS, "litmus: a worker hangs\n");
			_exit(1);
		}
		if (!all_idle())
			continue;
		/* Whatever is found, it is looked again. */
		ask_idlers();
		if (!all_asleep(run, &waits_only)) {
			still = now_ms();
			continue;
		}
		if (!waits_only && now_ms() - still < SLOW_MS)
			continue;
		for (i = 0; i < nr_workers; i++) {
			struct worker *w = &litmus->workers[i];

			if (w->done == run)
				continue;
			w->asleep = true;
			syscall(SYS_tkill, w->tid, SIGUSR2);
		}
	}
}

void start_watching(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, visitor, NULL) ||
	    pthread_create(&thread, NULL, idler, (void *)0) ||
	    pthread_create(&thread, NULL, idler, (void *)1))
		die("pthread_create");
}
