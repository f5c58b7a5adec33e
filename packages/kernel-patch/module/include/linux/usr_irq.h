/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts handled in user space: one file for each line.
 */
#ifndef _LINUX_USR_IRQ_H
#define _LINUX_USR_IRQ_H

#include <linux/fs.h>
#include <linux/poll.h>

struct proc_dir_entry;

#if IS_ENABLED(CONFIG_USR_IRQ)

/* File operations, for whatever kind of node the line's file is. */
int usr_irq_claim(struct file *file, unsigned int irq);
ssize_t usr_irq_read_iter(struct kiocb *iocb, struct iov_iter *to);
__poll_t usr_irq_poll(struct file *file, struct poll_table_struct *table);
int usr_irq_release(struct inode *inode, struct file *file);

/* Is the file of @irq open? */
bool usr_irq_is_claimed(unsigned int irq);

/* The line goes away: free it and fail its readers with ENODEV. */
void usr_irq_revoke(unsigned int irq);

/* The line can be requested from now on: let its file appear, if it has not. */
void usr_irq_add_line(unsigned int irq);

/* The line is about to be freed: let its file disappear. */
void usr_irq_remove_line(unsigned int irq);

/* Drop an edge that the core kept for a line that nobody holds. */
void usr_irq_forget_edge(unsigned int irq);

/* The file in the directory @dir of the line @irq. */
void usr_irq_register_proc(unsigned int irq, struct proc_dir_entry *dir);
void usr_irq_unregister_proc(unsigned int irq, struct proc_dir_entry *dir);

#else

static inline void usr_irq_revoke(unsigned int irq) { }
static inline void usr_irq_add_line(unsigned int irq) { }
static inline void usr_irq_register_proc(unsigned int irq,
					 struct proc_dir_entry *dir) { }
static inline void usr_irq_unregister_proc(unsigned int irq,
					   struct proc_dir_entry *dir) { }

#endif /* CONFIG_USR_IRQ */
#endif /* _LINUX_USR_IRQ_H */
