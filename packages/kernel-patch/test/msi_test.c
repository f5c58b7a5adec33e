// SPDX-License-Identifier: GPL-2.0
/* usr_pci_irq_vectors, and the files of the vectors. */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct edu *const e = &edu[0];

static int start(int32_t *irq)
{
	int fd = pci_open(e, EDU_MASK);

	CHECK(fd >= 0);
	edu_map(e);
	edu_ack(e);
	EQ(pci_irq_vectors(fd, 1, 1, irq), 1);
	return fd;
}

static void vectors(void)
{
	int32_t irq[4] = { -1, -1, -1, -1 };
	char path[40];
	int fd = pci_open(e, EDU_MASK), f, line = edu_line(e);

	edu_map(e);
	edu_ack(e);
	EQ(pci_irq_vectors(fd, 1, 4, irq), 1);
	CHECK(irq[0] > 0 && irq[0] != line);
	EQ(irq[1], -1);
	irq_path(irq[0], path, sizeof(path));
	CHECK(exists(path));
	f = irq_open(irq[0], O_RDONLY);
	CHECK(f >= 0);
	edu_raise(e);
	EQ(take(f), 1);
	edu_ack(e);
	EQ(take_nonblock(f), -EAGAIN);
	edu_raise(e);
	EQ(take_within(f, LONG_MS), 1);
	edu_ack(e);
	close(f);
	EQ(pci_irq_vectors(fd, 1, 0, NULL), 0);
	CHECK(!exists(path));
	EQ(pci_irq_vectors(fd, 1, 1, irq), 1);
}

static void vector_errors(void)
{
	int32_t irq[4];
	int fd = pci_open(e, EDU_MASK), zero = open("/dev/zero", O_RDWR), f;

	EQ(pci_irq_vectors(-1, 1, 1, irq), -EINVAL);
	EQ(pci_irq_vectors(zero, 1, 1, irq), -EINVAL);
	EQ(pci_irq_vectors(fd, 0, 1, irq), -EINVAL);
	EQ(pci_irq_vectors(fd, 2, 1, irq), -EINVAL);
	EQ(pci_irq_vectors(fd, -1, 1, irq), -EINVAL);
	EQ(pci_irq_vectors(fd, 1, -1, irq), -EINVAL);
	EQ(pci_irq_vectors(fd, 2, 4, irq), -ENOSPC);
	EQ(pci_irq_vectors(fd, 1, 1, (int32_t *)8), -EFAULT);
	EQ(pci_irq_vectors(fd, 1, 0, NULL), 0);
	EQ(pci_irq_vectors(fd, 1, 1, irq), 1);
	EQ(pci_irq_vectors(fd, 1, 1, irq), -EBUSY);
	f = irq_open(irq[0], O_RDONLY);
	CHECK(f >= 0);
	EQ(pci_irq_vectors(fd, 1, 0, NULL), -EBUSY);
	/* The refusal changed nothing. */
	edu_map(e);
	edu_ack(e);
	edu_raise(e);
	EQ(take(f), 1);
	close(f);
	EQ(pci_irq_vectors(fd, 1, 0, NULL), 0);
}

static void edges_collapse(void)
{
	int32_t irq;
	int fd = start(&irq), f = irq_open(irq, O_RDONLY), i;

	(void)fd;
	edu_raise(e);
	EQ(poll_in(f, LONG_MS), 1);
	for (i = 0; i < 4; i++)
		edu_raise(e);
	sleep_ms(SHORT_MS);
	EQ(take(f), 1);
	/* Those that came while it was masked come back as one. */
	EQ(take_within(f, LONG_MS), 1);
	EQ(take_within(f, SHORT_MS), -EAGAIN);
}

static void d9_no_phantom(void)
{
	int32_t irq;
	int fd = start(&irq), f, i;

	(void)fd;
	for (i = 0; i < 20; i++) {
		f = irq_open(irq, O_RDONLY);
		CHECK(f >= 0);
		edu_raise(e);
		EQ(poll_in(f, LONG_MS), 1);
		edu_raise(e);
		sleep_ms(2);
		close(f);
		f = irq_open(irq, O_RDONLY);
		EQ(take_within(f, SHORT_MS), -EAGAIN);
		close(f);
	}
}

static void *reader(void *fd)
{
	return (void *)(long)take(*(int *)fd);
}

static void d13_close_wakes(void)
{
	int32_t irq;
	int fd = start(&irq), f = irq_open(irq, O_RDONLY);
	pthread_t thread;
	void *ret;

	pthread_create(&thread, NULL, reader, &f);
	sleep_ms(100);
	close(fd);
	pthread_join(thread, &ret);
	EQ((long)ret, -ENODEV);
	EQ(take_nonblock(f), -ENODEV);
	CHECK(poll_in(f, LONG_MS) & 0x8);	/* POLLERR */
	EQ(irq_open(irq, O_RDONLY), -ENOENT);
	close(f);
	fd = start(&irq);
	CHECK(irq_open(irq, O_RDONLY) >= 0);
}

static void remove_and_rescan(bool msi)
{
	uint8_t page[2 * PAGE];
	struct usr_pci_sg sg[8];
	struct usr_pci_mapping m = {
		.virtaddr = (uintptr_t)page, .size = PAGE,
		.sglist = (uintptr_t)sg, .nents = 8,
	};
	int fd = pci_open(e, EDU_MASK), f, i;
	int32_t irq = edu_line(e);
	pthread_t thread;
	uint64_t dma;
	char path[80];
	void *ret;
	char *c;

	CHECK(fd >= 0);
	if (msi)
		EQ(pci_irq_vectors(fd, 1, 1, &irq), 1);
	f = irq_open(irq, O_RDONLY);
	CHECK(f >= 0);
	edu_map(e);
	edu_settle(e, f);
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_get_consistent(fd, PAGE, (void **)&c, &dma), 0);
	pthread_create(&thread, NULL, reader, &f);
	sleep_ms(50);

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", e->name);
	EQ(sysfs_write(path, "1"), 1);
	pthread_join(thread, &ret);
	EQ((long)ret, -ENODEV);
	m.nents = 8;
	EQ(pci_mmap(fd, &m), -ENODEV);
	EQ(pci_munmap(fd, &m), -ENODEV);
	EQ(pci_get_consistent(fd, PAGE, (void **)&c, &dma), -ENODEV);
	EQ(pci_irq_vectors(fd, 1, 1, &irq), -ENODEV);
	EQ(pci_open(e, EDU_MASK), -ENOENT);
	c[0] = 1;
	close(f);
	close(fd);
	EQ(locked_kib(), 0);

	EQ(sysfs_write("/sys/bus/pci/rescan", "1"), 1);
	for (i = 0; i < 20 && (fd = pci_open(e, EDU_MASK)) < 0; i++)
		sleep_ms(50);
	CHECK(fd >= 0);
	edu_map(e);
	edu_ack(e);
	f = irq_open(edu_line(e), O_RDONLY);
	edu_settle(e, f);
	edu_raise(e);
	EQ(take_within(f, LONG_MS), 1);
}

static void d13_remove_line(void)
{
	remove_and_rescan(false);
}

static void d13_remove_vector(void)
{
	remove_and_rescan(true);
}

static void intx_survives_close(void)
{
	int fd = pci_open(e, EDU_MASK), line = edu_line(e), f;

	f = irq_open(line, O_RDONLY);
	CHECK(f >= 0);
	edu_map(e);
	edu_settle(e, f);
	close(fd);
	EQ(take_nonblock(f), -EAGAIN);
	EQ(irq_open(line, O_RDONLY), -EBUSY);
	fd = pci_open(e, EDU_MASK);
	edu_map(e);
	edu_ack(e);
	edu_raise(e);
	EQ(take_within(f, LONG_MS), 1);
	close(fd);
	close(f);
	f = irq_open(line, O_RDONLY);
	CHECK(f >= 0);
}

const struct test msi_tests[] = {
	{ "MSI a vector has a file and counts", vectors },
	{ "MSI the errors of irq_vectors", vector_errors },
	{ "MSI I9 edges while masked collapse into one", edges_collapse },
	{ "MSI D9 an edge pending at close is gone at the next open",
	  d9_no_phantom },
	{ "MSI D13 closing the function fails the vector's reader with ENODEV",
	  d13_close_wakes },
	{ "D13 removing the device fails the line's reader with ENODEV; it works again after a rescan",
	  d13_remove_line },
	{ "MSI D13 removing the device fails the vector's reader with ENODEV",
	  d13_remove_vector },
	{ "P8 the line outlives the function's descriptor",
	  intx_survives_close },
	{ NULL, NULL },
};
