// SPDX-License-Identifier: MIT
/*
 * Programs of system calls, which log a line for each call. A process runs some
 * of them one after the other, and gives back in between what the last one had:
 * a process for each would take longer than its calls.
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
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of real time, for a program that the executor cannot wake. */
#define HANGS_MS	10000
/* Programs that a process runs before it exits. */
#define OF_A_PROCESS	10

enum turn { PARENT, CHILD, CHILD_EXITS };

static struct shared {
	struct watch watch;
	struct memory memory;
	/* Between parent and child. */
	int turn;
	char *call;
	/* The next program to begin, and how many this process has ended. */
	char *volatile next;
	volatile int ended;
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

static char *run_program(char *calls)
{
	shared->memory.taken = taken();
	shared->memory.consistents = 0;
	forget_mappings(&shared->memory);
	set_action(SIGUSR1, count_signal);
	memset((void *)SCRATCH, 0, PAGE);
	map_arena();
	for (; *calls != '.'; calls = strchr(calls, '\n') + 1) {
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
	return calls + 2;
}

/* What the next program does not expect to find. */
static void clean_up(void)
{
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);
	unmap_arenas(&shared->memory);
	free_line();
	if (bus_master(device))
		say("leaves the device a bus master\n");
}

static void run_process(char *programs)
{
	run_fifo(2);
	set_action(SIGUSR2, count_signal);
	caller = (struct caller){
		.log = &shared->log, .watch = &shared->watch,
		.memory = &shared->memory, .scratch = SCRATCH, .settles = true,
	};
	map_scratch(SCRATCH);
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);
	while (*programs) {
		programs = run_program(programs);
		/* The last one's files are closed, and memory freed, by exit. */
		if (shared->ended == OF_A_PROCESS - 1 || !*programs)
			break;
		clean_up();
		say(".\n");
		shared->next = programs;
		shared->ended++;
	}
	_exit(0);
}

/* Ends the sleep of the program: the executor runs, so it does sleep. */
static void end_sleep(void)
{
	unsigned int call = shared->watch.calls;
	pid_t sleeper = shared->watch.sleeper;

	if (!sleeper)
		return;
	if (shared->watch.raise)
		move_pin(&shared->memory, EDU_IRQ_RAISE, 1);
	if (shared->watch.sleeper == sleeper && shared->watch.calls == call)
		kill(sleeper, SIGUSR2);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * Looks again and again, and never sleeps: it is the program that takes the
 * processor away, whenever it has something to do.
 */
static int supervise(pid_t process)
{
	int status, looks = 0, ended = 0;
	long start = now_ms();
	bool killed = false;

	while (waitpid(process, &status, WNOHANG) == 0) {
		if (shared->watch.sleeper)
			end_sleep();
		else
			sched_yield();
		if (++looks % 100)
			continue;
		if (ended != shared->ended) {
			ended = shared->ended;
			start = now_ms();
		} else if (!killed && now_ms() - start > HANGS_MS) {
			killed = true;
			kill(process, SIGKILL);
		}
	}
	/* A child whose parent ended before it. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	return killed ? -1 : WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void run_some(char *programs, struct text *log)
{
	pid_t process;
	int signum;

	memset(shared, 0, offsetof(struct shared, memory));
	memset(&shared->turn, 0, offsetof(struct shared, log.text) -
	       offsetof(struct shared, turn));
	shared->next = programs;
	process = fork();
	if (!process)
		run_process(programs);
	if (process < 0)
		die("fork");
	signum = supervise(process);
	put(log, "%.*s", (int)shared->log.length, shared->log.text);
	if (signum < 0)
		put(log, "hangs\n");
	else if (signum)
		put(log, "ended by signal %d\n", signum);
	free_line();
	if (bus_master(device))
		put(log, "leaves the device a bus master\n");
	put(log, ".\n");
}

void run_programs(char *programs, struct text *log)
{
	if (!shared) {
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED)
			die("mmap");
		shared->memory.moved = true;
		(void)taken();	/* opens its file, for all processes */
	}
	pin_to_cpu(0);
	caller.memory = &shared->memory;
	while (*programs) {
		char *end;

		run_some(programs, log);
		end = strstr(shared->next, ".\n");
		if (!end)
			die("a program without an end");
		programs = end + 2;
	}
}
