/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _EDU_DIO_H
#define _EDU_DIO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* edu's buffer, but for its last byte: QEMU ends when a transfer reaches it. */
#define EDU_DIO_BUFFER		4095u

#define EDU_DIO_TO_DEVICE	1u
#define EDU_DIO_FROM_DEVICE	2u

/*
 * Moves @size bytes between the memory at @addr and edu's buffer, from @position
 * on and from its start again where it ends; each wait takes at most @timeout_ms,
 * which is not 0. @transferred is filled in also where the call fails: the bytes
 * of the chunks that were moved, which go up to the buffer's end.
 *
 * ENOTTY another request; EINVAL no direction, or no timeout; EFAULT bad memory;
 * ETIMEDOUT; EINTR a signal; EIO the bus refused; ENOMEM.
 */
struct edu_dio_transfer {
	__u64 addr;
	__u64 size;
	__u64 position;
	__u32 direction;
	__u32 timeout_ms;
	__u64 transferred;
};

#define EDU_DIO_TRANSFER	_IOWR('E', 0xd0, struct edu_dio_transfer)

#endif /* _EDU_DIO_H */
