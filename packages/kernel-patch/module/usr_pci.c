// SPDX-License-Identifier: GPL-2.0
/*
 * PCI functions driven from user space.
 *
 * Opening a function binds it to usr_pci_driver, so that no other driver can
 * take it and its removal is announced here, enables it as a bus master, and
 * returns a descriptor. The last reference to the descriptor, however it goes,
 * takes all that back in the order in which the device could do harm.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/usr_irq.h>
#include <linux/xarray.h>
#include "usr_pci.h"

#define USR_PCI_NAME	"usr_pci"

/* Serialises claims; guards the pointer to the one that is being made. */
static DEFINE_MUTEX(usr_pci_claim_mutex);
static struct usr_pci *usr_pci_claiming;

/* Interrupt lines that have been kept routed, see usr_pci_keep_line(). */
static DEFINE_XARRAY(usr_pci_lines);

static void usr_pci_destroy(struct kref *ref)
{
	struct usr_pci *p = container_of(ref, struct usr_pci, ref);

	mutex_destroy(&p->lock);
	kfree(p);
}

void usr_pci_put(struct usr_pci *p)
{
	kref_put(&p->ref, usr_pci_destroy);
}

static int usr_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct usr_pci *p = READ_ONCE(usr_pci_claiming);

	/* Bound only by usr_pci_open(), never by hand. */
	if (!p || p->pdev != pdev)
		return -ENODEV;
	pci_set_drvdata(pdev, p);
	p->bound = true;
	return 0;
}

/* The last descriptor is gone, or the device is. */
static void usr_pci_remove(struct pci_dev *pdev)
{
	struct usr_pci *p = pci_get_drvdata(pdev);

	mutex_lock(&p->lock);
	p->dead = true;
	/* First of all the device stops reaching into memory. */
	if (pci_is_enabled(pdev))
		pci_clear_master(pdev);
	/* The line belongs to its own descriptor, unless the device is gone. */
	if (!READ_ONCE(p->closing) && p->line)
		usr_irq_revoke(p->line);
	usr_pci_free_vectors(p, true);
	usr_pci_unmap_all(p);
	usr_pci_release_consistent(p);
	if (pci_is_enabled(pdev))
		pci_disable_device(pdev);
	pci_set_drvdata(pdev, NULL);
	mutex_unlock(&p->lock);
}

static struct pci_driver usr_pci_driver = {
	.name	= USR_PCI_NAME,
	.probe	= usr_pci_probe,
	.remove	= usr_pci_remove,
	.driver	= {
		.suppress_bind_attrs = true,
	},
};

static void usr_pci_clear_override(struct usr_pci *p)
{
	struct pci_dev *pdev = p->pdev;

	if (p->override)
		driver_set_override(&pdev->dev, &pdev->driver_override, "", 0);
	p->override = false;
}

/* An override keeps every other driver away before ours is bound. */
static int usr_pci_set_override(struct usr_pci *p)
{
	struct pci_dev *pdev = p->pdev;
	bool present, foreign;
	int ret;

	device_lock(&pdev->dev);
	present = pdev->driver_override;
	foreign = present && strcmp(pdev->driver_override, USR_PCI_NAME);
	device_unlock(&pdev->dev);

	if (foreign)
		return -EBUSY;
	if (present)
		return 0;
	ret = driver_set_override(&pdev->dev, &pdev->driver_override,
				  USR_PCI_NAME, strlen(USR_PCI_NAME));
	p->override = !ret;
	return ret;
}

static int usr_pci_claim(struct usr_pci *p)
{
	int ret;

	mutex_lock(&usr_pci_claim_mutex);
	if (READ_ONCE(p->pdev->dev.driver) || pci_is_enabled(p->pdev)) {
		ret = -EBUSY;
		goto out;
	}
	ret = usr_pci_set_override(p);
	if (ret)
		goto out;

	WRITE_ONCE(usr_pci_claiming, p);
	ret = device_driver_attach(&usr_pci_driver.driver, &p->pdev->dev);
	WRITE_ONCE(usr_pci_claiming, NULL);

	if (p->bound)
		ret = 0;
	else if (!ret)
		ret = -EBUSY;
	if (ret)
		usr_pci_clear_override(p);
out:
	mutex_unlock(&usr_pci_claim_mutex);
	return ret;
}

static void usr_pci_unclaim(struct usr_pci *p)
{
	bool dead;

	mutex_lock(&p->lock);
	WRITE_ONCE(p->closing, true);
	dead = p->dead;
	mutex_unlock(&p->lock);

	/* Who claims it next sees both undone, or neither. */
	mutex_lock(&usr_pci_claim_mutex);
	if (!dead)
		device_release_driver(&p->pdev->dev);
	usr_pci_clear_override(p);
	mutex_unlock(&usr_pci_claim_mutex);
	/* Not under the device's lock: this takes the memory map's. */
	usr_pci_free_maps(p);
	pci_dev_put(p->pdev);
}

/*
 * The function's interrupt line is routed when the function is enabled, and
 * would be unrouted, and lose its number, when the last one on it is disabled.
 * The line's file has a life of its own, so keep what has been routed once: a
 * second enable takes one more reference on the routing, which stays.
 */
static int usr_pci_keep_line(struct usr_pci *p)
{
	struct pci_dev *pdev = p->pdev;
	int ret;

	if (!pdev->pin || !pdev->irq_managed || !pdev->irq)
		return 0;

	ret = xa_insert(&usr_pci_lines, pdev->irq, xa_mk_value(1), GFP_KERNEL);
	if (!ret) {
		pdev->irq_managed = 0;
		ret = pci_reenable_device(pdev);
		if (ret) {
			pdev->irq_managed = 1;
			xa_erase(&usr_pci_lines, pdev->irq);
		}
	} else if (ret == -EBUSY) {
		ret = 0;
	}
	if (ret)
		return ret;
	p->line = pdev->irq;
	usr_irq_add_line(p->line);
	return 0;
}

static int usr_pci_enable(struct usr_pci *p, u64 dma_mask)
{
	struct pci_dev *pdev = p->pdev;
	int ret;

	mutex_lock(&p->lock);
	if (p->dead) {
		ret = -ENODEV;
		goto out;
	}
	ret = pci_enable_device(pdev);
	if (ret)
		goto out;
	/*
	 * Behind an IOMMU the DMA layer takes any mask at all; ask for what it
	 * asks for without one, so that the answer does not depend on it.
	 */
	if (dma_mask && (dma_mask < DMA_BIT_MASK(24) ||
			 dma_set_mask_and_coherent(&pdev->dev, dma_mask))) {
		ret = -EIO;
		goto out;
	}
	ret = usr_pci_keep_line(p);
	if (ret)
		goto out;
	pci_set_master(pdev);
out:
	mutex_unlock(&p->lock);
	return ret;
}

static int usr_pci_release(struct inode *inode, struct file *file)
{
	struct usr_pci *p = file->private_data;

	usr_pci_unclaim(p);
	usr_pci_put(p);
	return 0;
}

static const struct file_operations usr_pci_fops = {
	.owner		= THIS_MODULE,
	.release	= usr_pci_release,
	.llseek		= noop_llseek,
};

struct usr_pci *usr_pci_from_fd(struct fd f)
{
	if (!f.file || f.file->f_op != &usr_pci_fops)
		return NULL;
	return f.file->private_data;
}

static struct usr_pci *usr_pci_alloc(void)
{
	struct usr_pci *p;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return NULL;
	kref_init(&p->ref);
	mutex_init(&p->lock);
	INIT_LIST_HEAD(&p->mappings);
	INIT_LIST_HEAD(&p->consistent);
	return p;
}

long usr_pci_open(unsigned int bus, unsigned int slot, unsigned int function,
		  u64 dma_mask, unsigned int domain)
{
	struct usr_pci *p;
	struct file *file;
	int ret, fd;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;

	p = usr_pci_alloc();
	if (!p)
		return -ENOMEM;
	p->pdev = pci_get_domain_bus_and_slot(domain, bus,
					      PCI_DEVFN(slot & 0x1f,
							function & 0x07));
	if (!p->pdev) {
		ret = -ENOENT;
		goto err_put;
	}

	ret = usr_pci_claim(p);
	if (ret) {
		pci_dev_put(p->pdev);
		goto err_put;
	}
	ret = usr_pci_enable(p, dma_mask);
	if (ret)
		goto err_unclaim;

	/* Neither readable nor writable: both modes at once mean neither. */
	file = anon_inode_getfile("[usr_pci]", &usr_pci_fops, p, O_ACCMODE);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto err_unclaim;
	}
	fd = get_unused_fd_flags(0);
	if (fd < 0)
		fput(file);
	else
		fd_install(fd, file);
	return fd;

err_unclaim:
	usr_pci_unclaim(p);
err_put:
	usr_pci_put(p);
	return ret;
}

int usr_pci_register(void)
{
	return pci_register_driver(&usr_pci_driver);
}

void usr_pci_unregister(void)
{
	pci_unregister_driver(&usr_pci_driver);
	xa_destroy(&usr_pci_lines);
}
