// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O between QEMU's edu device and user memory: an ioctl moves any
 * range, at any alignment, without a copy on the way. One transfer at a time,
 * in chunks; each chunk is pinned, mapped, moved and given back.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/math64.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include "edu_dio.h"

#define EDU_STATUS	0x20
#define EDU_IRQ_STATUS	0x24
#define EDU_IRQ_ACK	0x64
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	BIT(0)
#define EDU_DMA_TO_RAM	BIT(1)
#define EDU_DMA_IRQ	BIT(2)
#define EDU_BUFFER	0x40000

#define EDU_PAGES	(EDU_DIO_BUFFER / PAGE_SIZE + 2)
#define EDU_ABORTS	(PCI_STATUS_REC_MASTER_ABORT | \
			 PCI_STATUS_REC_TARGET_ABORT)

struct edu {
	struct miscdevice	misc;
	struct pci_dev		*pdev;
	void __iomem		*regs;
	struct mutex		lock;	/* one transfer at a time */
	wait_queue_head_t	wait;
	bool			stopped; /* off the bus, perhaps still busy */
};

/* All that it does is to wake the waiter. */
static irqreturn_t edu_handler(int irq, void *dev_id)
{
	struct edu *edu = dev_id;
	u32 status = readl(edu->regs + EDU_IRQ_STATUS);

	if (!status || status == ~0u)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_IRQ_ACK);
	wake_up(&edu->wait);
	return IRQ_HANDLED;
}

static bool edu_busy(struct edu *edu)
{
	return readl(edu->regs + EDU_DMA_CMD) & EDU_DMA_RUN;
}

/* Waits for the end of a run; returns what is left of the time, or an error. */
static long edu_wait(struct edu *edu, long left)
{
	left = wait_event_interruptible_timeout(edu->wait, !edu_busy(edu), left);
	if (left > 0)
		return left;
	return left ? -EINTR : -ETIMEDOUT;
}

/* edu cannot be told to stop: off the bus it reaches no memory. */
static void edu_stop(struct edu *edu)
{
	pci_clear_master(edu->pdev);
	edu->stopped = true;
}

static int edu_run(struct edu *edu, dma_addr_t bus, u32 at, u32 len,
		   const struct edu_dio_transfer *t)
{
	long left = max(msecs_to_jiffies(t->timeout_ms), 1ul);
	bool to_ram = t->direction == EDU_DIO_FROM_DEVICE;
	u64 buffer = EDU_BUFFER + at;

	if (edu->stopped) {
		left = edu_wait(edu, left);
		if (left < 0)
			return left;
		pci_set_master(edu->pdev);
		edu->stopped = false;
	}
	writeq(to_ram ? buffer : bus, edu->regs + EDU_DMA_SRC);
	writeq(to_ram ? bus : buffer, edu->regs + EDU_DMA_DST);
	writeq(len, edu->regs + EDU_DMA_COUNT);
	writeq(EDU_DMA_RUN | EDU_DMA_IRQ | (to_ram ? EDU_DMA_TO_RAM : 0),
	       edu->regs + EDU_DMA_CMD);
	left = edu_wait(edu, left);
	if (left < 0)
		return left;
	if (pci_status_get_and_clear_errors(edu->pdev) & EDU_ABORTS)
		return -EIO;
	return 0;
}

/* Moves all of it, or returns an error; the device is off the memory then. */
static int edu_chunk(struct edu *edu, u64 addr, u32 at, u32 len,
		     const struct edu_dio_transfer *t)
{
	bool to_ram = t->direction == EDU_DIO_FROM_DEVICE;
	enum dma_data_direction dir = to_ram ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	unsigned int first = offset_in_page(addr);
	int n = DIV_ROUND_UP(first + len, PAGE_SIZE), pinned, i, ret;
	struct page *pages[EDU_PAGES];
	struct scatterlist *sg;
	struct sg_table sgt;

	pinned = pin_user_pages_fast(addr, n, to_ram ? FOLL_WRITE : 0, pages);
	if (pinned != n) {
		ret = pinned < 0 ? pinned : -EFAULT;
		goto err_unpin;
	}
	ret = sg_alloc_table_from_pages(&sgt, pages, n, first, len, GFP_KERNEL);
	if (ret)
		goto err_unpin;
	ret = dma_map_sgtable(&edu->pdev->dev, &sgt, dir, 0);
	if (ret)
		goto err_free;
	for_each_sgtable_dma_sg(&sgt, sg, i) {
		ret = edu_run(edu, sg_dma_address(sg), at, sg_dma_len(sg), t);
		if (ret) {
			edu_stop(edu);
			break;
		}
		at += sg_dma_len(sg);
	}
	dma_unmap_sgtable(&edu->pdev->dev, &sgt, dir, 0);
err_free:
	sg_free_table(&sgt);
err_unpin:
	if (pinned > 0)
		unpin_user_pages_dirty_lock(pages, pinned, to_ram);
	return ret;
}

static int edu_transfer(struct edu *edu, struct edu_dio_transfer *t)
{
	u32 at, len;
	u64 rest;
	int ret;

	div64_u64_rem(t->position, EDU_DIO_BUFFER, &rest);
	at = rest;
	t->transferred = 0;
	while (t->transferred < t->size) {
		len = min_t(u64, EDU_DIO_BUFFER - at, t->size - t->transferred);
		ret = edu_chunk(edu, t->addr + t->transferred, at, len, t);
		if (ret)
			return ret;
		t->transferred += len;
		at = (at + len) % EDU_DIO_BUFFER;
	}
	return 0;
}

static long edu_dio_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct edu *edu = container_of(file->private_data, struct edu, misc);
	struct edu_dio_transfer __user *argp = (void __user *)arg;
	struct edu_dio_transfer t;
	int ret;

	if (cmd != EDU_DIO_TRANSFER)
		return -ENOTTY;
	if (copy_from_user(&t, argp, sizeof(t)))
		return -EFAULT;
	if (t.direction != EDU_DIO_TO_DEVICE &&
	    t.direction != EDU_DIO_FROM_DEVICE)
		return -EINVAL;
	if (!t.timeout_ms)
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(t.addr), t.size))
		return -EFAULT;
	if (mutex_lock_interruptible(&edu->lock))
		return -ERESTARTSYS;
	ret = edu_transfer(edu, &t);
	mutex_unlock(&edu->lock);
	if (put_user(t.transferred, &argp->transferred) && !ret)
		ret = -EFAULT;
	return ret;
}

static const struct file_operations edu_dio_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= edu_dio_ioctl,
	.llseek		= no_llseek,
};

static int edu_dio_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	int ret;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	init_waitqueue_head(&edu->wait);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	edu->regs = pcim_iomap_table(pdev)[0];
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(28));
	if (ret)
		return ret;
	ret = devm_request_irq(&pdev->dev, pdev->irq, edu_handler,
			       IRQF_SHARED, KBUILD_MODNAME, edu);
	if (ret)
		return ret;
	writel(0, edu->regs + EDU_STATUS);
	writel(~0u, edu->regs + EDU_IRQ_ACK);
	/* Whoever had it before may have left it running. */
	if (edu_busy(edu))
		edu_stop(edu);
	else
		pci_set_master(pdev);
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = devm_kasprintf(&pdev->dev, GFP_KERNEL, "edu_dio-%s",
					pci_name(pdev));
	edu->misc.fops = &edu_dio_fops;
	if (!edu->misc.name)
		return -ENOMEM;
	pci_set_drvdata(pdev, edu);
	return misc_register(&edu->misc);
}

static void edu_dio_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	misc_deregister(&edu->misc);
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_dio_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_dio_ids);

static struct pci_driver edu_dio_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= edu_dio_ids,
	.probe		= edu_dio_probe,
	.remove		= edu_dio_remove,
	/* An open file would outlive what it refers to. */
	.driver		= { .suppress_bind_attrs = true },
};
module_pci_driver(edu_dio_driver);

MODULE_DESCRIPTION("Direct I/O to and from QEMU's edu device");
MODULE_LICENSE("GPL");
