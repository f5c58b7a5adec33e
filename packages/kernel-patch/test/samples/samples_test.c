// SPDX-License-Identifier: GPL-2.0
/* The modules of ../../samples, one after the other on the same edu device. */
#define _GNU_SOURCE
#include "../guest.h"
#include "../../samples/edu_dio.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct edu *const e = &edu[0];
static int passed, failed;

void fail(const char *file, int line, const char *what, long got, long want)
{
	printf("not ok\n  %s:%d: %s: got %ld, want %ld\n", file, line, what, got,
	       want);
	fflush(stdout);
	_exit(1);
}

static void load(const char *path)
{
	int fd = open(path, O_RDONLY);

	EQ(syscall(SYS_finit_module, fd, "", 0), 0);
	close(fd);
}

static void unload(const char *name)
{
	EQ(syscall(SYS_delete_module, name, 0), 0);
}

static void run(const char *name, void (*test)(void))
{
	int status;

	fflush(stdout);
	if (fork() == 0) {
		alarm(60);
		test();
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("ok %s\n", name);
		passed++;
	} else {
		printf("not ok %s: status %#x\n", name, status);
		failed++;
	}
}

/* The UIO stub */

static volatile uint32_t *regs;

static int uio_open(void)
{
	int fd = open("/dev/uio0", O_RDWR);

	CHECK(fd >= 0);
	regs = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(regs != MAP_FAILED);
	return fd;
}

static bool uio_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 200) == 1;
}

static void uio_counts(void)
{
	int fd = uio_open(), before, now, i;

	EQ(regs[EDU_ID / 4] & 0xff, 0xed);
	regs[EDU_IRQ_RAISE / 4] = 1;
	EQ(rd(fd, &before, 4), 4);
	/* Acknowledged before we heard of it. */
	EQ(regs[EDU_IRQ_STATUS / 4], 0);
	for (i = 1; i <= 5; i++) {
		regs[EDU_IRQ_RAISE / 4] = 1;
		EQ(rd(fd, &now, 4), 4);
		EQ(now, before + i);
	}
	CHECK(!uio_ready(fd));
}

static void uio_irqcontrol(void)
{
	int fd = uio_open(), off = 0, on = 1, count;

	EQ(wr(fd, &off, 2), -EINVAL);
	EQ(wr(fd, &off, 4), 4);
	regs[EDU_IRQ_RAISE / 4] = 1;
	CHECK(!uio_ready(fd));
	EQ(regs[EDU_IRQ_STATUS / 4], 1);
	EQ(wr(fd, &on, 4), 4);
	EQ(rd(fd, &count, 4), 4);
	EQ(regs[EDU_IRQ_STATUS / 4], 0);
}

static void uio_errors(void)
{
	int fd = uio_open(), count[2];

	EQ(rd(fd, count, 8), -EINVAL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	EQ(rd(fd, count, 4), -EAGAIN);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE) == MAP_FAILED);
	EQ(errno, EINVAL);
}

/* Direct I/O */

static int dio_fd;

static int dio(void *addr, uint64_t position, uint64_t size,
	       unsigned int direction, uint64_t *done)
{
	struct edu_dio_transfer t = {
		.addr = (uintptr_t)addr, .size = size, .position = position,
		.direction = direction, .timeout_ms = 2000,
	};
	int ret = ioctl(dio_fd, EDU_DIO_TRANSFER, &t) < 0 ? -errno : 0;

	if (done)
		*done = t.transferred;
	return ret;
}

static void dio_open(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/edu_dio-%s", e->name);
	dio_fd = open(path, O_RDWR);
	CHECK(dio_fd >= 0);
}

static unsigned char *pages(int n, int prot)
{
	unsigned char *p = mmap(NULL, n * PAGE, prot, MAP_PRIVATE |
				MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void dio_round_trip(void)
{
	static const struct { unsigned int at, len; } cases[] = {
		{ 0, 1 }, { 4095, 2 }, { 4090, 1030 }, { 3000, 3000 },
		{ 1, EDU_DIO_BUFFER },
	};
	unsigned char *out = pages(3, PROT_READ | PROT_WRITE);
	unsigned char *in = pages(3, PROT_READ | PROT_WRITE);
	unsigned int i, j;
	uint64_t done;

	dio_open();
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned int at = cases[i].at, len = cases[i].len;

		for (j = 0; j < 3 * PAGE; j++)
			out[j] = j * 7 + i;
		memset(in, 0xee, 3 * PAGE);
		EQ(dio(out + at, 0, len, EDU_DIO_TO_DEVICE, &done), 0);
		EQ(done, len);
		EQ(dio(in + at + 3, 0, len, EDU_DIO_FROM_DEVICE, &done), 0);
		EQ(done, len);
		EQ(memcmp(in + at + 3, out + at, len), 0);
		/* Not one byte more. */
		EQ(in[at + 2], 0xee);
		EQ(in[at + 3 + len], 0xee);
	}
}

static void dio_errors(void)
{
	unsigned char *two = pages(2, PROT_READ | PROT_WRITE);
	unsigned char *constant = pages(1, PROT_READ);
	uint64_t done;

	dio_open();
	EQ(dio(two, 0, 0, EDU_DIO_TO_DEVICE, &done), 0);
	EQ(done, 0);
	EQ(dio(two, 0, ~0ul, EDU_DIO_TO_DEVICE, NULL), -EFAULT);
	EQ(dio(two, 0, 1, 0, NULL), -EINVAL);
	EQ(dio(two, 0, 1, 3, NULL), -EINVAL);
	EQ(ioctl(dio_fd, 0, two) < 0 ? -errno : 0, -ENOTTY);
	EQ(ioctl(dio_fd, EDU_DIO_TRANSFER, 8) < 0 ? -errno : 0, -EFAULT);
	EQ(dio((void *)16, 0, 16, EDU_DIO_TO_DEVICE, NULL), -EFAULT);
	EQ(dio((void *)0xffff888000000000ul, 0, 16, EDU_DIO_TO_DEVICE, NULL),
	   -EFAULT);
	EQ(dio(constant, 0, 16, EDU_DIO_FROM_DEVICE, NULL), -EFAULT);
	EQ(dio(constant, 0, 16, EDU_DIO_TO_DEVICE, NULL), 0);
	/* The second chunk is short of memory: what was moved before counts. */
	munmap(two + PAGE, PAGE);
	EQ(dio(two, 0, 2 * EDU_DIO_BUFFER, EDU_DIO_TO_DEVICE, &done), -EFAULT);
	EQ(done, EDU_DIO_BUFFER);
	EQ(dio(two + PAGE - 1000, 0, 1024, EDU_DIO_TO_DEVICE, &done), -EFAULT);
	EQ(done, 0);
}

static void nothing(int sig)
{
	(void)sig;
}

static void dio_signal(void)
{
	struct sigaction a = { .sa_handler = nothing };
	unsigned char *p = pages(4, PROT_READ | PROT_WRITE);
	pid_t parent = getpid();
	uint64_t done;
	int ret;

	dio_open();
	sigaction(SIGUSR1, &a, NULL);
	if (fork() == 0) {
		sleep_ms(150);
		kill(parent, SIGUSR1);
		_exit(0);
	}
	ret = dio(p, 0, 4 * EDU_DIO_BUFFER, EDU_DIO_FROM_DEVICE, &done);
	EQ(ret, -EINTR);
	CHECK(done < 4 * EDU_DIO_BUFFER && done % EDU_DIO_BUFFER == 0);
	wait(NULL);
	/* The device has stopped, and takes the next one. */
	EQ(dio(p, 0, 100, EDU_DIO_TO_DEVICE, &done), 0);
	EQ(done, 100);
}

static void *dio_thread(void *p)
{
	uint64_t done;
	int ret = dio(p, 0, 2000, EDU_DIO_TO_DEVICE, &done);

	return (void *)(long)(ret == 0 && done == 2000);
}

static void dio_one_at_a_time(void)
{
	unsigned char *p = pages(4, PROT_READ | PROT_WRITE);
	pthread_t t[3];
	void *ok;
	int i;

	dio_open();
	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, dio_thread, p + i * PAGE + 50);
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], &ok);
		CHECK(ok);
	}
}

int main(void)
{
	if (!find_guest())
		return 1;
	load("/samples/uio_edu.ko");
	run("N1 the stub acknowledges, and each interrupt is counted", uio_counts);
	run("N4 irqcontrol masks and unmasks at the device", uio_irqcontrol);
	run("N1 N6 the errors of read and mmap", uio_errors);
	unload("uio_edu");

	load("/samples/edu_dio.ko");
	run("S4 M7 any size and alignment, both ways", dio_round_trip);
	run("S4 M8 the errors, and short transfers", dio_errors);
	run("S4 a signal ends a wait; the device has stopped by then", dio_signal);
	run("S4 one transfer at a time", dio_one_at_a_time);
	unload("edu_dio");
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
