// SPDX-License-Identifier: MIT
/* The interrupts of a device through /proc/irq/N/irq, UIO and VFIO. */
#define _GNU_SOURCE
#include "rivals.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PCI_COMMAND			4
#define PCI_COMMAND_MASTER		4
#define PCI_COMMAND_INTX_DISABLE	0x400

int usr_pci_fd = -1, vfio_container = -1;

static int checked(int ret, const char *what)
{
	if (ret < 0)
		die(what);
	return ret;
}

void open_irq_file(struct rival *r)
{
	/* A function has its line from when it is first enabled. */
	close(checked(pci_open(r->device, EDU_MASK), "usr_pci_open"));
	r->fd = checked(irq_open(edu_line(r->device), O_RDONLY), "the irq file");
	r->size = sizeof(int);
}

void open_irq_file_msi(struct rival *r)
{
	int32_t irq;

	usr_pci_fd = checked(pci_open(r->device, EDU_MASK), "usr_pci_open");
	checked(pci_irq_vectors(usr_pci_fd, 1, 1, &irq), "usr_pci_irq_vectors");
	r->fd = checked(irq_open(irq, O_RDONLY), "the irq file");
	r->size = sizeof(int);
}

static void bind_driver(const struct edu *e, const char *driver)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 e->name);
	checked(sysfs_write(path, driver), path);
	checked(sysfs_write("/sys/bus/pci/drivers_probe", e->name), driver);
}

void give_to_uio(struct rival *r)
{
	bind_driver(r->device, "uio_pci_generic");
}

void give_to_vfio(struct rival *r)
{
	bind_driver(r->device, "vfio-pci");
}

/* uio_pci_generic masks at the device, and it is for the program to unmask. */
static void unmask_uio(const struct rival *r)
{
	if (pwrite(r->control, &r->command, 2, PCI_COMMAND) != 2)
		die("the command register");
}

void open_uio(struct rival *r)
{
	char path[96];

	bind_driver(r->device, "uio_pci_generic");
	r->fd = checked(open("/dev/uio0", O_RDWR), "/dev/uio0");
	r->size = sizeof(int);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config",
		 r->device->name);
	r->control = checked(open(path, O_RDWR), path);
	if (pread(r->control, &r->command, 2, PCI_COMMAND) != 2)
		die(path);
	r->command &= ~PCI_COMMAND_INTX_DISABLE;
	r->unmask = unmask_uio;
}

static void set_irqs(int device, int index, int action, int32_t *eventfd)
{
	struct {
		struct vfio_irq_set set;
		int32_t eventfd;
	} a = {
		.set = {
			.argsz = sizeof(a.set) + (eventfd ? sizeof(*eventfd) : 0),
			.flags = action | (eventfd ? VFIO_IRQ_SET_DATA_EVENTFD :
					   VFIO_IRQ_SET_DATA_NONE),
			.index = index, .count = 1,
		},
		.eventfd = eventfd ? *eventfd : -1,
	};

	checked(ioctl(device, VFIO_DEVICE_SET_IRQS, &a), "SET_IRQS");
}

static void unmask_vfio(const struct rival *r)
{
	set_irqs(r->control, VFIO_PCI_INTX_IRQ_INDEX,
		 VFIO_IRQ_SET_ACTION_UNMASK, NULL);
}

static int vfio_device(const struct edu *e)
{
	char path[96], group[PATH_MAX] = "";
	int fd;

	bind_driver(e, "vfio-pci");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 e->name);
	checked(readlink(path, group, sizeof(group) - 1), path);
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(group, '/') + 1);
	fd = checked(open(path, O_RDWR), path);
	vfio_container = checked(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio");
	checked(ioctl(fd, VFIO_GROUP_SET_CONTAINER, &vfio_container),
		"SET_CONTAINER");
	checked(ioctl(vfio_container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
		"SET_IOMMU");
	return checked(ioctl(fd, VFIO_GROUP_GET_DEVICE_FD, e->name),
		       "GET_DEVICE_FD");
}

static void open_vfio(struct rival *r, int index)
{
	int32_t event = checked(eventfd(0, 0), "eventfd");

	r->control = vfio_device(r->device);
	set_irqs(r->control, index, VFIO_IRQ_SET_ACTION_TRIGGER, &event);
	r->fd = event;
	r->size = sizeof(uint64_t);
}

void open_vfio_intx(struct rival *r)
{
	open_vfio(r, VFIO_PCI_INTX_IRQ_INDEX);
	r->unmask = unmask_vfio;
}

/* A message is a write, and VFIO hands the device over without bus mastering. */
void open_vfio_msi(struct rival *r)
{
	off_t command = ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + PCI_COMMAND;
	uint16_t value;

	open_vfio(r, VFIO_PCI_MSI_IRQ_INDEX);
	if (pread(r->control, &value, 2, command) != 2)
		die("the command register");
	value |= PCI_COMMAND_MASTER;
	if (pwrite(r->control, &value, 2, command) != 2)
		die("the command register");
}
