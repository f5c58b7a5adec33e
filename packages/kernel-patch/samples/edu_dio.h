/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _EDU_DIO_H
#define _EDU_DIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* edu's buffer, but for its last byte: QEMU ends when a transfer reaches it. */
#define EDU_DIO_SIZE		4095u

#define EDU_DIO_TO_DEVICE	0u
#define EDU_DIO_FROM_DEVICE	1u

/*
 * Moves @len bytes between the memory at @addr and edu's buffer from @offset on.
 * @done says how many were moved: fewer where a signal, a timeout or bad memory
 * came in between. EINVAL outside of the buffer, EFAULT bad memory, EINTR and
 * ETIMEDOUT with nothing moved.
 */
struct edu_dio_transfer {
	__u64 addr;
	__u32 offset;
	__u32 len;
	__u32 direction;
	__u32 done;
};

#define EDU_DIO_TRANSFER	_IOWR('E', 0xd0, struct edu_dio_transfer)

#endif /* _EDU_DIO_H */
