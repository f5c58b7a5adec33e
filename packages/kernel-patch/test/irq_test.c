// SPDX-License-Identifier: GPL-2.0
/* The irq file: rules P1 to P14, one thread at a time. */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct edu *const e = &edu[0];
static int line;

/* The device enabled, quiet, and its line's file open. */
static int start(int flags)
{
	int fd;

	CHECK(pci_open(e, EDU_MASK) >= 0);
	edu_map(e);
	line = edu_line(e);
	fd = irq_open(line, flags);
	CHECK(fd >= 0);
	edu_settle(e, fd);
	return fd;
}

/* Raise, and let the file count it. */
static void raise_counted(int fd)
{
	edu_raise(e);
	EQ(poll_in(fd, LONG_MS), POLLIN);
}

static void d14_file(void)
{
	struct stat st;
	char path[40];

	CHECK(pci_open(e, EDU_MASK) >= 0);
	irq_path(edu_line(e), path, sizeof(path));
	EQ(stat(path, &st), 0);
	EQ(st.st_mode & 07777, 0600);
	EQ(st.st_uid, 0);
}

static void p1_vfs(void)
{
	void *kernel = (void *)0xffff888000000000ul;
	int fd = start(O_RDONLY), w;
	int count[2];
	void *low = mmap((void *)0x10000000, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	EQ(rd(-1, count, 4), -EBADF);
	EQ(rd(fd, kernel, 4), -EFAULT);
	raise_counted(fd);
	/*
	 * 6.1 cuts a length to MAX_RW_COUNT, where P1 has EINVAL. The address
	 * is low enough that the range stays in user space.
	 */
	EQ(rd(fd, low, 0x80000000ul), 4);
	EQ(rd(fd, count, (size_t)-1), -EFAULT);
	EQ(pread(fd, count, 4, 0), -1);
	EQ(errno, ESPIPE);
	EQ(lseek(fd, 0, SEEK_SET), -1);
	EQ(errno, ESPIPE);
	close(fd);
	w = irq_open(line, O_WRONLY);
	CHECK(w >= 0);
	EQ(rd(w, count, 4), -EBADF);
}

static void p2_four_bytes(void)
{
	int fd = start(O_RDONLY);
	struct iovec v[2];
	int a[16], b = 7;

	memset(a, 0x55, sizeof(a));
	raise_counted(fd);
	EQ(rd(fd, a, 3), -EINVAL);
	EQ(rd(fd, a, 0), -EINVAL);
	EQ(rd(fd, a, sizeof(a)), 4);
	EQ(a[0], 1);
	EQ(a[1], 0x55555555);
	edu_ack(e);
	v[0] = (struct iovec){ a, 4 };
	v[1] = (struct iovec){ &b, 4 };
	a[0] = 0;
	raise_counted(fd);
	EQ(readv(fd, v, 2), 4);
	EQ(a[0], 1);
	EQ(b, 7);
}

static void p3_fault(void)
{
	char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = start(O_RDONLY);

	munmap(two + PAGE, PAGE);
	raise_counted(fd);
	EQ(rd(fd, (void *)16, 4), -EFAULT);
	EQ(rd(fd, two + PAGE - 2, 4), -EFAULT);
	EQ(take_nonblock(fd), 1);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void alarm_in(int ms, int flags)
{
	struct sigaction a = { .sa_handler = on_alarm, .sa_flags = flags };
	pid_t parent = getpid();

	sigaction(SIGUSR1, &a, NULL);
	if (fork() == 0) {
		sleep_ms(ms);
		kill(parent, SIGUSR1);
		_exit(0);
	}
}

static void p4_eintr(void)
{
	int fd = start(O_RDONLY);

	alarm_in(100, 0);
	EQ(take(fd), -EINTR);
	edu_raise(e);
	EQ(take(fd), 1);
}

static void p4_restart(void)
{
	int fd = start(O_RDONLY);

	alarm_in(50, SA_RESTART);
	if (fork() == 0) {
		sleep_ms(300);
		edu_raise(e);
		_exit(0);
	}
	EQ(take(fd), 1);
}

static void p4_eagain(void)
{
	EQ(take(start(O_RDONLY | O_NONBLOCK)), -EAGAIN);
	EQ(EWOULDBLOCK, EAGAIN);
}

/* One call that does not sleep, on a file whose reads do. */
static void p4_nowait(void)
{
	int fd = start(O_RDONLY), count = 0;
	struct iovec vector = { &count, sizeof(count) };

	EQ(preadv2(fd, &vector, 1, -1, RWF_NOWAIT), -1);
	EQ(errno, EAGAIN);
	raise_counted(fd);
	EQ(preadv2(fd, &vector, 1, -1, RWF_NOWAIT), sizeof(count));
	EQ(count, 1);
	edu_ack(e);
	/* It unmasks the line, as each read that finds nothing. */
	EQ(preadv2(fd, &vector, 1, -1, RWF_NOWAIT), -1);
	EQ(errno, EAGAIN);
	raise_counted(fd);
}

static void p5_masked(void)
{
	int fd = start(O_RDONLY);
	long before;

	raise_counted(fd);
	EQ(take(fd), 1);
	edu_ack(e);
	before = interrupts(line);
	edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before);
	EQ(take(fd), 1);
	EQ(interrupts(line), before + 1);
}

static void p6_busy(void)
{
	int fd = start(O_RDONLY);
	pid_t pid;
	int status;

	EQ(irq_open(line, O_RDONLY), -EBUSY);
	pid = fork();
	if (pid == 0)
		_exit(irq_open(line, O_RDWR) == -EBUSY ? 0 : 1);
	waitpid(pid, &status, 0);
	EQ(status, 0);
	close(fd);
	CHECK(irq_open(line, O_RDONLY) >= 0);
}

static void p6_kernel_lines(void)
{
	/* The timer, and the shared SCI. */
	EQ(irq_open(0, O_RDONLY), -EBUSY);
	EQ(irq_open(9, O_RDONLY), -EBUSY);
}

static void p6_user(void)
{
	CHECK(pci_open(e, EDU_MASK) >= 0);
	line = edu_line(e);
	EQ(setuid(1000), 0);
	EQ(irq_open(line, O_RDONLY), -EACCES);
}

static void p6_name(void)
{
	CHECK(pci_open(e, EDU_MASK) >= 0);
	line = edu_line(e);
	prctl(PR_SET_NAME, "p6-driver");
	CHECK(irq_open(line, O_RDONLY) >= 0);
	CHECK(interrupts_show(line, "p6-driver"));
}

static void d10_names(void)
{
	const char *names[] = { "irq", "spurious", "node", "smp_affinity", "a/b",
				"..", "", "smp_affinity_list" };
	unsigned int i;
	int fd;

	CHECK(pci_open(e, EDU_MASK) >= 0);
	line = edu_line(e);
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		prctl(PR_SET_NAME, names[i]);
		fd = irq_open(line, O_RDONLY);
		CHECK(fd >= 0);
		/* The file is still the file. */
		EQ(irq_open(line, O_RDONLY), -EBUSY);
		close(fd);
	}
}

/* The VFS says so before it looks at the buffer. */
static void write_is_einval(int fd)
{
	int count = 1;

	EQ(wr(fd, &count, 4), -EINVAL);
	EQ(wr(fd, &count, 0), -EINVAL);
	EQ(wr(fd, (void *)8, 4), -EINVAL);
	EQ(wr(fd, (void *)0xffff888000000000ul, 4), -EINVAL);
	EQ(wr(fd, &count, (size_t)-1), -EINVAL);
}

static void p7_write_only(void)
{
	int fd = start(O_RDONLY), count = 1;

	close(fd);
	fd = irq_open(line, O_WRONLY);
	CHECK(fd >= 0);
	EQ(irq_open(line, O_RDONLY), -EBUSY);
	EQ(rd(fd, &count, 4), -EBADF);
	write_is_einval(fd);
	close(fd);
	fd = irq_open(line, O_RDWR);
	CHECK(fd >= 0);
	write_is_einval(fd);
	close(fd);
	fd = irq_open(line, O_RDONLY);
	CHECK(fd >= 0);
	EQ(wr(fd, &count, 4), -EBADF);
}

static void p8_dup_fork(void)
{
	int fd = start(O_RDONLY), d = dup(fd), status;
	pid_t pid;

	close(fd);
	EQ(irq_open(line, O_RDONLY), -EBUSY);
	raise_counted(d);
	pid = fork();
	if (pid == 0)
		_exit(take(d) == 1 ? 0 : 1);
	waitpid(pid, &status, 0);
	EQ(status, 0);
	edu_ack(e);
	EQ(take_nonblock(d), -EAGAIN);
	close(d);
	CHECK(irq_open(line, O_RDONLY) >= 0);
}

static void p9_at_open(void)
{
	int i, at_once = 0, fd;

	fd = start(O_RDONLY);
	/* Raised with the line open: see edu_settle(). */
	edu_raise(e);
	close(fd);
	for (i = 0; i < 50; i++) {
		fd = irq_open(line, O_RDONLY | O_NONBLOCK);
		CHECK(fd >= 0);
		if (take(fd) == 1)
			at_once++;
		else
			EQ(take_within(fd, LONG_MS), 1);
		close(fd);
	}
	note("asserted at open: counted before the first read in %d of 50",
	     at_once);
}

static void p10_poll_unmasks(void)
{
	int fd = start(O_RDONLY);
	struct timeval zero = { 0, 0 };
	fd_set set;
	long before;

	raise_counted(fd);
	EQ(take(fd), 1);
	edu_ack(e);
	before = interrupts(line);
	poll_in(fd, 0);
	edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before + 1);
	EQ(take_nonblock(fd), 1);
	edu_ack(e);

	FD_ZERO(&set);
	FD_SET(fd, &set);
	EQ(select(fd + 1, &set, NULL, NULL, &zero), 0);
	edu_raise(e);
	FD_SET(fd, &set);
	EQ(select(fd + 1, &set, NULL, NULL, NULL), 1);
	EQ(take(fd), 1);
}

static void p11_stays_unmasked(void)
{
	int fd = start(O_RDONLY);
	long before = interrupts(line);

	EQ(take_nonblock(fd), -EAGAIN);
	edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before + 1);
	EQ(take(fd), 1);
	edu_ack(e);
	EQ(poll_in(fd, SHORT_MS), 0);
	edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before + 2);
	EQ(take(fd), 1);
	edu_ack(e);
	alarm_in(50, 0);
	EQ(take(fd), -EINTR);
	edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before + 3);
}

static void p13_stuck(void)
{
	int fd = start(O_RDONLY), i;
	long before = interrupts(line);

	edu_raise(e);
	for (i = 0; i < 50; i++)
		EQ(take(fd), 1);
	EQ(interrupts(line), before + 50);
	sleep_ms(SHORT_MS);
	EQ(interrupts(line), before + 50);
}

static void d7_asserted_nonblock(void)
{
	int fd = start(O_RDONLY | O_NONBLOCK), i, ret, later = 0;

	edu_raise(e);
	EQ(poll_in(fd, LONG_MS), POLLIN);
	EQ(take(fd), 1);
	for (i = 0; i < 200; i++) {
		ret = take(fd);
		if (ret == -EAGAIN) {
			later++;
			ret = take_within(fd, LONG_MS);
		}
		EQ(ret, 1);
	}
	note("asserted line, O_NONBLOCK: %d of 200 reads said EAGAIN first",
	     later);
}

static void p14_epoll(void)
{
	int fd = start(O_RDONLY | O_NONBLOCK), ep = epoll_create1(0), i;
	struct epoll_event ev = { .events = EPOLLIN }, out;

	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	for (i = 0; i < 5; i++) {
		edu_raise(e);
		EQ(epoll_wait(ep, &out, 1, LONG_MS), 1);
		EQ(take(fd), 1);
		edu_ack(e);
		/* Polls again, finds nothing, and so unmasks. */
		EQ(epoll_wait(ep, &out, 1, 0), 0);
	}
}

static void p14_epollet(void)
{
	int fd = start(O_RDONLY | O_NONBLOCK), ep = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET }, out;
	long before;

	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	edu_raise(e);
	EQ(epoll_wait(ep, &out, 1, LONG_MS), 1);
	EQ(take(fd), 1);
	edu_ack(e);
	before = interrupts(line);
	edu_raise(e);
	EQ(epoll_wait(ep, &out, 1, SHORT_MS), 0);
	EQ(interrupts(line), before);
	/* Until EAGAIN, as with every edge-triggered descriptor. */
	while (take(fd) > 0)
		edu_ack(e);
	edu_raise(e);
	EQ(epoll_wait(ep, &out, 1, LONG_MS), 1);
	EQ(take(fd), 1);
}

/* A file that is ready when it is added wakes the set later all the same. */
static void ready_at_add(uint32_t events)
{
	int fd = start(O_RDONLY), ep = epoll_create1(0), i;
	struct epoll_event ev = { .events = EPOLLIN | events }, out;

	raise_counted(fd);
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	EQ(take(fd), 1);
	edu_ack(e);
	for (i = 0; i < 3; i++) {
		if (fork() == 0) {
			/* The line is live, and the parent sleeps. */
			sleep_ms(SHORT_MS);
			edu_raise(e);
			_exit(0);
		}
		EQ(epoll_wait(ep, &out, 1, LONG_MS), 1);
		EQ(out.events, EPOLLIN);
		EQ(take(fd), 1);
		edu_ack(e);
		EQ(take_nonblock(fd), -EAGAIN);
	}
}

static void p14_ready_at_add(void)
{
	ready_at_add(0);
}

static void p14_ready_at_add_et(void)
{
	ready_at_add(EPOLLET);
}

const struct test irq_tests[] = {
	{ "D14 the line of a function that no driver took has a file, mode 0600",
	  d14_file },
	{ "P1 what the VFS refuses before the file does", p1_vfs },
	{ "P2 a read returns exactly four bytes", p2_four_bytes },
	{ "P3 a read that faults consumes nothing", p3_fault },
	{ "P3 P4 a signal ends a read with EINTR and consumes nothing",
	  p4_eintr },
	{ "P4 a read restarts under SA_RESTART", p4_restart },
	{ "P4 EAGAIN under O_NONBLOCK", p4_eagain },
	{ "P4 RWF_NOWAIT", p4_nowait },
	{ "P5 a read that returns a count leaves the line masked", p5_masked },
	{ "P6 a second open is EBUSY until the last close", p6_busy },
	{ "P6 a line that the kernel holds is EBUSY", p6_kernel_lines },
	{ "P6 an ordinary user gets EACCES", p6_user },
	{ "P6 the claim bears the command name", p6_name },
	{ "D10 no command name gets in the way of the file", d10_names },
	{ "P7 O_WRONLY claims the line; read EBADF, write EINVAL for any buffer",
	  p7_write_only },
	{ "P8 dup and fork share one state", p8_dup_fork },
	{ "P9 an asserted level line counts at open", p9_at_open },
	{ "P10 poll and select unmask", p10_poll_unmasks },
	{ "P11 EAGAIN, a timeout and a signal leave the line unmasked",
	  p11_stays_unmasked },
	{ "P13 a stuck level line counts once per read", p13_stuck },
	{ "D7 a non-blocking read of an asserted line delivers",
	  d7_asserted_nonblock },
	{ "P14 level-triggered epoll unmasks at each wait", p14_epoll },
	{ "P14 epoll wakes for a file that was ready when it was added",
	  p14_ready_at_add },
	{ "P14 EPOLLET wakes for a file that was ready when it was added",
	  p14_ready_at_add_et },
	{ "P14 D8 EPOLLET needs reads until EAGAIN", p14_epollet },
	{ NULL, NULL },
};
