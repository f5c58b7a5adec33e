// SPDX-License-Identifier: MIT
/*
 * How long an interrupt takes to its reader, and a mapping of 1 MiB for DMA to
 * be made and undone. Contestants take turns of some rounds, so what disturbs
 * the machine disturbs all alike, and each has warm caches for most of them.
 *
 * Readers and interrupts have one processor, and readers are SCHED_FIFO where
 * this is not: when it runs again, the reader has been there, and sleeps.
 */
#define _GNU_SOURCE
#include "rivals.h"
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define READER_PRIORITY	10
#define TURN		50	/* rounds of one, before it is another's turn */
#define UNCOUNTED	5000	/* rounds, until everything is warm, V8 too */
#define NODE_MS		60000	/* that Node may take to start */
#define MIB		0x100000u
#define BUS_ADDRESS	0x1000000u	/* where VFIO maps it */
#define MAPPED_PAGES	1000u		/* one by one */
#define BATCHES		30u

/* In the order of the devices: those that need a line of their own first. */
static struct rival rivals[] = {
	{ .name = "irq file" }, { .name = "UIO" }, { .name = "VFIO INTx" },
	{ .name = "readSync", .node = "sync" }, { .name = "VFIO MSI" },
	{ .name = "irq file MSI" }, { .name = "await VFIO MSI", .node = "vfio" },
	{ .name = "readSync VFIO", .node = "vfio-sync" },
	{ .name = "await read", .node = "await" },
	{ .name = "await UIO", .node = "uio" },
	{ .name = "readSync UIO", .node = "uio-sync" },
};

static void (*const open_rival[])(struct rival *) = {
	open_irq_file, open_uio, open_vfio_intx, NULL, open_vfio_msi,
	open_irq_file_msi, give_to_vfio, give_to_vfio, NULL, give_to_uio,
	give_to_uio,
};

#define RIVALS	(sizeof(rivals) / sizeof(*rivals))

#define SEEN_FILE	"/tmp/seen"

static struct seen {
	volatile long long ns;		/* when the reader had it */
	volatile int count;
} *seen;

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* packages/testbed/src/in-guest/reader.ts */
static void be_node(const struct rival *r, const struct seen *s)
{
	char offset[16];
	cpu_set_t all;

	/* V8's helpers need a processor that no SCHED_FIFO reader keeps to itself. */
	CPU_ZERO(&all);
	CPU_SET(0, &all);
	CPU_SET(1, &all);
	if (sched_setaffinity(0, sizeof(all), &all))
		die("sched_setaffinity");
	snprintf(offset, sizeof(offset), "%zd",
		 (const char *)s - (const char *)seen);
	execl("/bin/node", "node", "/usrdrv/bin/reader.mjs", r->node,
	      r->device->name, SEEN_FILE, offset, NULL);
	die("/bin/node");
}

static void await_node(const struct rival *r, const struct seen *s)
{
	int ms;

	for (ms = 0; !s->count && ms < NODE_MS; ms += 100)
		sleep_ms(100);
	if (!s->count)
		die(r->name);
}

static void start_reader(const struct rival *r, struct seen *s)
{
	uint64_t count;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (r->node)
		be_node(r, s);
	run_fifo(READER_PRIORITY);
	for (;;) {
		if (read(r->fd, &count, r->size) != (ssize_t)r->size)
			die(r->name);
		s->ns = now_ns();
		edu_write(r->device, EDU_IRQ_ACK, ~0u);
		if (r->unmask)
			r->unmask(r);
		s->count++;
	}
}

static long long latency(const struct rival *r, struct seen *s)
{
	int before = s->count;
	long long start = now_ns();

	edu_write(r->device, EDU_IRQ_RAISE, 1);
	while (s->count == before) {
		if (now_ns() - start > 3000000000ll)
			die(r->name);
		sched_yield();
	}
	return s->ns - start;
}

static long long usr_pci_round(void *memory)
{
	struct usr_pci_sg list[MIB / PAGE + 2];
	struct usr_pci_mapping m = {
		.virtaddr = (uintptr_t)memory, .size = MIB,
		.sglist = (uintptr_t)list, .nents = MIB / PAGE + 2,
		.direction = USR_PCI_BIDIRECTIONAL,
	};
	long long start = now_ns();

	if (pci_mmap(usr_pci_fd, &m) || pci_munmap(usr_pci_fd, &m))
		die("usr_pci_mmap");
	return now_ns() - start;
}

static void vfio_map(void *memory, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory, .iova = iova, .size = size,
	};

	if (ioctl(vfio_container, VFIO_IOMMU_MAP_DMA, &map))
		die("MAP_DMA");
}

static void vfio_unmap(uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = iova, .size = size,
	};

	if (ioctl(vfio_container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		die("UNMAP_DMA");
}

static long long vfio_round(void *memory)
{
	long long start = now_ns();

	vfio_map(memory, BUS_ADDRESS, MIB);
	vfio_unmap(BUS_ADDRESS, MIB);
	return now_ns() - start;
}

/* As timeMappings() of in-guest/reader.ts. */
static long long vfio_pages_round(char *memory)
{
	long long start = now_ns();
	unsigned int i;

	for (i = 0; i < MAPPED_PAGES; i++)
		vfio_map(memory + i * PAGE, BUS_ADDRESS + i * PAGE, PAGE);
	for (i = 0; i < MAPPED_PAGES; i++)
		vfio_unmap(BUS_ADDRESS + i * PAGE, PAGE);
	return now_ns() - start;
}

static void time_pages(struct text *log)
{
	char *memory = mmap(NULL, MAPPED_PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	unsigned int i;

	if (memory == MAP_FAILED)
		die("mmap");
	put(log, "VFIO pages\t");
	for (i = 0; i < BATCHES; i++)
		put(log, " %lld", vfio_pages_round(memory));
	munmap(memory, MAPPED_PAGES * PAGE);
	/* Node has said how long it took as it started. */
	for (i = 0; i < RIVALS; i++) {
		if (rivals[i].node && !strcmp(rivals[i].node, "vfio"))
			put(log, "\npages in Node\t %lld\n", seen[i].ns);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct edu *)a)->name,
		      ((const struct edu *)b)->name);
}

static void share_seen(void)
{
	int fd = open(SEEN_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, PAGE))
		die(SEEN_FILE);
	seen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (seen == MAP_FAILED)
		die("mmap");
	close(fd);
}

static void open_rivals(void)
{
	unsigned int i;

	if (edu_count < (int)RIVALS)
		die("as many devices as rivals");
	qsort(edu, edu_count, sizeof(*edu), by_name);
	share_seen();
	/* Whatever is requested from now on interrupts the readers' processor. */
	sysfs_write("/proc/irq/default_smp_affinity", "1");
	pin_to_cpu(0);
	for (i = 0; i < RIVALS; i++) {
		rivals[i].device = &edu[i];
		if (open_rival[i])
			open_rival[i](&rivals[i]);
		edu_map(rivals[i].device);
		start_reader(&rivals[i], &seen[i]);
	}
	for (i = 0; i < RIVALS; i++) {
		if (rivals[i].node)
			await_node(&rivals[i], &seen[i]);
	}
	sleep_ms(100);
}

/* Whoever comes after a large one starts with cold caches: not always the same. */
static void shuffle(int *order)
{
	unsigned int i;

	for (i = RIVALS - 1; i > 0; i--) {
		unsigned int j = random() % (i + 1);
		int other = order[j];

		order[j] = order[i];
		order[i] = other;
	}
}

/* A line each: name, and nanoseconds. */
void run_latency(char *request, struct text *log)
{
	int rounds = atoi(request), round;
	struct text times[RIVALS + 2] = { 0 };
	static const char *const mappings[] = { "usr_pci_mmap", "VFIO MAP_DMA" };
	int order[RIVALS];
	unsigned int i;
	void *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	open_rivals();
	time_pages(log);
	for (i = 0; i < RIVALS; i++)
		order[i] = i;
	for (round = -UNCOUNTED; round < rounds; round += TURN) {
		shuffle(order);
		for (i = 0; i < RIVALS * TURN; i++) {
			int who = order[i / TURN];
			long long ns = latency(&rivals[who], &seen[who]);

			if (round >= 0)
				put(&times[who], " %lld", ns);
		}
	}
	for (round = -UNCOUNTED; round < rounds / 4; round++) {
		long long ours = usr_pci_round(memory);
		long long theirs = vfio_round(memory);

		if (round < 0)
			continue;
		put(&times[RIVALS], " %lld", ours);
		put(&times[RIVALS + 1], " %lld", theirs);
	}
	for (i = 0; i < RIVALS + 2; i++)
		put(log, "%s\t%s\n", i < RIVALS ? rivals[i].name :
		    mappings[i - RIVALS], times[i].bytes);
}
