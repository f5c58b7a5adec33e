// SPDX-License-Identifier: GPL-2.0
/*
 * Consistent memory for a user-space driver: one page that the device and the
 * caller share. The device loses it with the descriptor; the caller keeps it
 * until it unmaps it or ends.
 */
#include <linux/anon_inodes.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "usr_pci.h"

/* Lives as long as the file behind the caller's mapping. */
struct usr_pci_consistent {
	struct list_head	node;	/* in usr_pci.consistent while mapped */
	struct usr_pci		*p;
	struct page		*page;
	dma_addr_t		dmaaddr;
};

static int usr_pci_consistent_mmap(struct file *file,
				   struct vm_area_struct *vma)
{
	struct usr_pci_consistent *c = file->private_data;

	/*
	 * VM_IO so that it cannot be pinned for a streaming mapping; not for a
	 * child, which could not tell when the device writes.
	 */
	vma->vm_flags |= VM_IO | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	/* The mapping takes its own reference on the page. */
	return vm_insert_page(vma, vma->vm_start, c->page);
}

static void usr_pci_unmap_consistent(struct usr_pci_consistent *c)
{
	lockdep_assert_held(&c->p->lock);
	if (list_empty(&c->node))
		return;
	list_del_init(&c->node);
	dma_free_pages(&c->p->pdev->dev, PAGE_SIZE, c->page, c->dmaaddr,
		       DMA_BIDIRECTIONAL);
}

static void usr_pci_free_consistent(struct usr_pci_consistent *c)
{
	struct usr_pci *p = c->p;

	mutex_lock(&p->lock);
	usr_pci_unmap_consistent(c);
	mutex_unlock(&p->lock);
	put_page(c->page);
	usr_pci_put(p);
	kfree(c);
}

static int usr_pci_consistent_release(struct inode *inode, struct file *file)
{
	usr_pci_free_consistent(file->private_data);
	return 0;
}

static const struct file_operations usr_pci_consistent_fops = {
	.owner		= THIS_MODULE,
	.mmap		= usr_pci_consistent_mmap,
	.release	= usr_pci_consistent_release,
};

static struct usr_pci_consistent *usr_pci_alloc_consistent(struct usr_pci *p)
{
	struct usr_pci_consistent *c;
	int ret = -ENODEV;

	c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return ERR_PTR(-ENOMEM);
	c->p = p;

	mutex_lock(&p->lock);
	if (!p->dead) {
		c->page = dma_alloc_pages(&p->pdev->dev, PAGE_SIZE, &c->dmaaddr,
					  DMA_BIDIRECTIONAL, GFP_KERNEL);
		ret = -ENOMEM;
	}
	/* What dma_alloc_pages() returns has no error, but debugging asks. */
	if (c->page && !dma_mapping_error(&p->pdev->dev, c->dmaaddr)) {
		/* The DMA layer's reference goes with the device; ours stays. */
		get_page(c->page);
		kref_get(&p->ref);
		list_add(&c->node, &p->consistent);
		ret = 0;
	}
	mutex_unlock(&p->lock);

	if (ret) {
		kfree(c);
		return ERR_PTR(ret);
	}
	return c;
}

static long usr_pci_do_get_consistent(struct usr_pci *p, u64 size,
				      void __user *vaddrp,
				      u64 __user *dmaaddrp)
{
	struct usr_pci_consistent *c;
	unsigned long vaddr;
	dma_addr_t dmaaddr;
	struct file *file;

	if (size != PAGE_SIZE)
		return -EINVAL;

	c = usr_pci_alloc_consistent(p);
	if (IS_ERR(c))
		return PTR_ERR(c);
	dmaaddr = c->dmaaddr;

	file = anon_inode_getfile("[usr_pci_consistent]",
				  &usr_pci_consistent_fops, c, O_RDWR);
	if (IS_ERR(file)) {
		usr_pci_free_consistent(c);
		return -ENOMEM;
	}
	vaddr = vm_mmap(file, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			0);
	fput(file);
	if (IS_ERR_VALUE(vaddr))
		return -ENOMEM;

	if (put_user(vaddr, (unsigned long __user *)vaddrp) ||
	    put_user((u64)dmaaddr, dmaaddrp)) {
		vm_munmap(vaddr, PAGE_SIZE);
		return -EFAULT;
	}
	return 0;
}

long usr_pci_get_consistent(int fd, u64 size, void __user *vaddrp,
			    u64 __user *dmaaddrp)
{
	struct fd f = fdget(fd);
	struct usr_pci *p = usr_pci_from_fd(f);
	long ret = -EINVAL;

	if (p)
		ret = usr_pci_do_get_consistent(p, size, vaddrp, dmaaddrp);
	fdput(f);
	return ret;
}

void usr_pci_release_consistent(struct usr_pci *p)
{
	struct usr_pci_consistent *c, *next;

	list_for_each_entry_safe(c, next, &p->consistent, node)
		usr_pci_unmap_consistent(c);
}
