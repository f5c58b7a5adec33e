/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_USR_PCI_H
#define _UAPI_LINUX_USR_PCI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* usr_pci_mapping.direction */
#define USR_PCI_BIDIRECTIONAL	0
#define USR_PCI_TO_DEVICE	1
#define USR_PCI_FROM_DEVICE	2

/**
 * struct usr_pci_sg - one piece of a mapped region, as the device sees it
 * @dmaaddr:	first bus address
 * @len:	bytes
 */
struct usr_pci_sg {
	__u64 dmaaddr;
	__u64 len;
};

/**
 * struct usr_pci_mapping - a region of user memory mapped for DMA
 * @virtaddr:	first address of the region in the caller
 * @dmaaddr:	out: first bus address; names the mapping for usr_pci_munmap
 * @size:	bytes in the region
 * @reserved:	not looked at
 * @sglist:	pointer to @nents entries of struct usr_pci_sg
 * @nents:	in: room, at least @size / PAGE_SIZE + 2; out: entries written
 * @direction:	USR_PCI_BIDIRECTIONAL, _TO_DEVICE or _FROM_DEVICE
 */
struct usr_pci_mapping {
	__u64 virtaddr;
	__u64 dmaaddr;
	__u32 size;
	__u32 reserved;
	__u64 sglist;
	__s32 nents;
	__u32 direction;
};

/*
 * The system calls of a kernel with CONFIG_USR_PCI, on x86-64:
 *
 *	int usr_pci_open(unsigned int bus, unsigned int slot,
 *			 unsigned int function, __u64 dma_mask,
 *			 unsigned int domain);
 *	int usr_pci_mmap(int fd, struct usr_pci_mapping *mapping);
 *	int usr_pci_munmap(int fd, struct usr_pci_mapping *mapping);
 *	int usr_pci_get_consistent(int fd, size_t size, void **vaddrp,
 *				   __u64 *dmaaddrp);
 *	int usr_pci_irq_vectors(int fd, int min, int max, __s32 *irqs);
 */
#define USR_PCI_NR_OPEN			451
#define USR_PCI_NR_MMAP			452
#define USR_PCI_NR_MUNMAP		453
#define USR_PCI_NR_GET_CONSISTENT	454
#define USR_PCI_NR_IRQ_VECTORS		455

/*
 * The same calls as ioctls on /dev/usrdrv/pci, where the kernel has the module
 * in their place. @fd is what USR_PCI_IOC_OPEN returned, never the descriptor
 * of /dev/usrdrv/pci itself. Results and errors are those of the system calls.
 */
struct usr_pci_ioc_open {
	__u32 bus;
	__u32 slot;
	__u32 function;
	__u32 domain;
	__u64 dma_mask;
};

struct usr_pci_ioc_mapping {
	__s32 fd;
	__u32 reserved;
	__u64 mapping;		/* pointer to struct usr_pci_mapping */
};

struct usr_pci_ioc_consistent {
	__s32 fd;
	__u32 reserved;
	__u64 size;
	__u64 vaddrp;		/* pointer to a __u64 */
	__u64 dmaaddrp;		/* pointer to a __u64 */
};

struct usr_pci_ioc_irq_vectors {
	__s32 fd;
	__s32 min;
	__s32 max;
	__u32 reserved;
	__u64 irqs;		/* pointer to max entries of __s32 */
};

#define USR_PCI_IOC_OPEN		_IOW('u', 0xd0, struct usr_pci_ioc_open)
#define USR_PCI_IOC_MMAP		_IOWR('u', 0xd1, struct usr_pci_ioc_mapping)
#define USR_PCI_IOC_MUNMAP		_IOW('u', 0xd2, struct usr_pci_ioc_mapping)
#define USR_PCI_IOC_GET_CONSISTENT	_IOWR('u', 0xd3, struct usr_pci_ioc_consistent)
#define USR_PCI_IOC_IRQ_VECTORS		_IOWR('u', 0xd4, struct usr_pci_ioc_irq_vectors)

#endif /* _UAPI_LINUX_USR_PCI_H */
