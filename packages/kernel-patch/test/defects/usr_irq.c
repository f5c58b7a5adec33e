// SPDX-License-Identifier: GPL-2.0
/*
 * The irq file the way it worked in 2005, for tests alone: nothing but the order
 * of its steps protects the count. It takes the place of ../../module/usr_irq.c
 * in a build of the module that is never installed.
 *
 * The steps bear the names that they have in the emulated kernel. A parameter of
 * that name widens the window before the step, by so many milliseconds: under
 * emulation the other processor may not run for as long.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/usr_irq.h>

struct usr_irq {
	unsigned int		irq;
	int			count;
	wait_queue_head_t	wait;
	struct list_head	node;	/* in usr_irq_claims */
	char			name[TASK_COMM_LEN];
};

static DEFINE_MUTEX(usr_irq_mutex);
static LIST_HEAD(usr_irq_claims);

static unsigned int H2, R2a, R2b, R6;
module_param(H2, uint, 0644);
module_param(R2a, uint, 0644);
module_param(R2b, uint, 0644);
module_param(R6, uint, 0644);

static void usr_irq_before(unsigned int ms)
{
	if (ms)
		mdelay(ms);
}

static irqreturn_t usr_irq_handler(int irq, void *dev_id)
{
	struct usr_irq *u = dev_id;

	disable_irq_nosync(irq);				/* H1 */
	usr_irq_before(H2);
	u->count++;						/* H2 */
	wake_up_interruptible_poll(&u->wait,			/* H3 */
				   EPOLLIN | EPOLLRDNORM);
	return IRQ_HANDLED;					/* H4 */
}

/* Looks without a lock: another processor may be about to do the same. */
static void usr_irq_enable(struct usr_irq *u)
{
	struct irq_data *data = irq_get_irq_data(u->irq);

	usr_irq_before(R2a);
	if (!data || !irqd_irq_disabled(data))			/* R2a, Q1 */
		return;
	usr_irq_before(R2b);
	enable_irq(u->irq);					/* R2b, Q2 */
}

ssize_t usr_irq_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct usr_irq *u = iocb->ki_filp->private_data;
	DEFINE_WAIT(wait);
	int pending;

	if (iov_iter_count(to) < sizeof(pending))
		return -EINVAL;

	pending = READ_ONCE(u->count);				/* R1 */
	if (!pending) {
		usr_irq_enable(u);
		if (iocb->ki_filp->f_flags & O_NONBLOCK)	/* R2c */
			return -EAGAIN;
	}
	while (!pending) {
		prepare_to_wait(&u->wait, &wait,		/* R3a */
				TASK_INTERRUPTIBLE);
		pending = READ_ONCE(u->count);			/* R3b */
		if (!pending && !signal_pending(current))
			schedule();				/* R3c */
		finish_wait(&u->wait, &wait);			/* R3d */
		if (signal_pending(current))
			return -ERESTARTSYS;			/* R3e */
	}

	if (copy_to_iter(&pending, sizeof(pending), to) != sizeof(pending))
		return -EFAULT;					/* R4 */
	usr_irq_before(R6);
	WRITE_ONCE(u->count, READ_ONCE(u->count) - pending);	/* R6 */
	return sizeof(pending);
}

__poll_t usr_irq_poll(struct file *file, struct poll_table_struct *table)
{
	struct usr_irq *u = file->private_data;

	if (READ_ONCE(u->count) > 0)				/* Q0 */
		return EPOLLIN | EPOLLRDNORM;
	usr_irq_enable(u);
	poll_wait(file, &u->wait, table);			/* Q3 */
	return READ_ONCE(u->count) > 0 ?			/* Q4 */
		EPOLLIN | EPOLLRDNORM : 0;
}

int usr_irq_claim(struct file *file, unsigned int irq)
{
	struct usr_irq *u = kzalloc(sizeof(*u), GFP_KERNEL);
	int ret;

	if (!u)
		return -ENOMEM;
	u->irq = irq;
	init_waitqueue_head(&u->wait);
	get_task_comm(u->name, current);

	mutex_lock(&usr_irq_mutex);
	ret = request_irq(irq, usr_irq_handler, IRQF_PROBE_SHARED, u->name, u);
	if (!ret)
		list_add(&u->node, &usr_irq_claims);
	mutex_unlock(&usr_irq_mutex);
	if (ret) {
		kfree(u);
		return ret;
	}

	/* 2.6.11 masks a level line at once. */
	if (irqd_is_level_type(irq_get_irq_data(irq)))
		irq_set_status_flags(irq, IRQ_DISABLE_UNLAZY);
	file->private_data = u;
	return stream_open(file_inode(file), file);
}

static void usr_irq_free(struct usr_irq *u)
{
	list_del_init(&u->node);
	free_irq(u->irq, u);
}

int usr_irq_release(struct inode *inode, struct file *file)
{
	struct usr_irq *u = file->private_data;

	mutex_lock(&usr_irq_mutex);
	if (!list_empty(&u->node))
		usr_irq_free(u);
	mutex_unlock(&usr_irq_mutex);
	kfree(u);
	return 0;
}

static struct usr_irq *usr_irq_find(unsigned int irq)
{
	struct usr_irq *u;

	list_for_each_entry(u, &usr_irq_claims, node) {
		if (u->irq == irq)
			return u;
	}
	return NULL;
}

bool usr_irq_is_claimed(unsigned int irq)
{
	bool ret;

	mutex_lock(&usr_irq_mutex);
	ret = usr_irq_find(irq);
	mutex_unlock(&usr_irq_mutex);
	return ret;
}

/* Nobody had thought of lines that go away: who sleeps, sleeps on. */
void usr_irq_revoke(unsigned int irq)
{
	struct usr_irq *u;

	mutex_lock(&usr_irq_mutex);
	u = usr_irq_find(irq);
	if (u)
		usr_irq_free(u);
	mutex_unlock(&usr_irq_mutex);
}
