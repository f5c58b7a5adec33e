/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _USR_IRQ_DEV_H
#define _USR_IRQ_DEV_H

/* /dev/usrdrv/irq/N */
int usr_irq_dev_register(void);
void usr_irq_dev_unregister(void);

#endif /* _USR_IRQ_DEV_H */
