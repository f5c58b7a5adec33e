// SPDX-License-Identifier: MIT
/*
 * Programs of system calls. Each runs in a process of its own and logs a line
 * for each call.
 *
 * All of it runs on one processor, which also takes the interrupts, and the
 * program's processes are SCHED_FIFO where the executor is not. So nothing
 * depends on timing: an interrupt has arrived when the access that caused it
 * is over, and whenever the executor gets to run, the program sleeps.
 */
#define _GNU_SOURCE
#include "executor.h"
#include "calls.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of real time, for a program that the executor cannot wake. */
#define HANGS_MS	10000

enum turn { PARENT, CHILD, CHILD_EXITS };

static struct shared {
	struct watch watch;
	struct memory memory;
	/* Between parent and child. */
	int turn;
	char *call;
	struct log log;
} *shared;

static pid_t child;		/* in the parent, of the program */

static void wait_for_turn(enum turn turn)
{
	int now;

	while ((now = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE)),
	       (turn == PARENT) != (now == PARENT))
		syscall(SYS_futex, &shared->turn, FUTEX_WAIT, now, NULL);
}

static void give_turn(enum turn turn)
{
	__atomic_store_n(&shared->turn, turn, __ATOMIC_RELEASE);
	syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1);
}

static void run_child(void)
{
	for (;;) {
		wait_for_turn(CHILD);
		if (shared->turn == CHILD_EXITS)
			_exit(0);
		if (!make_call(shared->call))
			die("a call of a kind unknown");
		give_turn(PARENT);
	}
}

static void do_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		run_child();
	if (pid > 0)
		child = pid;
	say("%d", pid < 0 ? -errno : 0);
}

static void end_child(void)
{
	if (!child)
		return;
	give_turn(CHILD_EXITS);
	waitpid(child, NULL, 0);
	__atomic_store_n(&shared->turn, PARENT, __ATOMIC_RELEASE);
	child = 0;
}

static void parent_call(char *call)
{
	if (make_call(call))
		return;
	if (*call == 'F') {
		do_fork();
	} else if (*call == 'x') {
		end_child();
		say("0");
	} else {
		die("a call of a kind unknown");
	}
}

static void run_program(char *calls)
{
	char *next;

	pin_to_cpu(0);
	run_fifo(2);
	set_action(SIGUSR1, count_signal);
	set_action(SIGUSR2, count_signal);
	caller = (struct caller){
		.log = &shared->log, .watch = &shared->watch,
		.memory = &shared->memory, .scratch = SCRATCH, .settles = true,
	};
	map_scratch(SCRATCH);
	map_arena();
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);

	for (; *calls != '.'; calls = next) {
		next = strchr(calls, '\n') + 1;
		if (calls[2] == '1' && child) {
			shared->call = calls;
			give_turn(CHILD);
			wait_for_turn(PARENT);
		} else {
			parent_call(calls);
		}
		say("\n");
	}
	end_child();
	_exit(0);
}

static void sleep_us(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* Ends the sleep of the program: the executor runs, so it does sleep. */
static void end_sleep(void)
{
	unsigned int call = shared->watch.calls;
	pid_t sleeper = shared->watch.sleeper;

	if (!sleeper)
		return;
	if (shared->watch.raise) {
		edu_write(device, EDU_IRQ_RAISE, 1);
		(void)edu_read(device, EDU_IRQ_STATUS);
	}
	if (shared->watch.sleeper == sleeper && shared->watch.calls == call)
		kill(sleeper, SIGUSR2);
}

static void supervise(pid_t program, struct text *log)
{
	struct timespec start, now;
	int status, rounds = 0;
	bool killed = false;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (waitpid(program, &status, WNOHANG) == 0) {
		if (shared->watch.sleeper)
			end_sleep();
		else
			sleep_us(rounds++ < 50 ? 20 : 500);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!killed &&
		    (now.tv_sec - start.tv_sec) * 1000 > HANGS_MS) {
			killed = true;
			kill(program, SIGKILL);
		}
	}
	/* A child whose parent ended before it. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	put(log, "%.*s", (int)shared->log.length, shared->log.text);
	if (killed)
		put(log, "hangs\n");
	else if (WIFSIGNALED(status))
		put(log, "ended by signal %d\n", WTERMSIG(status));
}

void run_programs(char *programs, struct text *log)
{
	if (!shared) {
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED)
			die("mmap");
	}
	pin_to_cpu(0);
	while (*programs) {
		char *end = strstr(programs, ".\n");
		pid_t pid;

		if (!end)
			die("a program without an end");
		memset(shared, 0, offsetof(struct shared, log.text));
		forget_mappings(&shared->memory);
		shared->memory.taken = taken();
		pid = fork();
		if (!pid)
			run_program(programs);
		if (pid < 0)
			die("fork");
		supervise(pid, log);
		edu_write(device, EDU_IRQ_ACK, ~0u);
		if (bus_master(device))
			put(log, "leaves the device a bus master\n");
		put(log, ".\n");
		programs = end + 2;
	}
}
