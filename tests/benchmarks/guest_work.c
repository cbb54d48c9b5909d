// SPDX-License-Identifier: Apache-2.0
/*
 * The work of a guest whose speed is measured: process 1, and the only one.
 *
 * It fills most of its memory with pages of distinct content, then does one unit
 * of work after another, half of it arithmetic and half of it a walk through
 * that memory that reads and writes, and prints the number of each unit.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_BYTES 4096UL
#define STEPS 200000
#define STRIDE 72

int main(void)
{
	size_t bytes = MEMORY_MB << 20, at = 0;
	uint64_t *memory = malloc(bytes);
	uint64_t mixed = 88172645463325252ULL;

	if (!memory)
		return 1;
	for (size_t i = 0; i < bytes / 8; i++) {
		mixed ^= mixed << 13;
		mixed ^= mixed >> 7;
		mixed ^= mixed << 17;
		memory[i] = mixed;
	}
	for (unsigned long unit = 1;; unit++) {
		for (int step = 0; step < STEPS; step++) {
			mixed = mixed * 6364136223846793005ULL + 1442695040888963407ULL;
			mixed ^= mixed >> 29;
		}
		for (int step = 0; step < STEPS; step++) {
			memory[at / 8] += mixed;
			at = (at + STRIDE) % bytes;
		}
		printf("unit %lu\n", unit);
		fflush(stdout);
	}
}
