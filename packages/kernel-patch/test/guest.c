// SPDX-License-Identifier: GPL-2.0
/* The guest as the tests see it: devices, calls, and what sysfs and proc say. */
#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct edu edu[EDUS];
int edu_count;
bool over_module, have_iommu, debug_kernel;

static int module_fd = -1;

static long checked(long ret)
{
	return ret < 0 ? -errno : ret;
}

int pci_open_at(unsigned int domain, unsigned int bus, unsigned int slot,
		unsigned int function, uint64_t mask)
{
	struct usr_pci_ioc_open a = {
		.bus = bus, .slot = slot, .function = function,
		.domain = domain, .dma_mask = mask,
	};

	if (over_module)
		return checked(ioctl(module_fd, USR_PCI_IOC_OPEN, &a));
	return checked(syscall(USR_PCI_NR_OPEN, bus, slot, function, mask,
			       domain));
}

int pci_open(const struct edu *e, uint64_t mask)
{
	return pci_open_at(e->domain, e->bus, e->slot, e->function, mask);
}

int pci_mmap(int fd, struct usr_pci_mapping *m)
{
	struct usr_pci_ioc_mapping a = { .fd = fd, .mapping = (uintptr_t)m };

	if (over_module)
		return checked(ioctl(module_fd, USR_PCI_IOC_MMAP, &a));
	return checked(syscall(USR_PCI_NR_MMAP, fd, m));
}

int pci_munmap(int fd, struct usr_pci_mapping *m)
{
	struct usr_pci_ioc_mapping a = { .fd = fd, .mapping = (uintptr_t)m };

	if (over_module)
		return checked(ioctl(module_fd, USR_PCI_IOC_MUNMAP, &a));
	return checked(syscall(USR_PCI_NR_MUNMAP, fd, m));
}

int pci_get_consistent(int fd, size_t size, void **vaddrp, uint64_t *dmap)
{
	struct usr_pci_ioc_consistent a = {
		.fd = fd, .size = size, .vaddrp = (uintptr_t)vaddrp,
		.dmaaddrp = (uintptr_t)dmap,
	};

	if (over_module)
		return checked(ioctl(module_fd, USR_PCI_IOC_GET_CONSISTENT, &a));
	return checked(syscall(USR_PCI_NR_GET_CONSISTENT, fd, size, vaddrp,
			       dmap));
}

int pci_irq_vectors(int fd, int min, int max, int32_t *irqs)
{
	struct usr_pci_ioc_irq_vectors a = {
		.fd = fd, .min = min, .max = max, .irqs = (uintptr_t)irqs,
	};

	if (over_module)
		return checked(ioctl(module_fd, USR_PCI_IOC_IRQ_VECTORS, &a));
	return checked(syscall(USR_PCI_NR_IRQ_VECTORS, fd, min, max, irqs));
}

void irq_path(int line, char *path, size_t size)
{
	snprintf(path, size, over_module ? "/dev/usrdrv/irq/%d" :
		 "/proc/irq/%d/irq", line);
}

int irq_open(int line, int flags)
{
	char path[40];

	irq_path(line, path, sizeof(path));
	return checked(open(path, flags));
}

int rd(int fd, void *buf, size_t len)
{
	return checked(read(fd, buf, len));
}

int wr(int fd, const void *buf, size_t len)
{
	return checked(write(fd, buf, len));
}

int take(int fd)
{
	int count = 0, ret = rd(fd, &count, sizeof(count));

	return ret == sizeof(count) ? count : ret;
}

int take_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL), ret;

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ret = take(fd);
	fcntl(fd, F_SETFL, flags);
	return ret;
}

int poll_in(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int ret = checked(poll(&p, 1, ms));

	return ret > 0 ? p.revents : ret;
}

int take_within(int fd, int ms)
{
	int ret = poll_in(fd, ms);

	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	return take_nonblock(fd);
}

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

int sysfs_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = checked(write(fd, text, strlen(text)));
	close(fd);
	return ret;
}

bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static long sysfs_number(const struct edu *e, const char *attribute)
{
	char path[96], text[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", e->name,
		 attribute);
	return read_text(path, text, sizeof(text)) ? strtol(text, NULL, 0) : -1;
}

int edu_line(const struct edu *e)
{
	return sysfs_number(e, "irq");
}

bool bus_master(const struct edu *e)
{
	uint16_t command = 0;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", e->name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &command, 2, 4) != 2)
		fail(__FILE__, __LINE__, path, -errno, 0);
	close(fd);
	return command & 4;
}

/* Through /dev/mem, or the device's own file where the kernel forbids that. */
void edu_map(struct edu *e)
{
	char path[96], text[64];
	uint64_t start;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource",
		 e->name);
	if (!read_text(path, text, sizeof(text)))
		fail(__FILE__, __LINE__, path, -errno, 0);
	start = strtoull(text, NULL, 0);

	fd = open("/dev/mem", O_RDWR | O_SYNC);
	e->bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	close(fd);
	if (e->bar != MAP_FAILED)
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0",
		 e->name);
	fd = open(path, O_RDWR | O_SYNC);
	e->bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (e->bar == MAP_FAILED)
		fail(__FILE__, __LINE__, path, -errno, 0);
}

uint32_t edu_read(struct edu *e, unsigned int reg)
{
	return e->bar[reg / 4];
}

void edu_write(struct edu *e, unsigned int reg, uint32_t value)
{
	e->bar[reg / 4] = value;
}

void edu_write64(struct edu *e, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(e->bar + reg / 4) = value;
}

void edu_raise(struct edu *e)
{
	edu_write(e, EDU_IRQ_RAISE, 1);
	(void)edu_read(e, EDU_IRQ_STATUS);	/* the write has arrived */
}

void edu_ack(struct edu *e)
{
	edu_write(e, EDU_IRQ_ACK, edu_read(e, EDU_IRQ_STATUS));
	(void)edu_read(e, EDU_IRQ_STATUS);
}

/*
 * QEMU's I/O APIC does not look at a pin while its entry is set to edge, and
 * Linux leaves it so while nobody has the line: what the pin was then comes as
 * a false interrupt, or not at all. A toggle with the line open sets it right.
 */
void edu_settle(struct edu *e, int fd)
{
	edu_ack(e);
	edu_raise(e);
	edu_ack(e);
	while (take_within(fd, SHORT_MS / 4) > 0)
		;
}

/* One transfer, polled. QEMU ends when one reaches the last byte of edu's buffer. */
bool edu_dma(struct edu *e, uint64_t bus, unsigned int len, bool to_ram)
{
	int ms;

	if (len >= PAGE || bus + len - 1 > EDU_MASK)
		return false;
	edu_write64(e, EDU_DMA_SRC, to_ram ? EDU_BUFFER : bus);
	edu_write64(e, EDU_DMA_DST, to_ram ? bus : EDU_BUFFER);
	edu_write64(e, EDU_DMA_COUNT, len);
	edu_write64(e, EDU_DMA_CMD, EDU_DMA_RUN | (to_ram ? EDU_DMA_TO_RAM : 0));
	for (ms = 0; ms < LONG_MS; ms += 10) {
		sleep_ms(10);
		if (!(edu_read(e, EDU_DMA_CMD) & EDU_DMA_RUN))
			return true;
	}
	return false;
}

/* The line of /proc/interrupts that starts with "N:"; its text in @text. */
static bool interrupts_line(int line, char *text, size_t size)
{
	FILE *f = fopen("/proc/interrupts", "r");
	bool found = false;

	while (f && !found && fgets(text, size, f)) {
		char *end;
		long n = strtol(text, &end, 10);

		found = *end == ':' && end != text && n == line;
	}
	if (f)
		fclose(f);
	return found;
}

long interrupts(int line)
{
	char text[512], *p, *end;
	long total = 0, n;

	if (!interrupts_line(line, text, sizeof(text)))
		return 0;
	for (p = strchr(text, ':') + 1; n = strtol(p, &end, 10), end != p &&
	     (*end == ' ' || *end == '\n'); p = end)
		total += n;
	return total;
}

bool interrupts_show(int line, const char *name)
{
	char text[512];

	if (!interrupts_line(line, text, sizeof(text)))
		return false;
	text[strcspn(text, "\n")] = 0;
	return strlen(text) > strlen(name) &&
		!strcmp(text + strlen(text) - strlen(name), name);
}

long locked_kib(void)
{
	char text[4096], *p;

	if (!read_text("/proc/self/status", text, sizeof(text)))
		return -1;
	p = strstr(text, "VmLck:");
	return p ? strtol(p + 6, NULL, 10) : -1;
}

void sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

int drop_capability(int cap)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	d[cap / 32].effective &= ~(1u << cap % 32);
	return checked(syscall(SYS_capset, &h, d));
}

bool find_guest(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/sys/bus/pci/devices");

	while (dir && (entry = readdir(dir)) && edu_count < EDUS) {
		struct edu *e = &edu[edu_count];

		if (sscanf(entry->d_name, "%x:%x:%x.%x", &e->domain, &e->bus,
			   &e->slot, &e->function) != 4)
			continue;
		snprintf(e->name, sizeof(e->name), "%.15s", entry->d_name);
		if (sysfs_number(e, "vendor") == 0x1234 &&
		    sysfs_number(e, "device") == 0x11e8)
			edu_count++;
	}
	if (dir)
		closedir(dir);
	have_iommu = exists("/sys/class/iommu/dmar0");
	debug_kernel = exists("/proc/lockdep_stats") ||
		exists("/sys/kernel/debug/kmemleak");
	module_fd = open("/dev/usrdrv/pci", O_RDWR);
	over_module = module_fd >= 0;
	return edu_count > 0;
}
