// SPDX-License-Identifier: GPL-2.0
/*
 * A UIO stub for QEMU's edu device: the interrupt is acknowledged here, and user
 * space hears how many there were. Everything else, registers and what they
 * mean, is up to the program that maps them.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uio_driver.h>

#define EDU_IRQ_STATUS	0x24
#define EDU_IRQ_ACK	0x64

struct uio_edu {
	struct uio_info	info;
	struct pci_dev	*pdev;
	void __iomem	*regs;
};

/* The line may be shared: only what this device asked for is ours. */
static irqreturn_t uio_edu_handler(int irq, struct uio_info *info)
{
	struct uio_edu *edu = info->priv;
	u32 status = readl(edu->regs + EDU_IRQ_STATUS);

	if (!status || status == ~0u)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_IRQ_ACK);
	return IRQ_HANDLED;
}

/* write(2) of 0 or 1: masks at the device, so that others keep the line. */
static int uio_edu_irqcontrol(struct uio_info *info, s32 on)
{
	struct uio_edu *edu = info->priv;

	pci_intx(edu->pdev, on);
	return 0;
}

static int uio_edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct uio_edu *edu;
	int ret;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	edu->pdev = pdev;
	edu->regs = pcim_iomap_table(pdev)[0];

	edu->info.name = KBUILD_MODNAME;
	edu->info.version = "1";
	edu->info.mem[0].name = "registers";
	edu->info.mem[0].addr = pci_resource_start(pdev, 0);
	edu->info.mem[0].size = pci_resource_len(pdev, 0);
	edu->info.mem[0].memtype = UIO_MEM_PHYS;
	edu->info.irq = pdev->irq;
	edu->info.irq_flags = IRQF_SHARED;
	edu->info.handler = uio_edu_handler;
	edu->info.irqcontrol = uio_edu_irqcontrol;
	edu->info.priv = edu;
	return devm_uio_register_device(&pdev->dev, &edu->info);
}

static const struct pci_device_id uio_edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, uio_edu_ids);

static struct pci_driver uio_edu_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= uio_edu_ids,
	.probe		= uio_edu_probe,
};
module_pci_driver(uio_edu_driver);

MODULE_DESCRIPTION("UIO stub for QEMU's edu device");
MODULE_LICENSE("GPL");
