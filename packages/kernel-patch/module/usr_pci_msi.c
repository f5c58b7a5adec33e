// SPDX-License-Identifier: GPL-2.0
/*
 * Message-signalled interrupts of a function that user space drives: the call
 * only allocates the vectors; each is then handled through the file of its
 * line, like any other interrupt.
 */
#include <linux/irq.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/usr_irq.h>
#include "usr_pci.h"

static bool usr_pci_vectors_claimed(struct usr_pci *p)
{
	int i;

	for (i = 0; i < p->nr_vectors; i++) {
		if (usr_irq_is_claimed(pci_irq_vector(p->pdev, i)))
			return true;
	}
	return false;
}

/*
 * Give the vectors back. Their files cannot be opened from the first step on;
 * those that are open stop it with EBUSY, or with @force fail their readers.
 */
int usr_pci_free_vectors(struct usr_pci *p, bool force)
{
	int i;

	lockdep_assert_held(&p->lock);
	if (!p->nr_vectors)
		return 0;

	for (i = 0; i < p->nr_vectors; i++)
		irq_set_status_flags(pci_irq_vector(p->pdev, i), IRQ_NOREQUEST);
	if (!force && usr_pci_vectors_claimed(p)) {
		for (i = 0; i < p->nr_vectors; i++)
			irq_clear_status_flags(pci_irq_vector(p->pdev, i),
					       IRQ_NOREQUEST);
		return -EBUSY;
	}
	for (i = 0; i < p->nr_vectors; i++) {
		usr_irq_remove_line(pci_irq_vector(p->pdev, i));
		usr_irq_revoke(pci_irq_vector(p->pdev, i));
	}
	pci_free_irq_vectors(p->pdev);
	p->nr_vectors = 0;
	return 0;
}

static int usr_pci_alloc_vectors(struct usr_pci *p, int min, int max)
{
	int i, nr;

	nr = pci_alloc_irq_vectors(p->pdev, min, max,
				   PCI_IRQ_MSIX | PCI_IRQ_MSI);
	if (nr < 0)
		return nr == -ENOMEM ? nr : -ENOSPC;
	p->nr_vectors = nr;
	for (i = 0; i < nr; i++)
		usr_irq_add_line(pci_irq_vector(p->pdev, i));
	return nr;
}

static long usr_pci_do_irq_vectors(struct usr_pci *p, int min, int max,
				   s32 __user *irqs)
{
	s32 *list = NULL;
	long ret;
	int i;

	mutex_lock(&p->lock);
	if (p->dead)
		ret = -ENODEV;
	else if (!max)
		ret = usr_pci_free_vectors(p, false);
	else if (p->nr_vectors)
		ret = -EBUSY;
	else
		ret = usr_pci_alloc_vectors(p, min, max);
	if (ret > 0) {
		list = kmalloc_array(ret, sizeof(*list), GFP_KERNEL);
		for (i = 0; list && i < ret; i++)
			list[i] = pci_irq_vector(p->pdev, i);
	}
	mutex_unlock(&p->lock);
	if (ret <= 0)
		return ret;

	/* Not under the lock, which removal waits for. */
	if (!list || copy_to_user(irqs, list, ret * sizeof(*list))) {
		ret = list ? -EFAULT : -ENOMEM;
		mutex_lock(&p->lock);
		usr_pci_free_vectors(p, true);
		mutex_unlock(&p->lock);
	}
	kfree(list);
	return ret;
}

long usr_pci_irq_vectors(int fd, int min, int max, s32 __user *irqs)
{
	struct fd f = fdget(fd);
	struct usr_pci *p = usr_pci_from_fd(f);
	long ret = -EINVAL;

	if (p && (!max || (min > 0 && min <= max)))
		ret = usr_pci_do_irq_vectors(p, min, max, irqs);
	fdput(f);
	return ret;
}
