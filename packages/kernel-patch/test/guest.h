/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests share: the calls of the interface, over system calls or the
 * module's ioctls; two edu devices; and a tiny runner. Calls return a result
 * >= 0 or -errno.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/usr_pci.h>

#define PAGE 4096u
#define SHORT_MS (debug_kernel ? 250 : 60)	/* an interrupt, under emulation */
#define LONG_MS 3000	/* something that must happen */

/* edu's registers, from QEMU's docs/specs/edu */
#define EDU_ID		0x00
#define EDU_LIVENESS	0x04
#define EDU_IRQ_STATUS	0x24
#define EDU_IRQ_RAISE	0x60
#define EDU_IRQ_ACK	0x64
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	1u
#define EDU_DMA_TO_RAM	2u
#define EDU_DMA_IRQ	4u
#define EDU_BUFFER	0x40000u
#define EDU_MASK	((1ull << 28) - 1)

struct edu {
	char name[16];			/* 0000:00:03.0 */
	unsigned int domain, bus, slot, function;
	volatile uint32_t *bar;
};

#define EDUS 16

extern struct edu edu[EDUS];
extern int edu_count;
extern bool over_module;		/* ioctls instead of system calls */
extern bool have_iommu;
extern bool debug_kernel;		/* slower: fewer rounds */

bool find_guest(void);

/* The interface */
int pci_open(const struct edu *e, uint64_t mask);
int pci_open_at(unsigned int domain, unsigned int bus, unsigned int slot,
		unsigned int function, uint64_t mask);
int pci_mmap(int fd, struct usr_pci_mapping *m);
int pci_munmap(int fd, struct usr_pci_mapping *m);
int pci_get_consistent(int fd, size_t size, void **vaddrp, uint64_t *dmap);
int pci_irq_vectors(int fd, int min, int max, int32_t *irqs);
int irq_open(int line, int flags);
void irq_path(int line, char *path, size_t size);

/* Plain calls with -errno results */
int rd(int fd, void *buf, size_t len);
int wr(int fd, const void *buf, size_t len);
int take(int fd);			/* the count of one read, or -errno */
int take_nonblock(int fd);		/* the same under O_NONBLOCK */
int take_within(int fd, int ms);	/* polls first; -EAGAIN at the timeout */
int poll_in(int fd, int ms);		/* revents, or 0 */

/* The device */
void edu_map(struct edu *e);
uint32_t edu_read(struct edu *e, unsigned int reg);
void edu_write(struct edu *e, unsigned int reg, uint32_t value);
void edu_write64(struct edu *e, unsigned int reg, uint64_t value);
void edu_raise(struct edu *e);
void edu_ack(struct edu *e);
bool edu_dma(struct edu *e, uint64_t bus, unsigned int len, bool to_ram);
void edu_settle(struct edu *e, int fd);	/* the line low, its file empty */
int edu_line(const struct edu *e);	/* sysfs: the INTx line */
bool bus_master(const struct edu *e);
int sysfs_write(const char *path, const char *text);
bool exists(const char *path);

long interrupts(int line);		/* /proc/interrupts, all processors */
bool interrupts_show(int line, const char *name);
long locked_kib(void);			/* VmLck of this process */
void sleep_ms(int ms);
int drop_capability(int cap);

/* The runner */
struct test {
	const char *name;
	void (*run)(void);
};

void fail(const char *file, int line, const char *what, long got, long want);
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(cond) \
	do { if (!(cond)) fail(__FILE__, __LINE__, #cond, 0, 1); } while (0)
#define EQ(got, want) \
	do { \
		long g_ = (long)(got), w_ = (long)(want); \
		if (g_ != w_) \
			fail(__FILE__, __LINE__, #got " == " #want, g_, w_); \
	} while (0)

extern const struct test irq_tests[], irq_race_tests[], pci_tests[],
	dma_tests[], msi_tests[];

#endif /* GUEST_H */
