// SPDX-License-Identifier: MIT
/*
 * Litmus tests: a few workers, threads or processes, make a few calls at the
 * same time on two processors, again and again, and every outcome is counted.
 *
 * A request is a line with the number of runs and one letter for each worker
 * (t a thread, p a process), then programs: what is done before, each
 * worker's, and what is done after. An outcome is what all calls logged.
 */
#define _GNU_SOURCE
#include "litmus.h"
#include "handover.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTCOMES	200
#define PROGRAMS	(WORKERS + 2)
/* Runs between two changes of who runs where. */
#define PLACE_RUNS	50
/* Of a worker before it lets another one have the processor: some 10 us. */
#define SPINS		1000

/*
 * A function without an interrupt pin, where the machine has one: no firmware
 * code runs to route it, which is most of what opening a function takes.
 */
#define PINLESS		"/sys/bus/pci/devices/0000:00:1e.0"
static struct edu pinless = { .slot = 0x1e };

struct litmus *litmus;
int nr_workers;
char kinds[WORKERS + 1];
static char *programs[PROGRAMS];

/* Where a process gets the files of a run, and who sends them. */
static int sockets[WORKERS];

/* What the setup opens first stays open from run to run. */
static bool line_kept, function_kept;

static int routed_to;		/* the processor that takes interrupts */

static struct outcome {
	char *text;
	long count;
} outcomes[OUTCOMES];

static int nr_outcomes;

void futex_wait(volatile int *word, int value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL);
}

void futex_wake(volatile int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, WORKERS);
}

void tell_news(void)
{
	__atomic_add_fetch(&litmus->news, 1, __ATOMIC_SEQ_CST);
	futex_wake(&litmus->news);
}

static unsigned int random_of(struct worker *w, unsigned int bound)
{
	w->random = w->random * 1664525 + 1013904223;
	return (w->random >> 8) % bound;
}

/* Between none and some 10,000 instructions, short and long ones alike. */
static void loiter(struct worker *w)
{
	volatile unsigned int n = random_of(w, 1u << random_of(w, 13));

	while (n--)
		;
}

static void signal_worker(int which)
{
	struct worker *w = &litmus->workers[which];

	syscall(SYS_tkill, w->tid, SIGUSR1);
}

static void litmus_call(char *call)
{
	if (make_call(call))
		return;
	if (*call == 'T')
		signal_worker(atoi(call + 4));
	else
		die("a call of a kind unknown");
}

static void make_calls(char *calls, struct worker *w, bool loiters)
{
	for (; *calls != '.'; calls = strchr(calls, '\n') + 1) {
		size_t before = w->log.length;

		if (loiters)
			loiter(w);
		w->call++;
		litmus_call(calls);
		if (w->asleep) {
			w->log.length = before;
			say("asleep");
			w->call = 0;
			return;
		}
		if (w->log.length > before)
			say(", ");
	}
	w->call = 0;
}

static void be_worker(int which)
{
	caller = (struct caller){
		.log = &litmus->workers[which].log, .memory = &litmus->memory,
		.scratch = SCRATCH + which * SCRATCH_STRIDE,
	};
}

static void run_worker(int which, int run)
{
	struct worker *w = &litmus->workers[which];
	int spins;

	while (w->go < run)
		futex_wait(&w->go, run - 1);
	if (kinds[which] == 'p')
		take_files(sockets[which]);
	__atomic_add_fetch(&litmus->ready, 1, __ATOMIC_SEQ_CST);
	/* Together, as far as there are processors; all of one priority here. */
	for (spins = 0; litmus->ready < run * nr_workers; spins++) {
		if (spins % SPINS == SPINS - 1)
			sched_yield();
	}
	run_fifo((which + run / PLACE_RUNS / 2) % PRIORITIES);
	make_calls(programs[1 + which], w, true);
	run_fifo(1);
	w->done = run;
	tell_news();
	if (kinds[which] != 'p')
		return;
	/* As a process does that ends. */
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);
	w->freed = run;
	futex_wake(&w->freed);
}

/* Workers are on one processor and the other in turn. */
static void place_worker(int which, int run)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((which + run / PLACE_RUNS) % 2, &set);
	sched_setaffinity(litmus->workers[which].tid, sizeof(set), &set);
}

static int open_proc(const struct worker *w, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", w->tid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void *worker(void *arg)
{
	int which = (int)(intptr_t)arg, run;

	be_worker(which);
	run_fifo(1);
	litmus->workers[which].tid = syscall(SYS_gettid);
	for (run = 1;; run++)
		run_worker(which, run);
	return NULL;
}

static void start_process(int which)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		die("socketpair");
	sockets[which] = own_fd(ends[0]);
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		sockets[which] = own_fd(ends[1]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker((void *)(intptr_t)which);
	}
	close(ends[1]);
}

static void start_worker(int which)
{
	struct worker *w = &litmus->workers[which];
	pthread_t thread;

	w->random = 12345 * (which + 1);
	map_scratch(SCRATCH + which * SCRATCH_STRIDE);
	if (kinds[which] == 'p')
		start_process(which);
	else if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)which))
		die("pthread_create");
	while (!w->tid)
		usleep(100);
	w->syscall_fd = own_fd(open_proc(w, "syscall"));
}

static void count_outcome(const char *text)
{
	int i;

	for (i = 0; i < nr_outcomes; i++) {
		if (!strcmp(outcomes[i].text, text)) {
			outcomes[i].count++;
			return;
		}
	}
	if (nr_outcomes == OUTCOMES)
		die("too many outcomes");
	outcomes[nr_outcomes].text = strdup(text);
	outcomes[nr_outcomes++].count = 1;
}

static void tell_outcome(void)
{
	char text[1024];
	size_t n = 0;
	int i;

	for (i = 0; i <= WORKERS; i++) {
		struct log *log = &litmus->workers[i].log;

		if (i < nr_workers || i == MAIN)
			n += snprintf(text + n, sizeof(text) - n, "%s%.*s",
				      i == MAIN ? " => " : i ? " | " : "",
				      (int)log->length, log->text);
		if (n >= sizeof(text))
			die("a long outcome");
	}
	count_outcome(text);
}

static int calls_of(const char *program, char letter)
{
	int n = 0;

	for (; *program != '.'; program = strchr(program, '\n') + 1)
		n += *program == letter;
	return n;
}

/*
 * Whether the next run has what the setup opens first. Nobody closes it, or
 * workers do and it is opened once more after them.
 */
static bool keeps_first(char letter)
{
	const char *setup = programs[0], *after = programs[1 + nr_workers];
	int i, closes = calls_of(after, 'c');

	if (*setup != letter || calls_of(setup, letter) != 1 || closes)
		return false;
	for (i = 1; i <= nr_workers; i++) {
		if (calls_of(programs[i], letter))
			return false;
		closes += calls_of(programs[i], 'c');
	}
	return calls_of(after, letter) == !!closes;
}

/* The line as it is when it has just been opened: unmasked, nothing counted. */
static void renew_line(void)
{
	fcntl(0, F_SETFL, O_NONBLOCK);
	while (take(0) > 0)
		;
	fcntl(0, F_SETFL, atoi(programs[0] + 6));
}

static void renew_function(void)
{
	struct usr_pci_mapping m = { .direction = USR_PCI_BIDIRECTIONAL };
	int i;

	for (i = 0; i < MAPPINGS; i++) {
		m.dmaaddr = litmus->memory.mappings[i];
		if (m.dmaaddr != NO_MAPPING)
			pci_munmap(0, &m);
	}
}

static void take_interrupts(void)
{
	if (routed_to)
		visit_processors();
}

/* Opening takes longer than all else: what can be kept open is. */
static void set_up(void)
{
	struct worker *main = &litmus->workers[MAIN];
	char *calls = programs[0];

	caller.settles = true;
	/* It is not, where opening it again has failed. */
	if ((line_kept || function_kept) && fcntl(0, F_GETFD) >= 0) {
		if (line_kept)
			renew_line();
		else
			renew_function();
		calls = strchr(calls, '\n') + 1;
	}
	forget_mappings(&litmus->memory);
	map_arena();
	make_calls(calls, main, false);
	take_interrupts();
	main->log.length = 0;
}

static void clean_up(void)
{
	/* While the line is open, so that its pin is seen to fall. */
	if (edu_read(device, EDU_IRQ_STATUS))
		move_pin(&litmus->memory, EDU_IRQ_ACK, ~0u);
	take_interrupts();
	syscall(SYS_close_range, line_kept || function_kept, OWN_FDS - 1, 0);
}

static void start_run(int run)
{
	int i;

	for (i = 0; i < nr_workers; i++) {
		if (kinds[i] == 'p')
			send_files(sockets[i]);
	}
	for (i = 0; i < nr_workers; i++) {
		/* In any order. */
		struct worker *w = &litmus->workers[(i + run) % nr_workers];

		w->go = run;
		futex_wake(&w->go);
	}
}

static void await_processes(int run)
{
	int i;

	for (i = 0; i < nr_workers; i++) {
		struct worker *w = &litmus->workers[i];

		while (kinds[i] == 'p' && w->freed < run)
			futex_wait(&w->freed, run - 1);
	}
}

static void run_once(int run)
{
	struct worker *main = &litmus->workers[MAIN];
	int i;

	for (i = 0; i <= WORKERS; i++) {
		litmus->workers[i].log.length = 0;
		litmus->workers[i].asleep = false;
	}
	set_up();
	start_run(run);
	gather(run);
	await_processes(run);
	take_interrupts();
	/* Who opens the line finds its pin as it is, not as it was. */
	caller.settles = true;
	make_calls(programs[1 + nr_workers], main, false);
	tell_outcome();
	clean_up();
}

static void place_all(int run)
{
	char path[64];
	int i;

	/* Interrupts go to main's processor mostly, which is quicker. */
	routed_to = run / PLACE_RUNS % 4 == 3;
	snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity", line);
	sysfs_write(path, routed_to ? "2" : "1");
	for (i = 0; i < nr_workers; i++)
		place_worker(i, run);
}

static void run_test(int runs, struct text *log)
{
	int i, run;

	set_action(SIGUSR1, count_signal);
	set_action(SIGUSR2, count_signal);
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);
	pin_to_cpu(0);
	start_watching();
	if (exists(PINLESS))
		function = &pinless;
	be_worker(MAIN);
	map_scratch(SCRATCH + MAIN * SCRATCH_STRIDE);
	litmus->memory.moved = true;
	line_kept = keeps_first('o');
	function_kept = keeps_first('O');
	/* Those that are forked first: they have no part in the threads. */
	for (i = 0; i < nr_workers; i++) {
		if (kinds[i] == 'p')
			start_worker(i);
	}
	for (i = 0; i < nr_workers; i++) {
		if (kinds[i] != 'p')
			start_worker(i);
	}
	/* Before the workers: it starts them all, and never waits for one to yield. */
	run_fifo(MAIN_PRIORITY);
	for (run = 1; run <= runs; run++) {
		if (run % PLACE_RUNS == 1)
			place_all(run);
		run_once(run);
	}
	for (i = 0; i < nr_outcomes; i++)
		put(log, "%ld\t%s\n", outcomes[i].count, outcomes[i].text);
}

/* The test has a process of its own, which sends its answer through a pipe. */
void run_litmus(char *request, struct text *log)
{
	int runs = strtol(request, &request, 10), i, pipes[2], status;
	char chunk[4096];
	ssize_t n;
	pid_t pid;

	nr_workers = 0;
	while (*++request != '\n' && nr_workers < WORKERS)
		kinds[nr_workers++] = *request;
	for (i = 0, request++; *request && i < PROGRAMS; i++) {
		programs[i] = request;
		request = strstr(request, ".\n") + 2;
	}
	litmus = mmap(NULL, sizeof(*litmus), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (litmus == MAP_FAILED || pipe(pipes))
		die("litmus");
	pid = fork();
	if (!pid) {
		struct text answer = { 0 };
		int out = own_fd(pipes[1]);

		run_test(runs, &answer);
		if (write(out, answer.bytes, answer.length) !=
		    (ssize_t)answer.length)
			die("the answer");
		_exit(0);
	}
	close(pipes[1]);
	while ((n = read(pipes[0], chunk, sizeof(chunk))) > 0)
		put(log, "%.*s", (int)n, chunk);
	close(pipes[0]);
	waitpid(pid, &status, 0);
	/* And the processes of its workers, which end with it. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	munmap(litmus, sizeof(*litmus));
	if (status)
		put(log, "failed\t%d\n", status);
}
