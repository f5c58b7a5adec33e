// SPDX-License-Identifier: MIT
/*
 * Makes calls of the sample module edu_dio, each an argument of numbers as
 * src/samples/dio-calls.ts has them, and prints a line for each: its result, the
 * bytes that it says were moved, and a hash of the memory.
 */
#define _GNU_SOURCE
#include "../../../kernel-patch/samples/edu_dio.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* As src/samples/dio-calls.ts has them. */
#define PAGE		4096u
#define MEMORY		((volatile unsigned char *)0x3000000000ull)
#define MEMORY_SIZE	(6 * PAGE)
#define CONSTANT	((unsigned char *)0x3000100000ull)
#define ARGUMENT	((unsigned char *)0x3000200000ull)
#define KERNEL		((unsigned char *)0xffff888000000000ull)
#define NOT_FILLED_IN	77u
#define RIVAL_SIZE	12000u
#define RIVAL_MS	50
#define SIGNAL_MS	50

enum meanwhile { NOTHING, SIGNAL_WHEN_CHANGED, BEHIND_RIVAL, SIGNAL_BEHIND_RIVAL };

static int fd;
static pthread_t caller;
static unsigned char before;	/* at the byte whose change is waited for */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void map(unsigned char *at, size_t size, int prot)
{
	if (mmap(at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		die("mmap");
}

static int transfer(unsigned long request, void *argp)
{
	return ioctl(fd, request, argp) < 0 ? -errno : 0;
}

static void *signal_when_changed(void *at)
{
	int ms;

	for (ms = 0; ms < 3000 && *(volatile unsigned char *)at == before; ms++)
		usleep(1000);
	pthread_kill(caller, SIGUSR1);
	return NULL;
}

static void *signal_later(void *unused)
{
	usleep(SIGNAL_MS * 1000);
	pthread_kill(caller, SIGUSR1);
	return unused;
}

static struct edu_dio_transfer rival = {
	.addr = (uintptr_t)MEMORY, .size = RIVAL_SIZE,
	.direction = EDU_DIO_TO_DEVICE, .timeout_ms = 2000,
};

static void *run_rival(void *unused)
{
	long result = transfer(EDU_DIO_TRANSFER, &rival);

	(void)unused;
	return (void *)result;
}

static void *argument(long long which, const struct edu_dio_transfer *t)
{
	/* The last: up to what is filled in it can be written. */
	unsigned char *places[] = {
		ARGUMENT, (unsigned char *)8, KERNEL,
		ARGUMENT + PAGE - offsetof(struct edu_dio_transfer, transferred),
	};

	if (which == 0)
		memcpy(ARGUMENT, t, sizeof(*t));
	else if (which == 3)
		memcpy(places[3], t, offsetof(struct edu_dio_transfer, transferred));
	return places[which];
}

static uint32_t hash(void)
{
	uint32_t fnv = 2166136261u;
	size_t i;

	for (i = 0; i < MEMORY_SIZE; i++)
		fnv = (fnv ^ MEMORY[i]) * 16777619u;
	return fnv;
}

static void make_call(char *call, unsigned int nth)
{
	long long number[9];
	unsigned char *places[] = { (unsigned char *)MEMORY, CONSTANT, KERNEL };
	struct edu_dio_transfer t = { .transferred = NOT_FILLED_IN };
	pthread_t other, signaller;
	enum meanwhile meanwhile;
	unsigned char *argp;
	void *result;
	int i, ret;

	for (i = 0; i < 9; i++)
		number[i] = strtoll(call, &call, 10);
	t.addr = (uintptr_t)places[number[2]] + number[3];
	t.size = number[4];
	t.position = number[5];
	t.direction = number[6];
	t.timeout_ms = number[7];
	meanwhile = number[8];
	for (i = 0; i < (int)MEMORY_SIZE; i++)
		MEMORY[i] = i * 7 + (i >> 8) + nth;
	argp = argument(number[1], &t);
	if (meanwhile == SIGNAL_WHEN_CHANGED) {
		/* The last byte of the first chunk. */
		unsigned char *at = (unsigned char *)(uintptr_t)t.addr +
			EDU_DIO_BUFFER - 1;

		before = *at;
		pthread_create(&signaller, NULL, signal_when_changed, at);
	} else if (meanwhile != NOTHING) {
		pthread_create(&other, NULL, run_rival, NULL);
		usleep(RIVAL_MS * 1000);
		if (meanwhile == SIGNAL_BEHIND_RIVAL)
			pthread_create(&signaller, NULL, signal_later, NULL);
	}
	ret = transfer(number[0] ? 0 : EDU_DIO_TRANSFER, argp);
	if (meanwhile == SIGNAL_WHEN_CHANGED || meanwhile == SIGNAL_BEHIND_RIVAL)
		pthread_join(signaller, NULL);
	if (number[1] == 0)
		memcpy(&t, ARGUMENT, sizeof(t));
	printf("%d %llu", ret, (unsigned long long)t.transferred);
	if (meanwhile >= BEHIND_RIVAL) {
		pthread_join(other, &result);
		printf(" rival %ld %llu", (long)result,
		       (unsigned long long)rival.transferred);
	}
	printf(" %08x\n", hash());
}

static void nothing(int signum)
{
	(void)signum;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = nothing };
	int i;

	if (argc < 2 || (fd = open(argv[1], O_RDWR)) < 0)
		die("open");
	caller = pthread_self();
	sigaction(SIGUSR1, &action, NULL);
	map((unsigned char *)MEMORY, MEMORY_SIZE, PROT_READ | PROT_WRITE);
	map(CONSTANT, PAGE, PROT_READ);
	map(ARGUMENT, PAGE, PROT_READ | PROT_WRITE);
	map(ARGUMENT + PAGE, PAGE, PROT_READ);
	for (i = 2; i < argc; i++)
		make_call(argv[i], i);
	return 0;
}
