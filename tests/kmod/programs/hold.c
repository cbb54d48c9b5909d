// SPDX-License-Identifier: Apache-2.0
/*
 * Holds pages whose content tests know: that of kind KIND is 512 times the number
 * FIRST + KIND, little-endian. It is told which: "plain" (1) is ordinary memory,
 * "secret" (2) that of memfd_secret(2), "broken" (3) is declared broken by
 * MADV_HWPOISON. Says so in /run/held, and stays.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define FIRST 0x6d656d6275640000ULL

static void *page(uint64_t kind, int flags, int file)
{
	uint64_t *words = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
	int at;

	if (words == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
	for (at = 0; at < PAGE / 8; at++)
		words[at] = FIRST + kind;
	return words;
}

static int hold(const char *kind)
{
	const int plain = MAP_PRIVATE | MAP_ANONYMOUS;
	int file, status = 0;

	if (!strcmp(kind, "plain")) {
		page(1, plain, -1);
	} else if (!strcmp(kind, "secret")) {
		file = syscall(SYS_memfd_secret, 0);
		if (file < 0 || ftruncate(file, PAGE))
			return -1;
		page(2, MAP_SHARED, file);
	} else if (!fork()) {
		/* The kernel may kill whoever holds the page. */
		_exit(!!madvise(page(3, plain, -1), PAGE, MADV_HWPOISON));
	} else {
		wait(&status);
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

int main(int count, char **arguments)
{
	int at;

	for (at = 1; at < count; at++) {
		if (hold(arguments[at])) {
			perror(arguments[at]);
			return 1;
		}
	}
	close(open("/run/held", O_CREAT | O_WRONLY, 0600));
	pause();
	return 0;
}
