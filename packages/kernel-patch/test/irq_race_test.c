// SPDX-License-Identifier: GPL-2.0
/* The irq file and the PCI calls with several threads, forks and kill -9. */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct edu *const e = &edu[0];
static int line, irq_fd;
static volatile bool stop;

static void start(int flags)
{
	CHECK(pci_open(e, EDU_MASK) >= 0);
	edu_map(e);
	line = edu_line(e);
	irq_fd = irq_open(line, flags);
	CHECK(irq_fd >= 0);
	edu_settle(e, irq_fd);
}

static int rounds(int n)
{
	return debug_kernel ? n / 4 : n;
}

static void *read_once(void *unused)
{
	(void)unused;
	return (void *)(long)take(irq_fd);
}

static void p8_close_in_read(void)
{
	pthread_t thread;
	void *ret;

	start(O_RDONLY);
	pthread_create(&thread, NULL, read_once, NULL);
	sleep_ms(100);
	close(irq_fd);
	/* The sleeper still holds the file. */
	EQ(irq_open(line, O_RDONLY), -EBUSY);
	edu_raise(e);
	pthread_join(thread, &ret);
	EQ((long)ret, 1);
	edu_ack(e);
	CHECK(irq_open(line, O_RDONLY) >= 0);
}

static void d12_no_position_lock(void)
{
	pthread_t thread;
	void *ret;

	start(O_RDONLY);
	pthread_create(&thread, NULL, read_once, NULL);
	sleep_ms(100);
	EQ(take_nonblock(irq_fd), -EAGAIN);
	edu_raise(e);
	pthread_join(thread, &ret);
	EQ((long)ret, 1);
}

/* D2: of two sleepers one takes the interrupt; the other must not be left. */
static void d2_two_sleepers(void)
{
	pthread_t t[2];
	bool done[2];
	void *ret;
	int i, j;

	start(O_RDONLY);
	for (i = 0; i < rounds(100); i++) {
		done[0] = done[1] = false;
		for (j = 0; j < 2; j++)
			pthread_create(&t[j], NULL, read_once, NULL);
		if (i & 1)
			sleep_ms(2);
		while (!done[0] || !done[1]) {
			edu_raise(e);
			sleep_ms(1);
			edu_ack(e);
			for (j = 0; j < 2; j++) {
				if (done[j] || pthread_tryjoin_np(t[j], &ret))
					continue;
				done[j] = true;
				EQ((long)ret, 1);
			}
		}
	}
}

static long taken;

static void *read_many(void *unused)
{
	long mine = 0;
	int ret;

	(void)unused;
	while (!stop) {
		ret = take(irq_fd);
		if (ret == -EAGAIN) {
			poll_in(irq_fd, 1);
			continue;
		}
		if (ret != 1)
			fail(__FILE__, __LINE__, "P12 take == 1", ret, 1);
		edu_ack(e);
		mine++;
	}
	__sync_fetch_and_add(&taken, mine);
	return NULL;
}

static void many_readers(int flags)
{
	struct timespec now, end;
	pthread_t t[4];
	long before, n = 0, all;
	int i;

	start(flags);
	before = interrupts(line);
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, read_many, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 2;
	do {
		edu_raise(e);
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	stop = true;
	for (i = 0; i < 4; i++) {
		while (pthread_tryjoin_np(t[i], NULL)) {
			edu_raise(e);
			sleep_ms(1);
		}
	}
	edu_ack(e);
	while (take_nonblock(irq_fd) == 1) {
		edu_ack(e);
		n++;
	}
	all = interrupts(line) - before;
	note("%ld interrupts, %ld counted", all, taken + n);
	EQ(taken + n, all);
}

/* D1, D3, D4, D5, P12: nothing is delivered twice, lost or negative. */
static void d1_blocking_readers(void)
{
	many_readers(O_RDONLY);
}

static void d1_polling_readers(void)
{
	many_readers(O_RDONLY | O_NONBLOCK);
}

static void *open_close(void *unused)
{
	int fd;

	(void)unused;
	while (!stop) {
		fd = irq_open(line, O_RDONLY | O_NONBLOCK);
		if (fd < 0 && fd != -EBUSY)
			fail(__FILE__, __LINE__, "open", fd, -EBUSY);
		if (fd >= 0) {
			take(fd);
			poll_in(fd, 0);
			close(fd);
		}
	}
	return NULL;
}

static void open_storm(void)
{
	pthread_t t[3];
	int i;

	start(O_RDONLY);
	close(irq_fd);
	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, open_close, NULL);
	for (i = 0; i < rounds(1000); i++) {
		edu_raise(e);
		sched_yield();
		edu_ack(e);
	}
	stop = true;
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(irq_open(line, O_RDONLY) >= 0);
}

static void *open_function(void *unused)
{
	long opened = 0;
	int fd;

	(void)unused;
	while (!stop) {
		fd = pci_open(e, EDU_MASK);
		if (fd < 0 && fd != -EBUSY)
			fail(__FILE__, __LINE__, "pci_open", fd, -EBUSY);
		if (fd >= 0) {
			opened++;
			close(fd);
		}
	}
	return (void *)opened;
}

/* Who opens while another one closes waits for it, or is told EBUSY. */
static void function_storm(void)
{
	pthread_t t[3];
	void *opened;
	int i;

	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, open_function, NULL);
	sleep_ms(3000);
	stop = true;
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], &opened);
		CHECK(opened);
	}
	CHECK(pci_open(e, EDU_MASK) >= 0);
}

/* Takes a function and all that goes with it, and never gives it back. */
static void *hog(void *unused)
{
	static uint8_t memory[64 * PAGE];
	static struct usr_pci_sg sg[80];
	struct usr_pci_mapping m;
	int32_t irq;
	int fd, f, n;
	uint64_t dma;
	void *page;

	(void)unused;
	for (n = 0;; n++) {
		fd = pci_open(e, EDU_MASK);
		if (fd == -EBUSY)
			continue;
		irq = edu_line(e);
		if (n & 1)
			pci_irq_vectors(fd, 1, 1, &irq);
		f = irq_open(irq, O_RDONLY | (n & 2 ? O_NONBLOCK : 0));
		for (int i = 0; i < 4; i++) {
			m = (struct usr_pci_mapping){
				.virtaddr = (uintptr_t)memory + i * (10 * PAGE + 99),
				.size = 8 * PAGE + i, .nents = 80,
				.sglist = (uintptr_t)sg, .direction = i % 3,
			};
			pci_mmap(fd, &m);
			pci_get_consistent(fd, PAGE, &page, &dma);
		}
		if (n % 3 == 0)
			take_nonblock(f);
		if (n % 5 == 4)
			poll_in(f, 1);
		pci_munmap(fd, &m);
		munmap(page, PAGE);
		if (n % 7 != 6)
			close(n & 1 ? fd : f);
		close(n & 1 ? f : fd);
		if (n % 7 == 6)
			take(f);
	}
	return NULL;
}

/* Of 10 ms: a busy host may not run the guest for seconds. */
#define KILL_WAITS 1500

static void kill_anywhere(void)
{
	struct timespec t = { 0, 0 };
	unsigned int seed = 1;
	int i, fd;
	pid_t pid;

	edu_count = 1;
	for (i = 0; i < rounds(200); i++) {
		pid = fork();
		if (pid == 0) {
			pthread_t other;

			signal(SIGTERM, SIG_DFL);
			if (i & 1)
				pthread_create(&other, NULL, hog, NULL);
			if (i % 3 == 0 && fork() == 0)
				hog(NULL);
			hog(NULL);
		}
		t.tv_nsec = rand_r(&seed) % 20000 * 1000L;
		nanosleep(&t, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		/* A grandchild may hold it; it is in our process group. */
		if (i % 3 == 0) {
			signal(SIGTERM, SIG_IGN);
			kill(0, SIGTERM);
		}
		fd = -EBUSY;
		for (int wait = 0; wait < KILL_WAITS && fd == -EBUSY; wait++) {
			if (wait)
				sleep_ms(10);
			fd = pci_open(e, EDU_MASK);
		}
		EQ(fd < 0 ? fd : 0, 0);
		line = edu_line(e);
		irq_fd = -EBUSY;
		for (int wait = 0; wait < KILL_WAITS && irq_fd == -EBUSY; wait++) {
			if (wait)
				sleep_ms(10);
			irq_fd = irq_open(line, O_RDONLY);
		}
		CHECK(irq_fd >= 0);
		close(irq_fd);
		close(fd);
		CHECK(!bus_master(e));
	}
}

/* Maps and unmaps from several threads, some of them with nonsense. */
static int shared_fd;

static void *map_unmap(void *arg)
{
	/* Each thread's own: DMA debugging reports mappings that overlap. */
	static uint8_t memories[3][32 * PAGE];
	unsigned int seed = (uintptr_t)arg + 1;
	uint8_t *memory = memories[(uintptr_t)arg];
	struct usr_pci_sg sg[40];
	struct usr_pci_mapping m;
	uint64_t dma;
	void *page;
	int n;

	/* At the end, go on until a call finds what ended it. */
	for (n = 0; !stop || n < 500; n += stop) {
		m = (struct usr_pci_mapping){
			.virtaddr = (uintptr_t)memory +
				    rand_r(&seed) % (16 * PAGE),
			.size = rand_r(&seed) % (16 * PAGE), .nents = 40,
			.sglist = (uintptr_t)sg, .direction = rand_r(&seed) % 4,
		};
		if (rand_r(&seed) % 8 == 0)
			m.sglist = 8;
		if (rand_r(&seed) % 8 == 0)
			m.virtaddr = rand_r(&seed);
		if (pci_mmap(shared_fd, &m) == 0) {
			if (pci_munmap(shared_fd, &m) != 0)
				CHECK(stop);
		} else {
			m.dmaaddr = (uint64_t)rand_r(&seed) * PAGE;
			pci_munmap(shared_fd, &m);
		}
		if (rand_r(&seed) % 4 == 0 &&
		    pci_get_consistent(shared_fd, PAGE, &page, &dma) == 0)
			munmap(page, PAGE);
	}
	return NULL;
}

static void map_storm(void)
{
	pthread_t t[3];
	int i;

	shared_fd = pci_open(e, EDU_MASK);
	CHECK(shared_fd >= 0);
	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, map_unmap, (void *)(uintptr_t)i);
	for (i = 0; i < 20; i++) {
		sleep_ms(100);
		/* Children with the descriptor, and pins across the fork. */
		if (fork() == 0)
			_exit(0);
	}
	while (wait(NULL) > 0)
		;
	/* Closed under them: the calls that hold it finish, the rest EINVAL. */
	stop = true;
	close(shared_fd);
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	EQ(locked_kib(), 0);
	CHECK(!bus_master(e));
}

static void *read_until_error(void *unused)
{
	int ret;

	(void)unused;
	do {
		ret = take(irq_fd);
	} while (ret > 0);
	return (void *)(long)ret;
}

/* The device goes away under calls, sleepers and mappings, and comes back. */
static void removal_storm(void)
{
	char path[80];
	pthread_t t[4];
	void *ret;
	int i, j;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", e->name);
	for (i = 0; i < rounds(12); i++) {
		shared_fd = -EAGAIN;
		for (j = 0; j < 100 && shared_fd < 0; j++) {
			shared_fd = pci_open(e, EDU_MASK);
			if (shared_fd < 0)
				sleep_ms(20);
		}
		CHECK(shared_fd >= 0);
		line = edu_line(e);
		if (i & 1)
			EQ(pci_irq_vectors(shared_fd, 1, 1, &line), 1);
		irq_fd = irq_open(line, O_RDONLY);
		CHECK(irq_fd >= 0);
		edu_map(e);
		edu_raise(e);
		for (j = 0; j < 2; j++)
			pthread_create(&t[j], NULL, map_unmap,
				       (void *)(uintptr_t)j);
		for (; j < 4; j++)
			pthread_create(&t[j], NULL, read_until_error, NULL);
		sleep_ms(20 + i * 7);
		/* From here on a call may find the device gone. */
		stop = true;
		EQ(sysfs_write(path, "1"), 1);
		for (j = 0; j < 4; j++) {
			pthread_join(t[j], &ret);
			if (j > 1)
				EQ((long)ret, -ENODEV);
		}
		close(shared_fd);
		close(irq_fd);
		EQ(locked_kib(), 0);
		munmap((void *)e->bar, PAGE);
		EQ(sysfs_write("/sys/bus/pci/rescan", "1"), 1);
		stop = false;
	}
}

const struct test irq_race_tests[] = {
	{ "P8 a blocked read holds the file that is closed under it",
	  p8_close_in_read },
	{ "D12 a sleeping reader does not stop another read",
	  d12_no_position_lock },
	{ "D2 of two sleepers none is left behind a masked line",
	  d2_two_sleepers },
	{ "D1 P12 four blocking readers: each interrupt counts once",
	  d1_blocking_readers },
	{ "D1 P12 four polling readers: each interrupt counts once",
	  d1_polling_readers },
	{ "P6 opens and closes race with interrupts", open_storm },
	{ "U1 UD12 opening the function races with closing it", function_storm },
	{ "U2 maps, unmaps, bad arguments and a close race", map_storm },
	{ "D13 removal races with calls, readers and mappings", removal_storm },
	{ "U2 kill -9 at any step leaves line and device free", kill_anywhere },
	{ NULL, NULL },
};
