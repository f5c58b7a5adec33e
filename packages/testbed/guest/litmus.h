/* SPDX-License-Identifier: MIT */
/* What the parts of a litmus test share: its workers, and who sleeps. */
#ifndef LITMUS_H
#define LITMUS_H

#include "executor.h"
#include "calls.h"

#define WORKERS		4
#define MAIN		WORKERS
/* SCHED_FIFO: of main, and of workers, some of which preempt others (0: none). */
#define MAIN_PRIORITY	3
#define PRIORITIES	3

/* What main and a worker share about one run. */
struct worker {
	volatile pid_t tid;
	volatile int go;	/* the number of the run it may begin */
	volatile int done;	/* the number of the run it has ended */
	volatile int call;	/* counts; 0 outside of calls */
	volatile bool asleep;	/* main saw it sleep for good */
	unsigned int random;
	/*
	 * Its file in /proc: not opened during a run, when it would take a
	 * descriptor from the test.
	 */
	int syscall_fd;
	volatile int freed;	/* the run whose files a process has closed */
	struct log log;
};

struct litmus {
	struct worker workers[WORKERS + 1];
	struct memory memory;
	volatile int news;	/* goes up when a worker is done */
	volatile int visit;	/* asked for */
	/* Main asks whether a processor has nothing to do; the last answers. */
	volatile int idle_asked;
	volatile int idle[2];
	volatile int ready;	/* workers that have begun a run, in all runs */
};

extern struct litmus *litmus;
extern int nr_workers;
extern char kinds[WORKERS + 1];		/* t a thread, p a process */

void futex_wait(volatile int *word, int value);
void futex_wake(volatile int *word);
/* A worker is done, or a processor has nothing to do. */
void tell_news(void);

/* Starts what finds out who sleeps. */
void start_watching(void);
/* What had been sent to the other processor before has been taken. */
void visit_processors(void);
/* Waits for all workers, and ends the sleep of those that would not come. */
void gather(int run);

#endif /* LITMUS_H */
