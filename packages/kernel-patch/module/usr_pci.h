/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI functions driven from user space: what the parts share.
 */
#ifndef _USR_PCI_H
#define _USR_PCI_H

#include <linux/file.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/types.h>

struct usr_pci_mapping;

/*
 * An opened function. The descriptor holds it, and so does consistent memory
 * that is still in somebody's address space after the descriptor has gone.
 */
struct usr_pci {
	struct kref		ref;
	struct pci_dev		*pdev;
	bool			bound;		/* usr_pci_driver has it */
	bool			override;	/* driver_override is ours */
	bool			closing;	/* the last descriptor is gone */

	struct mutex		lock;		/* guards the rest */
	bool			dead;		/* torn down; pdev may be gone */
	unsigned int		line;		/* INTx; 0 if there is none */
	int			nr_vectors;
	struct list_head	mappings;
	struct list_head	consistent;
};

void usr_pci_put(struct usr_pci *p);

/* The calls; the descriptor's errors are the same in each. */
long usr_pci_open(unsigned int bus, unsigned int slot, unsigned int function,
		  u64 dma_mask, unsigned int domain);
long usr_pci_mmap(int fd, struct usr_pci_mapping __user *arg);
long usr_pci_munmap(int fd, struct usr_pci_mapping __user *arg);
long usr_pci_get_consistent(int fd, u64 size, void __user *vaddrp,
			    u64 __user *dmaaddrp);
long usr_pci_irq_vectors(int fd, int min, int max, s32 __user *irqs);

/* The function behind @f, which the caller puts; NULL if it is none of ours. */
struct usr_pci *usr_pci_from_fd(struct fd f);

/* Teardown of each part, in this order, under the lock; the last one without. */
int usr_pci_free_vectors(struct usr_pci *p, bool force);
void usr_pci_unmap_all(struct usr_pci *p);
void usr_pci_release_consistent(struct usr_pci *p);
void usr_pci_free_maps(struct usr_pci *p);

int usr_pci_register(void);
void usr_pci_unregister(void);

#endif /* _USR_PCI_H */
