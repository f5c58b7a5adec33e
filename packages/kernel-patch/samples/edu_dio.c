// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O between QEMU's edu device and user memory: an ioctl moves any
 * range, at any alignment, without a copy on the way. One transfer at a time,
 * in chunks; each chunk is pinned, mapped, moved and given back.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include "edu_dio.h"

#define EDU_IRQ_STATUS	0x24
#define EDU_IRQ_ACK	0x64
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	BIT(0)
#define EDU_DMA_TO_RAM	BIT(1)
#define EDU_DMA_IRQ	BIT(2)
#define EDU_DMA_DONE	0x100	/* in the interrupt status */
#define EDU_BUFFER	0x40000

#define EDU_CHUNK	1024
#define EDU_PAGES	(EDU_CHUNK / PAGE_SIZE + 2)
#define EDU_WAIT	(2 * HZ)
#define EDU_STOP_US	1000000

struct edu_dio {
	struct miscdevice	misc;
	struct pci_dev		*pdev;
	void __iomem		*regs;
	struct mutex		lock;	/* one transfer at a time */
	struct completion	moved;
};

/* All that it does is to wake the waiter. */
static irqreturn_t edu_dio_handler(int irq, void *dev_id)
{
	struct edu_dio *edu = dev_id;
	u32 status = readl(edu->regs + EDU_IRQ_STATUS);

	if (!(status & EDU_DMA_DONE) || status == ~0u)
		return IRQ_NONE;
	writel(EDU_DMA_DONE, edu->regs + EDU_IRQ_ACK);
	complete(&edu->moved);
	return IRQ_HANDLED;
}

/*
 * The memory is about to be given back: a transfer that has been started runs
 * to its end, or the device loses its access to memory for good.
 */
static void edu_dio_stop(struct edu_dio *edu)
{
	u32 command;

	if (readl_poll_timeout(edu->regs + EDU_DMA_CMD, command,
			       !(command & EDU_DMA_RUN), 1000, EDU_STOP_US))
		pci_clear_master(edu->pdev);
}

static int edu_dio_move(struct edu_dio *edu, dma_addr_t bus, u32 offset,
			u32 len, bool to_ram)
{
	u64 buffer = EDU_BUFFER + offset;
	long left;

	reinit_completion(&edu->moved);
	writeq(to_ram ? buffer : bus, edu->regs + EDU_DMA_SRC);
	writeq(to_ram ? bus : buffer, edu->regs + EDU_DMA_DST);
	writeq(len, edu->regs + EDU_DMA_COUNT);
	writeq(EDU_DMA_RUN | EDU_DMA_IRQ | (to_ram ? EDU_DMA_TO_RAM : 0),
	       edu->regs + EDU_DMA_CMD);
	left = wait_for_completion_interruptible_timeout(&edu->moved, EDU_WAIT);
	if (left > 0)
		return 0;
	edu_dio_stop(edu);
	return left ? -EINTR : -ETIMEDOUT;
}

/* Returns how many bytes were moved, or an error if none. */
static int edu_dio_chunk(struct edu_dio *edu, u64 addr, u32 offset, u32 len,
			 bool to_ram)
{
	enum dma_data_direction dir = to_ram ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	unsigned int first = offset_in_page(addr);
	int n = DIV_ROUND_UP(first + len, PAGE_SIZE), pinned, i, ret;
	struct page *pages[EDU_PAGES];
	struct scatterlist *sg;
	struct sg_table sgt;
	u32 done = 0;

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
		ret = edu_dio_move(edu, sg_dma_address(sg), offset + done,
				   sg_dma_len(sg), to_ram);
		if (ret)
			break;
		done += sg_dma_len(sg);
	}
	dma_unmap_sgtable(&edu->pdev->dev, &sgt, dir, 0);
err_free:
	sg_free_table(&sgt);
err_unpin:
	if (pinned > 0)
		unpin_user_pages_dirty_lock(pages, pinned, to_ram);
	return done ?: ret;
}

static int edu_dio_transfer(struct edu_dio *edu, struct edu_dio_transfer *t)
{
	bool to_ram = t->direction == EDU_DIO_FROM_DEVICE;
	int ret;

	if (t->direction > EDU_DIO_FROM_DEVICE || !t->len ||
	    t->offset >= EDU_DIO_SIZE || t->len > EDU_DIO_SIZE - t->offset)
		return -EINVAL;
	if (mutex_lock_interruptible(&edu->lock))
		return -EINTR;
	for (t->done = 0, ret = 0; t->done < t->len; t->done += ret) {
		ret = edu_dio_chunk(edu, t->addr + t->done, t->offset + t->done,
				    min_t(u32, t->len - t->done, EDU_CHUNK),
				    to_ram);
		if (ret < 0)
			break;
	}
	mutex_unlock(&edu->lock);
	return t->done ? 0 : ret;
}

static long edu_dio_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct edu_dio *edu = container_of(file->private_data, struct edu_dio,
					   misc);
	struct edu_dio_transfer t;
	int ret;

	if (cmd != EDU_DIO_TRANSFER)
		return -ENOTTY;
	if (copy_from_user(&t, (void __user *)arg, sizeof(t)))
		return -EFAULT;
	ret = edu_dio_transfer(edu, &t);
	if (!ret && copy_to_user((void __user *)arg, &t, sizeof(t)))
		return -EFAULT;
	return ret;
}

static const struct file_operations edu_dio_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= edu_dio_ioctl,
	.llseek		= no_llseek,
};

static int edu_dio_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu_dio *edu;
	int ret;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	init_completion(&edu->moved);
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
	ret = devm_request_irq(&pdev->dev, pdev->irq, edu_dio_handler,
			       IRQF_SHARED, KBUILD_MODNAME, edu);
	if (ret)
		return ret;
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
	struct edu_dio *edu = pci_get_drvdata(pdev);

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
