/* SPDX-License-Identifier: MIT */
/* Ways to get a device's interrupts in user space. */
#ifndef RIVALS_H
#define RIVALS_H

#include "executor.h"

struct rival {
	const char *name;
	struct edu *device;
	int fd;			/* a read of it sleeps until an interrupt */
	size_t size;		/* of what is read */
	int control;		/* where it is unmasked, if it has to be */
	uint16_t command;	/* UIO: the command register, INTx enabled */
	void (*unmask)(const struct rival *);
	const char *node;	/* read by Node, and in which way */
};

/* Each takes its device and starts its interrupts. */
void open_irq_file(struct rival *);
void open_irq_file_msi(struct rival *);
void open_uio(struct rival *);
void open_vfio_intx(struct rival *);
void open_vfio_msi(struct rival *);

/* Those that Node opens: a driver of the kernel has the device first. */
void give_to_uio(struct rival *);
void give_to_vfio(struct rival *);

/* What DMA is mapped with, of the devices opened last. */
extern int usr_pci_fd, vfio_container;

#endif /* RIVALS_H */
