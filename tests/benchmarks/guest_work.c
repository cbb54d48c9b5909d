// SPDX-License-Identifier: Apache-2.0
/*
 * The work of a guest whose speed is measured: process 1, and the only one.
 *
 * It fills most of its memory with pages of distinct content, then does one unit
 * of work after another, half of it arithmetic and half of it a walk through
 * that memory that reads and writes. It counts the units in the memory of an
 * ivshmem device, where the host reads them without the guest's noticing.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096UL
#define STEPS 500
#define STRIDE 72
#define IVSHMEM "0x1af4 0x1110"

static void put(const char *device, const char *file, const char *text)
{
	char path[300];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", device, file);
	stream = fopen(path, "w");
	if (!stream || fputs(text, stream) == EOF || fclose(stream))
		exit(1);
}

static void get(const char *device, const char *file, char *text, int size)
{
	char path[300];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", device, file);
	stream = fopen(path, "r");
	if (!stream || !fgets(text, size, stream) || fclose(stream))
		exit(1);
	text[strcspn(text, "\n")] = 0;
}

static volatile uint64_t *counter(void)
{
	char vendor[16], device[16], both[40], path[300];
	void *shared;
	glob_t found;
	int file;

	mkdir("/sys", 0755);
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    glob("/sys/bus/pci/devices/*", 0, NULL, &found))
		exit(1);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		get(found.gl_pathv[i], "vendor", vendor, sizeof(vendor));
		get(found.gl_pathv[i], "device", device, sizeof(device));
		snprintf(both, sizeof(both), "%s %s", vendor, device);
		if (strcmp(both, IVSHMEM))
			continue;
		put(found.gl_pathv[i], "enable", "1");
		snprintf(path, sizeof(path), "%s/resource2", found.gl_pathv[i]);
		file = open(path, O_RDWR);
		shared = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			      file, 0);
		if (file < 0 || shared == MAP_FAILED)
			exit(1);
		return shared;
	}
	exit(1);
}

int main(void)
{
	size_t bytes = MEMORY_MB << 20, at = 0;
	volatile uint64_t *units = counter();
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
	for (;;) {
		for (int step = 0; step < STEPS; step++) {
			mixed = mixed * 6364136223846793005ULL + 1442695040888963407ULL;
			mixed ^= mixed >> 29;
		}
		for (int step = 0; step < STEPS; step++) {
			memory[at / 8] += mixed;
			at = (at + STRIDE) % bytes;
		}
		++*units;
	}
}
