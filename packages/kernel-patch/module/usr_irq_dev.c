// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts handled in user space, on a kernel that has no room for the file
 * in /proc/irq/N: it stands at /dev/usrdrv/irq/N. There is one for each line
 * that exists when the module is loaded, and for those of the functions that
 * are opened later.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/module.h>
#include <linux/usr_irq.h>
#include <linux/xarray.h>
#include "usr_irq_dev.h"

/* The minor number is the line's. */
#define USR_IRQ_MINORS		0x10000

/* IRQS_PENDING, which kernel/irq/internals.h keeps to itself. */
#define USR_IRQ_STATE_PENDING	0x00000200

static dev_t usr_irq_devt;
static struct class *usr_irq_class;
static struct cdev usr_irq_cdev;
static DEFINE_XARRAY(usr_irq_nodes);

static int usr_irq_dev_open(struct inode *inode, struct file *file)
{
	return usr_irq_claim(file, iminor(inode));
}

static const struct file_operations usr_irq_dev_fops = {
	.owner		= THIS_MODULE,
	.open		= usr_irq_dev_open,
	.read_iter	= usr_irq_read_iter,
	.poll		= usr_irq_poll,
	.release	= usr_irq_release,
	.llseek		= no_llseek,
};

static char *usr_irq_devnode(struct device *dev, umode_t *mode)
{
	if (mode)
		*mode = 0600;
	return kasprintf(GFP_KERNEL, "usrdrv/irq/%u", MINOR(dev->devt));
}

void usr_irq_add_line(unsigned int irq)
{
	struct device *dev;

	if (irq >= USR_IRQ_MINORS ||
	    xa_insert(&usr_irq_nodes, irq, xa_mk_value(1), GFP_KERNEL))
		return;
	dev = device_create(usr_irq_class, NULL, usr_irq_devt + irq, NULL,
			    "usrdrv-irq%u", irq);
	if (IS_ERR(dev))
		xa_erase(&usr_irq_nodes, irq);
}

void usr_irq_remove_line(unsigned int irq)
{
	if (xa_erase(&usr_irq_nodes, irq))
		device_destroy(usr_irq_class, usr_irq_devt + irq);
}

void usr_irq_forget_edge(unsigned int irq)
{
	struct irq_data *data;
	struct irq_desc *desc;
	unsigned long flags;

	rcu_read_lock();
	data = irq_get_irq_data(irq);
	if (data) {
		desc = irq_data_to_desc(data);
		raw_spin_lock_irqsave(&desc->lock, flags);
		if (!desc->action)
			desc->core_internal_state__do_not_mess_with_it &=
				~USR_IRQ_STATE_PENDING;
		raw_spin_unlock_irqrestore(&desc->lock, flags);
	}
	rcu_read_unlock();
}

static bool usr_irq_has_controller(unsigned int irq)
{
	struct irq_data *data;
	bool ret;

	rcu_read_lock();
	data = irq_get_irq_data(irq);
	/* no_irq_chip calls itself that. */
	ret = data && data->chip && data->chip->name &&
		strcmp(data->chip->name, "none");
	rcu_read_unlock();
	return ret;
}

int usr_irq_dev_register(void)
{
	unsigned int irq;
	int ret;

	ret = alloc_chrdev_region(&usr_irq_devt, 0, USR_IRQ_MINORS,
				  "usrdrv-irq");
	if (ret)
		return ret;
	usr_irq_class = class_create(THIS_MODULE, "usrdrv-irq");
	if (IS_ERR(usr_irq_class)) {
		ret = PTR_ERR(usr_irq_class);
		goto err_region;
	}
	usr_irq_class->devnode = usr_irq_devnode;
	cdev_init(&usr_irq_cdev, &usr_irq_dev_fops);
	usr_irq_cdev.owner = THIS_MODULE;
	ret = cdev_add(&usr_irq_cdev, usr_irq_devt, USR_IRQ_MINORS);
	if (ret)
		goto err_class;

	for (irq = 0; irq < nr_irqs; irq++) {
		if (usr_irq_has_controller(irq))
			usr_irq_add_line(irq);
	}
	return 0;

err_class:
	class_destroy(usr_irq_class);
err_region:
	unregister_chrdev_region(usr_irq_devt, USR_IRQ_MINORS);
	return ret;
}

void usr_irq_dev_unregister(void)
{
	unsigned long irq;
	void *entry;

	xa_for_each(&usr_irq_nodes, irq, entry)
		usr_irq_remove_line(irq);
	cdev_del(&usr_irq_cdev);
	class_destroy(usr_irq_class);
	unregister_chrdev_region(usr_irq_devt, USR_IRQ_MINORS);
}
