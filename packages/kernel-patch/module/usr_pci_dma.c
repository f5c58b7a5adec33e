// SPDX-License-Identifier: GPL-2.0
/*
 * User memory mapped for DMA: pinned, counted, mapped, and listed for the
 * caller as the device sees it.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/usr_pci.h>
#include "usr_pci.h"

struct usr_pci_map {
	struct list_head	node;	/* in usr_pci.mappings */
	/* The call that makes it still holds it; only that may free it. */
	bool			making;
	bool			mapped;	/* the device can reach it */
	struct mm_struct	*mm;	/* charged with the pages */
	struct page		**pages;
	unsigned long		nr_pages;
	unsigned long		nr_pinned;
	struct sg_table		sgt;
	enum dma_data_direction	direction;
};

/*
 * Pin what lies in @vma. A read-only private page is copied first, or the
 * device would go on reading a page that the process no longer sees.
 */
static long usr_pci_pin_vma(struct usr_pci_map *m, struct vm_area_struct *vma,
			    unsigned long start, unsigned long nr)
{
	bool to_device = m->direction == DMA_TO_DEVICE;
	bool private = !(vma->vm_flags & VM_MAYSHARE);
	unsigned int flags = FOLL_LONGTERM;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return -EFAULT;
	if (!(vma->vm_flags & (to_device ? VM_READ : VM_WRITE)))
		return -EFAULT;
	if (!to_device || private)
		flags |= FOLL_WRITE;
	if (to_device && private)
		flags |= FOLL_FORCE;

	return pin_user_pages(start, nr, flags, m->pages + m->nr_pinned, NULL);
}

static int usr_pci_pin(struct usr_pci_map *m, unsigned long start)
{
	unsigned long end = start + m->nr_pages * PAGE_SIZE;
	struct vm_area_struct *vma;
	long n;

	mmap_read_lock(m->mm);
	while (start < end) {
		vma = find_vma(m->mm, start);
		/* A stack that could grow down to here has not yet. */
		if (!vma || vma->vm_start > start) {
			n = -EFAULT;
			break;
		}
		n = usr_pci_pin_vma(m, vma, start,
				    (min(end, vma->vm_end) - start) /
				    PAGE_SIZE);
		if (n <= 0) {
			n = n ?: -EFAULT;
			break;
		}
		m->nr_pinned += n;
		start += n * PAGE_SIZE;
	}
	mmap_read_unlock(m->mm);

	if (start == end)
		return 0;
	return n == -ENOMEM || n == -EINTR ? n : -EFAULT;
}

/* Out of the device's reach, and no longer held. */
static void usr_pci_undo_map(struct usr_pci *p, struct usr_pci_map *m)
{
	if (m->mapped)
		dma_unmap_sgtable(&p->pdev->dev, &m->sgt, m->direction, 0);
	m->mapped = false;
	unpin_user_pages_dirty_lock(m->pages, m->nr_pinned,
				    m->direction != DMA_TO_DEVICE);
	m->nr_pinned = 0;
}

static void usr_pci_free_map(struct usr_pci_map *m)
{
	sg_free_table(&m->sgt);
	account_locked_vm(m->mm, m->nr_pages, false);
	mmdrop(m->mm);
	kvfree(m->pages);
	kfree(m);
}

static struct usr_pci_map *usr_pci_alloc_map(const struct usr_pci_mapping *arg)
{
	unsigned long offset = arg->virtaddr & ~PAGE_MASK;
	struct usr_pci_map *m;
	int ret = -ENOMEM;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return ERR_PTR(-ENOMEM);
	m->direction = arg->direction;
	m->nr_pages = PFN_UP(offset + arg->size);
	m->pages = kvmalloc_array(m->nr_pages, sizeof(*m->pages),
				  GFP_KERNEL_ACCOUNT);
	if (!m->pages)
		goto err_free;
	ret = account_locked_vm(current->mm, m->nr_pages, true);
	if (ret)
		goto err_pages;
	m->mm = current->mm;
	mmgrab(m->mm);
	return m;

err_pages:
	kvfree(m->pages);
err_free:
	kfree(m);
	return ERR_PTR(ret);
}

static int usr_pci_build_sgt(struct usr_pci *p, struct usr_pci_map *m,
			     const struct usr_pci_mapping *arg)
{
	unsigned int max_segment = dma_get_max_seg_size(&p->pdev->dev);

	return sg_alloc_table_from_pages_segment(&m->sgt, m->pages, m->nr_pages,
						 arg->virtaddr & ~PAGE_MASK,
						 arg->size, max_segment,
						 GFP_KERNEL_ACCOUNT);
}

/* What the device sees of @m, for the caller; the array is the caller's. */
static struct usr_pci_sg *usr_pci_list_map(struct usr_pci_map *m)
{
	struct usr_pci_sg *list;
	struct scatterlist *sg;
	int i;

	list = kvmalloc_array(m->sgt.nents, sizeof(*list), GFP_KERNEL_ACCOUNT);
	if (!list)
		return NULL;
	for_each_sgtable_dma_sg(&m->sgt, sg, i) {
		list[i].dmaaddr = sg_dma_address(sg);
		list[i].len = sg_dma_len(sg);
	}
	return list;
}

/* Map the pinned pages, and let the device's end know of the mapping. */
static int usr_pci_map(struct usr_pci *p, struct usr_pci_map *m)
{
	int ret = -ENODEV;

	mutex_lock(&p->lock);
	if (p->dead)
		goto out;
	/* Whatever the DMA layer calls it, it had no room for the mapping. */
	ret = -ENOMEM;
	if (dma_map_sgtable(&p->pdev->dev, &m->sgt, m->direction, 0))
		goto out;
	m->mapped = true;
	m->making = true;
	list_add(&m->node, &p->mappings);
	ret = 0;
out:
	mutex_unlock(&p->lock);
	return ret;
}

/* The call that made it is done with it: publish it, or with @ret undo it. */
static int usr_pci_settle_map(struct usr_pci *p, struct usr_pci_map *m, int ret)
{
	mutex_lock(&p->lock);
	m->making = false;
	if (!m->mapped)
		ret = -ENODEV;		/* torn down meanwhile */
	if (ret) {
		list_del(&m->node);
		usr_pci_undo_map(p, m);
	}
	mutex_unlock(&p->lock);
	if (ret)
		usr_pci_free_map(m);
	return ret;
}

static int usr_pci_copy_out(struct usr_pci_map *m, struct usr_pci_mapping *arg,
			    struct usr_pci_mapping __user *uarg)
{
	struct usr_pci_sg __user *usg = u64_to_user_ptr(arg->sglist);
	struct usr_pci_sg *list;
	int ret = 0;

	list = usr_pci_list_map(m);
	if (!list)
		return -ENOMEM;
	arg->nents = m->sgt.nents;
	arg->dmaaddr = list[0].dmaaddr;
	if (copy_to_user(usg, list, arg->nents * sizeof(*list)) ||
	    copy_to_user(uarg, arg, sizeof(*arg)))
		ret = -EFAULT;
	kvfree(list);
	return ret;
}

static long usr_pci_do_mmap(struct usr_pci *p,
			    struct usr_pci_mapping __user *uarg)
{
	struct usr_pci_mapping arg;
	struct usr_pci_map *m;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.direction > USR_PCI_FROM_DEVICE)
		return -EINVAL;
	if (!arg.size || arg.nents < (long)(arg.size / PAGE_SIZE + 2))
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(arg.virtaddr), arg.size))
		return -EFAULT;

	m = usr_pci_alloc_map(&arg);
	if (IS_ERR(m))
		return PTR_ERR(m);
	ret = usr_pci_pin(m, arg.virtaddr & PAGE_MASK);
	if (!ret)
		ret = usr_pci_build_sgt(p, m, &arg);
	if (!ret)
		ret = usr_pci_map(p, m);
	if (ret) {
		usr_pci_undo_map(p, m);
		usr_pci_free_map(m);
		return ret;
	}
	ret = usr_pci_copy_out(m, &arg, uarg);
	return usr_pci_settle_map(p, m, ret);
}

long usr_pci_mmap(int fd, struct usr_pci_mapping __user *uarg)
{
	struct fd f = fdget(fd);
	struct usr_pci *p = usr_pci_from_fd(f);
	long ret = p ? usr_pci_do_mmap(p, uarg) : -EINVAL;

	fdput(f);
	return ret;
}

static long usr_pci_do_munmap(struct usr_pci *p,
			      struct usr_pci_mapping __user *uarg)
{
	struct usr_pci_map *m, *found = NULL;
	struct usr_pci_mapping arg;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;

	mutex_lock(&p->lock);
	list_for_each_entry(m, &p->mappings, node) {
		if (m->mapped && !m->making &&
		    sg_dma_address(m->sgt.sgl) == arg.dmaaddr) {
			found = m;
			list_del(&m->node);
			usr_pci_undo_map(p, m);
			break;
		}
	}
	ret = p->dead ? -ENODEV : -EINVAL;
	mutex_unlock(&p->lock);

	if (!found)
		return ret;
	usr_pci_free_map(found);
	return 0;
}

long usr_pci_munmap(int fd, struct usr_pci_mapping __user *uarg)
{
	struct fd f = fdget(fd);
	struct usr_pci *p = usr_pci_from_fd(f);
	long ret = p ? usr_pci_do_munmap(p, uarg) : -EINVAL;

	fdput(f);
	return ret;
}

/* Takes every mapping from the device; usr_pci_free_maps() does the rest. */
void usr_pci_unmap_all(struct usr_pci *p)
{
	struct usr_pci_map *m;

	lockdep_assert_held(&p->lock);
	list_for_each_entry(m, &p->mappings, node)
		usr_pci_undo_map(p, m);
}

/* With the descriptor gone no call holds a mapping any more. */
void usr_pci_free_maps(struct usr_pci *p)
{
	struct usr_pci_map *m, *next;

	list_for_each_entry_safe(m, next, &p->mappings, node) {
		list_del(&m->node);
		usr_pci_free_map(m);
	}
}
