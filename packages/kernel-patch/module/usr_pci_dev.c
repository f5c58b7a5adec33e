// SPDX-License-Identifier: GPL-2.0
/*
 * PCI functions driven from user space, on a kernel without the system calls:
 * they are ioctls on /dev/usrdrv/pci, with the same arguments and results.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <linux/usr_pci.h>
#include "usr_irq_dev.h"
#include "usr_pci.h"

static long usr_pci_ioc_open(void __user *arg)
{
	struct usr_pci_ioc_open a;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	return usr_pci_open(a.bus, a.slot, a.function, a.dma_mask, a.domain);
}

static long usr_pci_ioc_mmap(void __user *arg)
{
	struct usr_pci_ioc_mapping a;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	return usr_pci_mmap(a.fd, u64_to_user_ptr(a.mapping));
}

static long usr_pci_ioc_munmap(void __user *arg)
{
	struct usr_pci_ioc_mapping a;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	return usr_pci_munmap(a.fd, u64_to_user_ptr(a.mapping));
}

static long usr_pci_ioc_get_consistent(void __user *arg)
{
	struct usr_pci_ioc_consistent a;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	return usr_pci_get_consistent(a.fd, a.size, u64_to_user_ptr(a.vaddrp),
				      u64_to_user_ptr(a.dmaaddrp));
}

static long usr_pci_ioc_irq_vectors(void __user *arg)
{
	struct usr_pci_ioc_irq_vectors a;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	return usr_pci_irq_vectors(a.fd, a.min, a.max, u64_to_user_ptr(a.irqs));
}

static long usr_pci_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case USR_PCI_IOC_OPEN:
		return usr_pci_ioc_open(uarg);
	case USR_PCI_IOC_MMAP:
		return usr_pci_ioc_mmap(uarg);
	case USR_PCI_IOC_MUNMAP:
		return usr_pci_ioc_munmap(uarg);
	case USR_PCI_IOC_GET_CONSISTENT:
		return usr_pci_ioc_get_consistent(uarg);
	case USR_PCI_IOC_IRQ_VECTORS:
		return usr_pci_ioc_irq_vectors(uarg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations usr_pci_dev_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= usr_pci_ioctl,
	.llseek		= noop_llseek,
};

/* Open to all, as system calls are; the calls check what they must. */
static struct miscdevice usr_pci_misc = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "usrdrv-pci",
	.nodename	= "usrdrv/pci",
	.mode		= 0666,
	.fops		= &usr_pci_dev_fops,
};

static int __init usrdrv_init(void)
{
	int ret;

	ret = usr_irq_dev_register();
	if (ret)
		return ret;
	ret = usr_pci_register();
	if (ret)
		goto err_irq;
	ret = misc_register(&usr_pci_misc);
	if (ret)
		goto err_pci;
	return 0;

err_pci:
	usr_pci_unregister();
err_irq:
	usr_irq_dev_unregister();
	return ret;
}
module_init(usrdrv_init);

static void __exit usrdrv_exit(void)
{
	misc_deregister(&usr_pci_misc);
	usr_pci_unregister();
	usr_irq_dev_unregister();
}
module_exit(usrdrv_exit);

MODULE_DESCRIPTION("PCI devices and interrupts driven from user space");
MODULE_LICENSE("GPL");
