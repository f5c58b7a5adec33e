/* SPDX-License-Identifier: MIT */
/* What the parts of the executor share: one device, one line, and text. */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include "guest.h"

/* Descriptors of the executor's own are from here on; a program's start at 0. */
#define OWN_FDS 200

extern struct edu *device;
extern int line;			/* of the device */
extern struct edu *function;		/* what usr_pci_open opens */

struct text {
	char *bytes;
	size_t length, room;
};

void put(struct text *to, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void die(const char *what) __attribute__((noreturn));

/* Moves a descriptor out of the way of programs. */
int own_fd(int fd);
void pin_to_cpu(int cpu);
void run_fifo(int priority);

/* Runs a batch of programs; what they log goes to @log. */
void run_programs(char *programs, struct text *log);

/* Runs one litmus test; its outcomes and how often each was seen go to @log. */
void run_litmus(char *request, struct text *log);

/* Runs programs for what they leave behind, which goes to @log. */
void run_stress(char *programs, struct text *log);

/* Measures interrupts and mappings for DMA; every time goes to @log. */
void run_latency(char *request, struct text *log);

#endif /* EXECUTOR_H */
