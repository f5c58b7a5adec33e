// SPDX-License-Identifier: MIT
/*
 * Programs as hard on the kernel as they can be: several at once on the same
 * device and all processors, interrupted, signalled, and killed at any moment.
 * What they return does not matter; what they leave behind does.
 */
#define _GNU_SOURCE
#include "executor.h"
#include "calls.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE		3
/* Rounds of the supervisor, of some 100 us, that a program may live for. */
#define LONG_LIFE	400
#define SHORT_LIFE	40
/* Of waiting for what the kernel may do a little later. */
#define SETTLES_MS	2000

static struct log trash;
static struct memory memory;

static void run_program(char *calls)
{
	bool forked = false;

	setpgid(0, 0);
	set_action(SIGUSR1, count_signal);
	set_action(SIGUSR2, count_signal);
	caller = (struct caller){
		.log = &trash, .memory = &memory, .scratch = SCRATCH,
	};
	forget_mappings(&memory);
	map_scratch(SCRATCH);
	map_arena();
	syscall(SYS_close_range, 0, OWN_FDS - 1, 0);
	for (; *calls != '.'; calls = strchr(calls, '\n') + 1) {
		trash.length = 0;
		if (make_call(calls))
			continue;
		if (*calls == 'x' && forked)
			break;
		/* Parent and child both go on. */
		if (*calls == 'F' && !forked && fork() == 0)
			forked = true;
	}
	_exit(0);
}

static void disturb(const pid_t *pids, const int *lives)
{
	int i;

	switch (rand() % 4) {
	case 0:
		edu_write(device, EDU_IRQ_RAISE, 1 + rand() % 3);
		break;
	case 1:
		edu_write(device, EDU_IRQ_ACK, ~0u);
		break;
	case 2:
		i = rand() % AT_ONCE;
		if (pids[i])
			kill(-pids[i], rand() % 2 ? SIGUSR1 : SIGUSR2);
		break;
	}
	for (i = 0; i < AT_ONCE; i++) {
		if (pids[i] && lives[i] <= 0)
			kill(-pids[i], SIGKILL);
	}
	usleep(rand() % 200);
}

static int kill_and_wait(pid_t group)
{
	int n = 0;

	kill(-group, SIGKILL);
	while (waitpid(-group, NULL, 0) > 0)
		n++;
	return n;
}

/* Pages that drivers hold, over the life of the kernel. */
static long pinned(void)
{
	long value, acquired = -1, released = -1;
	FILE *f = fopen("/proc/vmstat", "r");
	char name[64];

	while (f && fscanf(f, "%63s %ld", name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired"))
			acquired = value;
		else if (!strcmp(name, "nr_foll_pin_released"))
			released = value;
	}
	if (f)
		fclose(f);
	if (acquired < 0 || released < 0)
		die("/proc/vmstat");
	return acquired - released;
}

/* With every program gone, everything is free. */
static void check_freed(struct text *log)
{
	int ms, irq = -1, pci = -1;

	for (ms = 0; ms < SETTLES_MS; ms += 10) {
		if (!bus_master(device) && !pinned())
			break;
		sleep_ms(10);
	}
	if (bus_master(device))
		put(log, "the device still is a bus master\n");
	if (pinned())
		put(log, "%ld pages are still pinned\n", pinned());
	irq = irq_open(line, O_RDONLY | O_NONBLOCK);
	if (irq < 0)
		put(log, "the line is not free: %d\n", irq);
	else
		edu_settle(device, irq);
	pci = pci_open(device, EDU_MASK);
	if (pci < 0)
		put(log, "the function is not free: %d\n", pci);
	close(irq);
	close(pci);
}

void run_stress(char *programs, struct text *log)
{
	pid_t pids[AT_ONCE] = { 0 };
	int lives[AT_ONCE] = { 0 }, i, running = 0;

	while (*programs || running) {
		for (i = 0; i < AT_ONCE && *programs; i++) {
			if (pids[i])
				continue;
			pids[i] = fork();
			if (!pids[i])
				run_program(programs);
			if (pids[i] < 0)
				die("fork");
			setpgid(pids[i], pids[i]);
			lives[i] = rand() % (rand() % 2 ? LONG_LIFE : SHORT_LIFE);
			programs = strstr(programs, ".\n") + 2;
			running++;
		}
		disturb(pids, lives);
		for (i = 0; i < AT_ONCE; i++) {
			if (!pids[i])
				continue;
			lives[i]--;
			if (waitpid(pids[i], NULL, WNOHANG) == pids[i]) {
				kill_and_wait(pids[i]);
				pids[i] = 0;
				running--;
			}
		}
	}
	edu_write(device, EDU_IRQ_ACK, ~0u);
	check_freed(log);
}
