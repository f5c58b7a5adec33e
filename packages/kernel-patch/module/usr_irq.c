// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts handled in user space.
 *
 * Opening the file of a line requests the interrupt. A read returns the number
 * of interrupts since the last one as a native int, and sleeps while there are
 * none. The line is masked by the handler, and unmasked when a read or a poll
 * finds nothing to report. This file has the file operations; the node that
 * they belong to is made elsewhere.
 */
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/usr_irq.h>

struct usr_irq {
	unsigned int		irq;
	spinlock_t		lock;	/* guards the three below */
	unsigned int		count;
	bool			masked;
	bool			revoked;
	wait_queue_head_t	wait;
	struct list_head	node;	/* in usr_irq_claims */
	char			name[TASK_COMM_LEN + 1];
};

/* Guards the list, and membership in it: who unlinks a claim frees its line. */
static DEFINE_MUTEX(usr_irq_mutex);
static LIST_HEAD(usr_irq_claims);

static irqreturn_t usr_irq_handler(int irq, void *dev_id)
{
	struct usr_irq *u = dev_id;
	unsigned long flags;

	spin_lock_irqsave(&u->lock, flags);
	if (!u->masked) {
		disable_irq_nosync(irq);
		u->masked = true;
	}
	u->count++;
	spin_unlock_irqrestore(&u->lock, flags);

	wake_up_interruptible_poll(&u->wait, EPOLLIN | EPOLLRDNORM);
	return IRQ_HANDLED;
}

/*
 * Unmask the line if there is nothing to report. Every caller that is about to
 * tell its user "nothing yet" comes through here, so that a line is never left
 * masked behind a sleeper. True if there is something to report after all.
 */
static bool usr_irq_arm(struct usr_irq *u)
{
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&u->lock, flags);
	if (!u->count && u->masked && !u->revoked) {
		u->masked = false;
		enable_irq(u->irq);
	}
	ready = u->count || u->revoked;
	spin_unlock_irqrestore(&u->lock, flags);

	/* A line that was asserted has interrupted this processor by now. */
	return ready || READ_ONCE(u->count);
}

static unsigned int usr_irq_take(struct usr_irq *u)
{
	unsigned long flags;
	unsigned int count;

	spin_lock_irqsave(&u->lock, flags);
	count = u->count;
	u->count = 0;
	spin_unlock_irqrestore(&u->lock, flags);

	return count;
}

static void usr_irq_put_back(struct usr_irq *u, unsigned int count)
{
	unsigned long flags;

	spin_lock_irqsave(&u->lock, flags);
	u->count += count;
	spin_unlock_irqrestore(&u->lock, flags);

	wake_up_interruptible_poll(&u->wait, EPOLLIN | EPOLLRDNORM);
}

ssize_t usr_irq_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	struct usr_irq *u = file->private_data;
	unsigned int count;
	int ret;

	if (iov_iter_count(to) < sizeof(count))
		return -EINVAL;

	while (!(count = usr_irq_take(u))) {
		if (READ_ONCE(u->revoked))
			return -ENODEV;
		if (file->f_flags & O_NONBLOCK ||
		    iocb->ki_flags & IOCB_NOWAIT) {
			if (usr_irq_arm(u))
				continue;
			return -EAGAIN;
		}
		ret = wait_event_interruptible(u->wait, usr_irq_arm(u));
		if (ret)
			return ret;
	}

	if (copy_to_iter(&count, sizeof(count), to) != sizeof(count)) {
		usr_irq_put_back(u, count);
		return -EFAULT;
	}
	return sizeof(count);
}

__poll_t usr_irq_poll(struct file *file, struct poll_table_struct *table)
{
	struct usr_irq *u = file->private_data;

	/*
	 * Before anything else: epoll hands over a table only when the file is
	 * added, and would never hear of a line that is ready at that moment.
	 */
	poll_wait(file, &u->wait, table);
	if (!usr_irq_arm(u))
		return 0;
	if (READ_ONCE(u->revoked))
		return EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP;
	return EPOLLIN | EPOLLRDNORM;
}

/*
 * The claim bears the caller's command name. The core makes a directory of that
 * name beside the line's other entries, so it must be a name that can stand
 * there.
 */
static void usr_irq_set_name(struct usr_irq *u)
{
	static const char * const taken[] = {
		"", ".", "..", "irq", "affinity_hint", "node", "smp_affinity",
		"spurious",
	};
	char comm[TASK_COMM_LEN];
	int i;

	get_task_comm(comm, current);
	strscpy(u->name, comm, sizeof(u->name));
	strreplace(u->name, '/', '!');
	for (i = 0; i < ARRAY_SIZE(taken); i++) {
		if (!strcmp(u->name, taken[i])) {
			strlcat(u->name, "!", sizeof(u->name));
			return;
		}
	}
}

/* A controller behind a slow bus sleeps to mask a line: the handler cannot. */
static bool usr_irq_can_mask(unsigned int irq)
{
	struct irq_data *data;
	bool ret;

	rcu_read_lock();
	data = irq_get_irq_data(irq);
	ret = !data || !data->chip || !data->chip->irq_bus_lock;
	rcu_read_unlock();
	return ret;
}

int usr_irq_claim(struct file *file, unsigned int irq)
{
	struct usr_irq *u;
	int ret;

	if (!usr_irq_can_mask(irq))
		return -EINVAL;

	u = kzalloc(sizeof(*u), GFP_KERNEL_ACCOUNT);
	if (!u)
		return -ENOMEM;
	u->irq = irq;
	spin_lock_init(&u->lock);
	init_waitqueue_head(&u->wait);
	usr_irq_set_name(u);

	mutex_lock(&usr_irq_mutex);
	usr_irq_forget_edge(irq);
	/* PROBE_SHARED keeps the core quiet about a line that is busy. */
	ret = request_irq(irq, usr_irq_handler, IRQF_PROBE_SHARED, u->name, u);
	if (!ret)
		list_add(&u->node, &usr_irq_claims);
	mutex_unlock(&usr_irq_mutex);
	if (ret) {
		kfree(u);
		return ret;
	}

	/*
	 * Masked lazily, a level line would fire again at the end of each
	 * interrupt, and that second one could be taken for a new assertion.
	 */
	if (irqd_is_level_type(irq_get_irq_data(irq)))
		irq_set_status_flags(irq, IRQ_DISABLE_UNLAZY);

	file->private_data = u;
	/* A read can be told not to sleep: preadv2(2) with RWF_NOWAIT. */
	file->f_mode |= FMODE_NOWAIT;
	/* No position: a reader that sleeps must not keep others waiting. */
	return stream_open(file_inode(file), file);
}

/*
 * Nobody arms the line any more. An edge that has been sent already but that no
 * processor has taken would arrive in the hands of the next one who opens the
 * line, so see it arrive before the line is freed, and then drop it.
 */
static void usr_irq_free(struct usr_irq *u)
{
	lockdep_assert_held(&usr_irq_mutex);
	list_del_init(&u->node);

	spin_lock_irq(&u->lock);
	if (!u->masked)
		disable_irq_nosync(u->irq);
	u->masked = true;
	spin_unlock_irq(&u->lock);
	kick_all_cpus_sync();

	free_irq(u->irq, u);
	usr_irq_forget_edge(u->irq);
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

	lockdep_assert_held(&usr_irq_mutex);
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

void usr_irq_revoke(unsigned int irq)
{
	struct usr_irq *u;

	mutex_lock(&usr_irq_mutex);
	u = usr_irq_find(irq);
	if (u) {
		/* From here on usr_irq_arm() leaves the line alone. */
		spin_lock_irq(&u->lock);
		u->revoked = true;
		spin_unlock_irq(&u->lock);
		usr_irq_free(u);
		wake_up_interruptible_poll(&u->wait, EPOLLIN | EPOLLERR |
					   EPOLLHUP);
	}
	mutex_unlock(&usr_irq_mutex);
}
