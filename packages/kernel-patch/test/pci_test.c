// SPDX-License-Identifier: GPL-2.0
/* usr_pci_open and its release (U1, U2), consistent memory (U3). */
#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct edu *const e = &edu[0];

static void u1_open(void)
{
	char c;
	int fd;

	CHECK(!bus_master(e));
	fd = pci_open(e, EDU_MASK);
	CHECK(fd >= 0);
	CHECK(bus_master(e));
	edu_map(e);
	EQ(edu_read(e, EDU_ID), 0x010000ed);
	edu_write(e, EDU_LIVENESS, 0x12345678);
	EQ(edu_read(e, EDU_LIVENESS), ~0x12345678u);
	EQ(rd(fd, &c, 1), -EBADF);
	EQ(write(fd, &c, 1), -1);
	EQ(errno, EBADF);
	close(fd);
	CHECK(!bus_master(e));
}

static void u1_busy(void)
{
	int fd = pci_open(e, EDU_MASK), other;

	CHECK(fd >= 0);
	EQ(pci_open(e, EDU_MASK), -EBUSY);
	if (edu_count > 1) {
		other = pci_open(&edu[1], EDU_MASK);
		CHECK(other >= 0);
	}
	EQ(pci_open(e, EDU_MASK), -EBUSY);
	close(fd);
	CHECK(pci_open(e, EDU_MASK) >= 0);
}

static void u1_bound(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	unsigned int domain, bus, slot, function;
	struct dirent *entry;
	char path[300];
	int bound = 0;

	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver",
			 entry->d_name);
		if (!exists(path) || sscanf(entry->d_name, "%x:%x:%x.%x",
					    &domain, &bus, &slot,
					    &function) != 4)
			continue;
		EQ(pci_open_at(domain, bus, slot, function, 0), -EBUSY);
		bound++;
	}
	CHECK(bound > 0);
}

static void u1_enabled(void)
{
	char path[80];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", e->name);
	EQ(sysfs_write(path, "1"), 1);
	EQ(pci_open(e, EDU_MASK), -EBUSY);
	EQ(sysfs_write(path, "0"), 1);
	CHECK(pci_open(e, EDU_MASK) >= 0);
}

static void u1_enoent(void)
{
	int fd;

	EQ(pci_open_at(0, 0, 0x1d, 7, 0), -ENOENT);
	EQ(pci_open_at(0, 250, 0, 0, 0), -ENOENT);
	EQ(pci_open_at(0, 0x100, e->slot, 0, 0), -ENOENT);
	EQ(pci_open_at(77, e->bus, e->slot, e->function, 0), -ENOENT);
	/* Slot and function are cut to 5 and 3 bits. */
	fd = pci_open_at(e->domain, e->bus, e->slot | 0x20, e->function | 8, 0);
	CHECK(fd >= 0);
	close(fd);
}

static void u1_mask(void)
{
	EQ(pci_open(e, 1), -EIO);
	EQ(pci_open(e, 0xfffff), -EIO);
	CHECK(!bus_master(e));
	/* UD9: a failed open leaves nothing behind. */
	CHECK(pci_open(e, 0) >= 0);
}

static void u1_eperm(void)
{
	EQ(drop_capability(CAP_SYS_RAWIO), 0);
	EQ(pci_open(e, EDU_MASK), -EPERM);
	EQ(pci_open_at(0, 250, 0, 0, 0), -EPERM);
}

static void u1_emfile(void)
{
	struct rlimit old, none;
	int fd = dup(0);

	close(fd);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = fd;
	setrlimit(RLIMIT_NOFILE, &none);
	EQ(pci_open(e, EDU_MASK), -EMFILE);
	EQ(pci_open_at(0, 250, 0, 0, 0), -ENOENT);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK(!bus_master(e));
	/* UD10 */
	CHECK(pci_open(e, EDU_MASK) >= 0);
}

static void u2_last_reference(void)
{
	int fd = pci_open(e, EDU_MASK), d = dup(fd), status;
	pid_t pid = fork();

	if (pid == 0) {
		sleep_ms(200);
		_exit(bus_master(e) ? 0 : 1);
	}
	close(fd);
	close(d);
	CHECK(bus_master(e));
	waitpid(pid, &status, 0);
	EQ(status, 0);
	CHECK(!bus_master(e));
}

static void u3_consistent(void)
{
	int fd = pci_open(e, EDU_MASK), i;
	uint64_t dma = 0, dma2 = 0;
	uint8_t *page = NULL, *page2 = NULL;

	edu_map(e);
	EQ(pci_get_consistent(fd, PAGE, (void **)&page, &dma), 0);
	EQ(pci_get_consistent(fd, PAGE, (void **)&page2, &dma2), 0);
	CHECK(page && page2 && page != page2 && dma != dma2);
	for (i = 0; i < (int)PAGE; i++)
		EQ(page[i] | page2[i], 0);
	for (i = 0; i < (int)PAGE; i++)
		page[i] = i * 7;
	CHECK(edu_dma(e, dma, PAGE - 1, false));
	CHECK(edu_dma(e, dma2, PAGE - 1, true));
	EQ(memcmp(page, page2, PAGE - 1), 0);
	EQ(page2[PAGE - 1], 0);
	EQ(munmap(page2, PAGE), 0);
	/* It outlives the descriptor. */
	close(fd);
	EQ(page[5], 35);
	page[5] = 1;
	EQ(munmap(page, PAGE), 0);
}

static void u3_errors(void)
{
	int fd = pci_open(e, EDU_MASK), zero = open("/dev/zero", O_RDWR);
	uint64_t dma;
	void *page;

	EQ(pci_get_consistent(-1, PAGE, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(999, PAGE, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(zero, PAGE, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(fd, 0, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(fd, PAGE - 1, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(fd, 2 * PAGE, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(fd, (1ull << 32) + PAGE, &page, &dma), -EINVAL);
	EQ(pci_get_consistent(fd, PAGE, (void **)8, &dma), -EFAULT);
	EQ(pci_get_consistent(fd, PAGE, &page, (uint64_t *)8), -EFAULT);
	EQ(pci_get_consistent(fd, PAGE, &page, (uint64_t *)-4096l), -EFAULT);
	EQ(pci_get_consistent(fd, PAGE, &page, &dma), 0);
}

static void u3_fault_undone(void)
{
	int fd = pci_open(e, EDU_MASK);
	void *page = NULL, *was;
	unsigned char in_core;
	uint64_t dma;

	EQ(pci_get_consistent(fd, PAGE, &page, &dma), 0);
	munmap(page, PAGE);
	was = page;
	page = NULL;
	EQ(pci_get_consistent(fd, PAGE, &page, (uint64_t *)8), -EFAULT);
	/* vaddrp was written first; what it names is gone again. */
	EQ((long)page, (long)was);
	EQ(mincore(page, PAGE, &in_core), -1);
	EQ(errno, ENOMEM);
}

static void u3_fork(void)
{
	int fd = pci_open(e, EDU_MASK), status;
	uint64_t dma;
	char *page;
	pid_t pid;

	EQ(pci_get_consistent(fd, PAGE, (void **)&page, &dma), 0);
	pid = fork();
	if (pid == 0) {
		*page = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void ud11_mremap(void)
{
	int fd = pci_open(e, EDU_MASK);
	char *page, *moved, *to;
	uint64_t dma;

	edu_map(e);
	EQ(pci_get_consistent(fd, PAGE, (void **)&page, &dma), 0);
	strcpy(page, "moved");
	to = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	moved = mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(moved == to);
	EQ(strcmp(moved, "moved"), 0);
	CHECK(edu_dma(e, dma, 16, false));
	memset(moved, 0, 16);
	CHECK(edu_dma(e, dma, 16, true));
	EQ(strcmp(moved, "moved"), 0);
	CHECK(mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	EQ(munmap(moved, PAGE), 0);
}

static void ud11_many(void)
{
	int fd = pci_open(e, EDU_MASK), i;
	uint64_t dma;
	void *page;

	/* On the fast kernel, more than there is memory, were it kept. */
	for (i = 0; i < (debug_kernel ? 2000 : 100000); i++) {
		EQ(pci_get_consistent(fd, PAGE, &page, &dma), 0);
		EQ(munmap(page, PAGE), 0);
	}
}

const struct test pci_tests[] = {
	{ "U1 open enables the function as a bus master; the descriptor is neither readable nor writable",
	  u1_open },
	{ "U1 an open function is EBUSY, another is not", u1_busy },
	{ "U1 a function with a kernel driver is EBUSY", u1_bound },
	{ "U1 an enabled function is EBUSY", u1_enabled },
	{ "U1 no such function is ENOENT", u1_enoent },
	{ "U1 UD9 an unsupported mask is EIO and leaves nothing behind",
	  u1_mask },
	{ "U1 EPERM without CAP_SYS_RAWIO", u1_eperm },
	{ "U1 UD10 EMFILE leaves nothing behind", u1_emfile },
	{ "U2 the last reference ends bus mastering", u2_last_reference },
	{ "U3 M1 both sides share a zeroed page, which outlives the descriptor",
	  u3_consistent },
	{ "U3 the errors of get_consistent", u3_errors },
	{ "U3 a fault undoes the mapping", u3_fault_undone },
	{ "U3 consistent memory is not inherited", u3_fork },
	{ "UD11 mremap moves consistent memory", ud11_mremap },
	{ "UD11 munmap gives consistent memory back", ud11_many },
	{ NULL, NULL },
};
