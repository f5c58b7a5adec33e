/* SPDX-License-Identifier: MIT */
/* One call of a program: what makes it, and what it says about it. */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As packages/conformance/src/programs/program.ts has them. */
#define ARENAS		3
#define ARENA_PAGES	4
#define MAPPINGS	3
#define NO_MAPPING	0xdead0000ull

#define SCRATCH		0x2000000000ull
/* From one thread's scratch pages to the next one's. */
#define SCRATCH_STRIDE	0x10000ull
#define ARENA_BASE	0x3000000000ull
#define ARENA_STRIDE	0x100000ull

/* More than a program gets. */
#define CONSISTENT_PAGES	64

#define LOG_ROOM	0x80000

struct log {
	size_t length;
	char text[LOG_ROOM];
};

/* Who sleeps in a call without a timeout, and what is to end that. */
struct watch {
	volatile pid_t sleeper;
	volatile bool raise;
	volatile unsigned int calls;
};

/* What a program remembers from call to call. */
struct memory {
	uint64_t mappings[MAPPINGS];
	uint64_t consistent;	/* the last page of consistent memory */
	uint64_t consistent_pages[CONSISTENT_PAGES];
	unsigned int consistents;
	long taken;	/* interrupts at the start, and those of settling */
	/* The line's pin may have moved while nobody had it open. */
	bool moved;
};

/* Of the thread that makes the calls. */
struct caller {
	struct log *log;
	struct watch *watch;	/* or NULL */
	struct memory *memory;
	uint64_t scratch;
	bool settles;		/* the line, before it opens it */
};

extern __thread struct caller caller;
extern volatile int signals;	/* SIGUSR1 and SIGUSR2, caught */

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The next number of the call. */
long long number(void);
/* Makes a call, up to the end of its line; false for one it does not know. */
bool make_call(char *call);
/* What a program finds mapped. */
void map_scratch(uint64_t scratch);
void map_arena(void);
/* All that a program mapped. */
void unmap_arenas(struct memory *memory);
void forget_mappings(struct memory *memory);
/* Writes to a register of the device that raises its line or lowers it. */
void move_pin(struct memory *memory, unsigned int reg, uint32_t bits);
/* The line is low, whoever has raised it. */
void free_line(void);
long taken(void);
long set_action(int signum, void (*handler)(int));
void count_signal(int signum);

#endif /* CALLS_H */
