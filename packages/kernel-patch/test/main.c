// SPDX-License-Identifier: GPL-2.0
/*
 * Runs each test in a process of its own, so that what one leaves behind is
 * what the kernel failed to clean up, and a hang is one failure.
 */
#define _GNU_SOURCE
#include "guest.h"
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_SECONDS 120

static const char *current_test;

void fail(const char *file, int line, const char *what, long got, long want)
{
	printf("not ok %s\n  %s:%d: %s: got %ld, want %ld\n", current_test,
	       file, line, what, got, want);
	fflush(stdout);
	kill(0, SIGKILL);	/* with the children that a test started */
	_exit(1);
}

void note(const char *format, ...)
{
	va_list args;

	printf("  note %s: ", current_test);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static bool run(const struct test *t)
{
	int status, seconds;
	pid_t pid;

	current_test = t->name;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		t->run();
		fflush(stdout);
		_exit(0);
	}
	for (seconds = 0; waitpid(pid, &status, WNOHANG) == 0; seconds++) {
		if (seconds == TEST_SECONDS * 20) {
			printf("not ok %s\n  hangs\n", t->name);
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			return false;
		}
		usleep(50000);
	}
	/* Its children hold its descriptors until they have ended. */
	kill(-pid, SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("ok %s\n", t->name);
		return true;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		printf("not ok %s\n  ended by signal %d\n", t->name,
		       WTERMSIG(status));
	return false;
}

int main(int argc, char **argv)
{
	const struct test *suites[] = {
		pci_tests, irq_tests, dma_tests, msi_tests, irq_race_tests,
	};
	const char *pattern = argc > 1 ? argv[1] : "*";
	int passed = 0, failed = 0;
	unsigned int i;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!find_guest()) {
		printf("no edu device\n0 passed, 1 failed\n");
		return 1;
	}
	printf("edu %d, over the %s, %s IOMMU%s\n", edu_count,
	       over_module ? "module" : "patched kernel",
	       have_iommu ? "with" : "without",
	       debug_kernel ? ", debug build" : "");
	for (i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		const struct test *t;

		for (t = suites[i]; t->name; t++) {
			if (fnmatch(pattern, t->name, 0))
				continue;
			if (run(t))
				passed++;
			else
				failed++;
		}
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
