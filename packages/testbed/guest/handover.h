/* SPDX-License-Identifier: MIT */
/* Files handed from process to process, as fork would. */
#ifndef HANDOVER_H
#define HANDOVER_H

/* Sends the caller's open files below OWN_FDS over a socket. */
void send_files(int socket);
/* Receives them, under the numbers that they had. */
void take_files(int socket);

#endif /* HANDOVER_H */
