// SPDX-License-Identifier: GPL-2.0
/* usr_pci_mmap and usr_pci_munmap: rules U4 and U5. */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SG_MAX 1100

static struct edu *const e = &edu[0];
static struct usr_pci_sg sg[SG_MAX];

static int start(void)
{
	int fd = pci_open(e, EDU_MASK);

	CHECK(fd >= 0);
	edu_map(e);
	return fd;
}

static uint8_t *pages(int n)
{
	uint8_t *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static struct usr_pci_mapping mapping(void *p, uint32_t size, int direction)
{
	return (struct usr_pci_mapping){
		.virtaddr = (uintptr_t)p, .size = size,
		.sglist = (uintptr_t)sg, .nents = size / PAGE + 2,
		.direction = direction,
	};
}

static void u4_both_ways(void)
{
	uint8_t *p = pages(4), copy[3000];
	struct usr_pci_mapping m = mapping(p + 1000, 3000, USR_PCI_TO_DEVICE);
	int fd = start(), i;

	for (i = 0; i < 3000; i++)
		copy[i] = p[1000 + i] = i ^ i >> 8;
	EQ(pci_mmap(fd, &m), 0);
	CHECK(m.nents >= 1 && m.nents <= 2);
	EQ(m.dmaaddr, sg[0].dmaaddr);
	EQ(m.dmaaddr & (PAGE - 1), (uintptr_t)(p + 1000) & (PAGE - 1));
	CHECK(edu_dma(e, m.dmaaddr, sg[0].len, false));
	EQ(pci_munmap(fd, &m), 0);

	m = mapping(p + PAGE, 3000, USR_PCI_FROM_DEVICE);
	EQ(pci_mmap(fd, &m), 0);
	EQ(m.nents, 1);
	EQ(sg[0].len, 3000);
	CHECK(edu_dma(e, m.dmaaddr, 3000, true));
	EQ(pci_munmap(fd, &m), 0);
	EQ(memcmp(p + PAGE, copy, 3000), 0);

	m = mapping(p + PAGE, 64, USR_PCI_BIDIRECTIONAL);
	EQ(pci_mmap(fd, &m), 0);
	memset(p + PAGE, 9, 64);
	CHECK(edu_dma(e, m.dmaaddr, 64, false));
	EQ(pci_munmap(fd, &m), 0);
}

/* M7: the list covers the region, each piece where the region has it. */
static void u4_list(void)
{
	uint8_t *p = pages(260);
	struct usr_pci_mapping m = mapping(p + 123, 256 * PAGE, 2);
	uint64_t total = 0;
	int fd = start(), i;

	EQ(pci_mmap(fd, &m), 0);
	CHECK(m.nents >= 1 && m.nents <= 258);
	for (i = 0; i < m.nents; i++) {
		CHECK(sg[i].len > 0);
		CHECK(sg[i].dmaaddr + sg[i].len - 1 <= EDU_MASK);
		EQ((sg[i].dmaaddr - (uintptr_t)(p + 123) - total) % PAGE, 0);
		total += sg[i].len;
	}
	EQ(total, 256 * PAGE);
	note("1 MiB at an odd address: %d entries", m.nents);
	EQ(pci_munmap(fd, &m), 0);
}

static void u4_errors(void)
{
	int fd = start(), zero = open("/dev/zero", O_RDWR);
	uint8_t *p = pages(4);
	struct usr_pci_mapping m = mapping(p, PAGE, 0), bad;

	EQ(pci_mmap(-1, &m), -EINVAL);
	EQ(pci_mmap(zero, &m), -EINVAL);
	EQ(pci_mmap(zero, NULL), -EINVAL);
	EQ(pci_mmap(fd, NULL), -EFAULT);
	EQ(pci_mmap(fd, (void *)-4096l), -EFAULT);
	bad = m, bad.direction = 3;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	bad = m, bad.direction = -1;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	bad = m, bad.nents = 2;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	bad = m, bad.nents = -1;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	bad = m, bad.size = 0;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	bad = m, bad.size = -1;
	EQ(pci_mmap(fd, &bad), -EINVAL);
	/* Direction before size before the region. */
	bad = m, bad.virtaddr = 0xffff888000000000ul;
	EQ(pci_mmap(fd, &bad), -EFAULT);
	bad.virtaddr = -8192l;
	EQ(pci_mmap(fd, &bad), -EFAULT);
	bad = m, bad.virtaddr = 0;
	EQ(pci_mmap(fd, &bad), -EFAULT);
	bad = m, bad.sglist = 16;
	EQ(pci_mmap(fd, &bad), -EFAULT);
	bad = m, bad.size = 0xfffff000, bad.nents = 0x7fffffff;
	CHECK(pci_mmap(fd, &bad) == -EFAULT);
	EQ(locked_kib(), 0);
	/* The list may be on the last byte of what is mapped, no more. */
	munmap(p + 3 * PAGE, PAGE);
	bad = m, bad.sglist = (uintptr_t)(p + 3 * PAGE - 8);
	EQ(pci_mmap(fd, &bad), -EFAULT);
	EQ(locked_kib(), 0);
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_munmap(fd, &m), 0);
}

static void u4_region(void)
{
	uint8_t *p = pages(4), *ro, *none;
	int fd = start(), self = open("/proc/self/exe", O_RDONLY);
	struct usr_pci_mapping m;
	uint64_t dma;
	void *page;

	/* UD2: the second page of an aligned 4097 bytes is not there. */
	munmap(p + PAGE, PAGE);
	m = mapping(p, PAGE + 1, 2);
	EQ(pci_mmap(fd, &m), -EFAULT);
	m = mapping(p + PAGE - 1, 2, 1);
	EQ(pci_mmap(fd, &m), -EFAULT);
	m = mapping(p + PAGE, 1, 1);
	EQ(pci_mmap(fd, &m), -EFAULT);

	none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m = mapping(none, PAGE, 1);
	EQ(pci_mmap(fd, &m), -EFAULT);

	ro = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m = mapping(ro, PAGE, 2);
	EQ(pci_mmap(fd, &m), -EFAULT);
	m = mapping(ro, PAGE, 0);
	EQ(pci_mmap(fd, &m), -EFAULT);
	m = mapping(ro, PAGE, 1);
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_munmap(fd, &m), 0);

	ro = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self, 0);
	CHECK(ro != MAP_FAILED);
	m = mapping(ro, PAGE, 1);
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_munmap(fd, &m), 0);
	m = mapping(ro, PAGE, 0);
	EQ(pci_mmap(fd, &m), -EFAULT);

	EQ(pci_get_consistent(fd, PAGE, &page, &dma), 0);
	m = mapping(page, PAGE, 0);
	EQ(pci_mmap(fd, &m), -EFAULT);
	m = mapping((void *)e->bar, PAGE, 0);
	EQ(pci_mmap(fd, &m), -EFAULT);
	EQ(locked_kib(), 0);
}

static void ud3_list_end(void)
{
	uint8_t *p = pages(2);
	struct usr_pci_mapping m = mapping(p, PAGE, 0);
	int fd = start(), i;

	memset(sg, 0x77, sizeof(sg));
	m.nents = SG_MAX;
	EQ(pci_mmap(fd, &m), 0);
	EQ(m.nents, 1);
	for (i = 1; i < SG_MAX; i++)
		EQ(sg[i].len, 0x7777777777777777);
	EQ(pci_munmap(fd, &m), 0);
}

static void ud8_fork_and_zero(void)
{
	uint8_t *p = pages(1), *q = pages(1);
	struct usr_pci_mapping m = mapping(p, PAGE, 1);
	int fd = start(), status;
	pid_t pid;

	/* Untouched when it is mapped, written afterwards. */
	EQ(pci_mmap(fd, &m), 0);
	pid = fork();
	if (pid == 0) {
		memset(p, 3, PAGE);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	memset(p, 5, PAGE);
	CHECK(edu_dma(e, m.dmaaddr, PAGE - 1, false));
	EQ(pci_munmap(fd, &m), 0);

	m = mapping(q, PAGE, 2);
	EQ(pci_mmap(fd, &m), 0);
	CHECK(edu_dma(e, m.dmaaddr, PAGE - 1, true));
	EQ(pci_munmap(fd, &m), 0);
	EQ(q[0], 5);
	EQ(q[PAGE - 2], 5);
}

static void ud6_dirty(void)
{
	char name[] = "/tmp/usr_pci_dirtyXXXXXX";
	int fd = start(), file = mkstemp(name), i;
	struct usr_pci_mapping m;
	uint8_t *p, *q = pages(1), back[64];

	unlink(name);
	EQ(ftruncate(file, PAGE), 0);
	memset(q, 0x42, PAGE);
	m = mapping(q, PAGE, 1);
	EQ(pci_mmap(fd, &m), 0);
	CHECK(edu_dma(e, m.dmaaddr, PAGE - 1, false));
	EQ(pci_munmap(fd, &m), 0);

	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	m = mapping(p, PAGE, 2);
	EQ(pci_mmap(fd, &m), 0);
	CHECK(edu_dma(e, m.dmaaddr, PAGE - 1, true));
	EQ(pci_munmap(fd, &m), 0);
	munmap(p, PAGE);
	EQ(pread(file, back, 64, 0), 64);
	for (i = 0; i < 64; i++)
		EQ(back[i], 0x42);
}

static void memlock(void)
{
	struct rlimit limit = { 16 * PAGE, 16 * PAGE };
	uint8_t *p = pages(32);
	struct usr_pci_mapping m = mapping(p + 1, 15 * PAGE, 2), more;
	int fd = start();

	EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	EQ(drop_capability(CAP_IPC_LOCK), 0);
	EQ(pci_mmap(fd, &m), 0);
	EQ(locked_kib(), 64);
	more = mapping(p + 20 * PAGE, 1, 2);
	EQ(pci_mmap(fd, &more), -ENOMEM);
	EQ(locked_kib(), 64);
	EQ(pci_munmap(fd, &m), 0);
	EQ(locked_kib(), 0);
	EQ(pci_mmap(fd, &more), 0);
	EQ(locked_kib(), 4);
	close(fd);
	EQ(locked_kib(), 0);
}

static void u5_munmap(void)
{
	int fd = start(), zero = open("/dev/zero", O_RDWR), other;
	uint8_t *p = pages(2);
	struct usr_pci_mapping m = mapping(p, PAGE, 0), bad, only;

	EQ(pci_munmap(fd, &m), -EINVAL);
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_munmap(-1, &m), -EINVAL);
	EQ(pci_munmap(zero, &m), -EINVAL);
	EQ(pci_munmap(fd, NULL), -EFAULT);
	bad = m, bad.dmaaddr += PAGE;
	EQ(pci_munmap(fd, &bad), -EINVAL);
	if (edu_count > 1) {
		other = pci_open(&edu[1], EDU_MASK);
		EQ(pci_munmap(other, &m), -EINVAL);
	}
	/* UD1: after the misses it is still mapped. dmaaddr alone names it. */
	memset(&only, 0xff, sizeof(only));
	only.dmaaddr = m.dmaaddr;
	EQ(pci_munmap(fd, &only), 0);
	EQ(pci_munmap(fd, &only), -EINVAL);
}

static void u2_unmaps(void)
{
	uint8_t *p = pages(300);
	struct usr_pci_mapping m;
	int fd = start(), i;

	for (i = 0; i < 100; i++) {
		m = mapping(p + i * 3 * PAGE, 2 * PAGE, i % 3);
		EQ(pci_mmap(fd, &m), 0);
	}
	EQ(locked_kib(), 800);
	close(fd);
	EQ(locked_kib(), 0);
	CHECK(!bus_master(e));
}

static void unmapped_is_unreachable(void)
{
	uint8_t *p = pages(1);
	struct usr_pci_mapping m = mapping(p, PAGE, 2);
	int fd = start();

	if (!have_iommu)
		return note("no IOMMU to hold the device");
	EQ(pci_mmap(fd, &m), 0);
	EQ(pci_munmap(fd, &m), 0);
	memset(p, 0x11, PAGE);
	CHECK(edu_dma(e, m.dmaaddr, 64, true));
	EQ(p[0], 0x11);
	EQ(p[63], 0x11);
}

const struct test dma_tests[] = {
	{ "U4 a transfer in each direction", u4_both_ways },
	{ "U4 M7 the list covers the region", u4_list },
	{ "U4 the errors of mmap", u4_errors },
	{ "U4 UD2 the region must be there and allow the direction", u4_region },
	{ "UD3 no more of the list is written than was filled in",
	  ud3_list_end },
	{ "UD8 untouched memory and fork do not part the device from the page",
	  ud8_fork_and_zero },
	{ "UD6 what the device wrote is dirty", ud6_dirty },
	{ "U4 UD7 pages count against RLIMIT_MEMLOCK", memlock },
	{ "U5 UD1 munmap of what is not mapped is EINVAL and changes nothing",
	  u5_munmap },
	{ "U2 closing unmaps and unpins everything", u2_unmaps },
	{ "U5 the device cannot reach what was unmapped",
	  unmapped_is_unreachable },
	{ NULL, NULL },
};
