// SPDX-License-Identifier: MIT
/*
 * A process that runs a part of many tests has the files of each as a child
 * would that was forked for it, without the price of a fork.
 */
#define _GNU_SOURCE
#include "executor.h"
#include "handover.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILES	8	/* the most that a test has open */

struct files {
	int count;
	int numbers[FILES];
};

union ancillary {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(FILES * sizeof(int))];
};

void send_files(int socket)
{
	union ancillary with = { 0 };
	struct files files = { 0 };
	struct iovec part = { &files, sizeof(files) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd;

	for (fd = 0; fd < OWN_FDS && files.count < FILES; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			files.numbers[files.count++] = fd;
		else if (fd > FILES)
			break;
	}
	if (files.count) {
		size_t size = files.count * sizeof(int);

		with.header.cmsg_level = SOL_SOCKET;
		with.header.cmsg_type = SCM_RIGHTS;
		with.header.cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(&with.header), files.numbers, size);
		message.msg_control = &with;
		message.msg_controllen = CMSG_SPACE(size);
	}
	if (sendmsg(socket, &message, 0) != sizeof(files))
		die("sendmsg");
}

void take_files(int socket)
{
	union ancillary with = { 0 };
	struct files files;
	struct iovec part = { &files, sizeof(files) };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = &with, .msg_controllen = sizeof(with),
	};
	int received[FILES], i;

	if (recvmsg(socket, &message, 0) != sizeof(files))
		die("recvmsg");
	if (!files.count)
		return;
	memcpy(received, CMSG_DATA(&with.header), files.count * sizeof(int));
	/* They came under the lowest numbers: none is in another one's way. */
	for (i = files.count - 1; i >= 0; i--) {
		if (received[i] == files.numbers[i])
			continue;
		if (dup2(received[i], files.numbers[i]) < 0)
			die("dup2");
		close(received[i]);
	}
}
